"""How does OpenAI say that something went wrong? What its clients read an error from."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from penstock.events.completion import Completion
from penstock.events.text import whole_characters
from penstock.gateway.openai.fields import UnsupportedError
from penstock.gateway.problem import MEDIA_TYPE, ProblemError

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""By the status. Of all others: below 500 it is the request, from there on it is us."""

FAILURES = {
    "RECORD": 400,
    "ANSWER": 502,
    "UPSTREAM": 502,
    "OPERATOR": 503,
    "DEADLINE": 504,
    "CANCELLED": 409,
}
"""By the kind of a failure, as completions name it."""

CODES = {"context_window_exceeded": "context_length_exceeded"}
"""What OpenAI, and what is built upon it, calls one of ours."""

NO_RETRY = {"x-should-retry": "false"}
"""To OpenAI's clients: the service has tried it as often as it is worth, and paid for it."""

STOPPING = ProblemError(
    503, "stopping", "this gateway stops; ask again, with the same Idempotency-Key if you had one"
)


class OpenAIError(BaseModel):
    message: str = Field(description="One sentence for people.")
    type: str = Field(
        description="`invalid_request_error`, `authentication_error`, `permission_error`, "
        "`rate_limit_error` or `api_error`."
    )
    param: str | None = Field(None, description="The field that is wrong, where it is one.")
    code: str | None = Field(None, description="A stable word for machines.")


class OpenAIErrorAnswer(BaseModel):
    """What went wrong, in OpenAI's form."""

    error: OpenAIError


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorAnswer, "description": description}
    for status, description in {
        400: "It cannot be asked so, or the question itself is wrong.",
        401: "No token, or none that is known.",
        403: "The token may not ask this program.",
        404: "There is no such program.",
        409: "Somebody has cancelled the question.",
        413: "The topic does not take a question of this size.",
        422: "Another question was asked by this `Idempotency-Key`.",
        429: "It would wait for too long (see `Retry-After`), or the token asks too often.",
        502: "The model or its answer has failed, as often as it was tried.",
        503: "Kafka does not answer, or an operator is needed.",
        504: "It was not answered in its time.",
    }.items()
}
ANSWERS[413]["content"] = {MEDIA_TYPE: {}}
ANSWERS[415] = {
    "description": "It is no JSON. Like a body that is too large, it is not looked at: this is "
    "told to every client in the same form, RFC 9457's.",
    "content": {MEDIA_TYPE: {}},
}

EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
"""The schema of one of a stream's."""


def document(error: ProblemError) -> dict[str, Any]:
    """As it travels, in a response or in a stream."""
    ours = "invalid_request_error" if error.status < 500 else "api_error"  # noqa: PLR2004
    said = {
        "message": error.detail,
        "type": KINDS.get(error.status, ours),
        "param": error.more.get("param"),
        "code": CODES.get(error.code, error.code),
    }
    # It may quote what was sent.
    return {"error": whole_characters(said)}


def frame(error: ProblemError) -> bytes:
    """In a stream, where OpenAI's clients raise it."""
    return b"data: %s\n\n" % orjson.dumps(document(error))


def failure(completion: Completion) -> ProblemError | None:
    """Why a question has no answer; None: it has one."""
    if completion.status == "completed":
        return None
    error = completion.error
    if error is None:
        return ProblemError(502, completion.status, "the question failed", headers=NO_RETRY)
    if error.code == "unknown_program":
        return ProblemError(404, "model_not_found", error.message, headers=NO_RETRY, param="model")
    status = FAILURES.get(error.kind, 502)
    return ProblemError(status, error.code, error.message, headers=NO_RETRY)


def unreadable(errors: Sequence[Any]) -> ProblemError:
    """What FastAPI says of a request."""
    for error in errors:
        unsupported = error.get("ctx", {}).get("error")
        if isinstance(unsupported, UnsupportedError):
            message = f"{unsupported}; a program has its own settings"
            return ProblemError(400, "unsupported_parameter", message, param=unsupported.names[0])
    # Where a field may be of several kinds, it is meant as the one that goes deepest.
    error = max(errors, key=lambda one: len(one["loc"]))
    place, *parts = error["loc"]
    where = f"{parts.pop()}" if place == "header" else ""
    for part in parts:
        # The other ones are names of the kinds.
        where += f"[{part}]" if isinstance(part, int) else f".{part}" * part.isidentifier()
    where = where.removeprefix(".")
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "literal_error":
        what = f"{repr(error['input'])[:60]} is not supported; write {error['ctx']['expected']}"
    message = f"{where}: {what}" if where else what
    return ProblemError(400, "invalid_request", message, param=where or None)


class Route(APIRoute):
    """One whose errors are OpenAI's."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """As FastAPI calls it."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                problem = error
            except RequestValidationError as error:
                problem = unreadable(error.errors())
            except HTTPException as error:
                problem = ProblemError(error.status_code, "invalid_request", error.detail)
            return JSONResponse(document(problem), problem.status, problem.headers)

        return handled
