"""What is somebody told whose request cannot be served? Problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from penstock.errors import PenstockError

MEDIA_TYPE = "application/problem+json"


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str | None = Field(
        None, description="Where in the body: a JSON Pointer, such as `#/inputs/question`."
    )
    parameter: str | None = Field(None, description="Or which header, or parameter of the URL.")
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What is wrong, and what to do.")
    code: str = Field(description="A stable word for machines.")
    id: str | None = Field(None, description="Of the question, where there is one.")
    kind: str | None = Field(
        None,
        description="Of a question that did not complete: as in its completion, who has to act.",
    )
    errors: list[Wrong] | None = Field(None, description="Where several things may be wrong.")


class ProblemError(PenstockError):
    """A request that cannot be served.

    Args:
        status: the HTTP status.
        code: a stable word for machines.
        detail: one sentence for people, with what to do.
        headers: of the response, such as `Retry-After`.
        more: members of the document beside these.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    @property
    def document(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.more,
        }


def away(detail: str, **more: Any) -> ProblemError:
    """Kafka does not answer."""
    return ProblemError(503, "kafka_away", detail, headers={"Retry-After": "5"}, **more)


_SECONDS = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}
_TEXT = {"schema": {"type": "string"}}

_WHEN: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("The body is no JSON, or a header or parameter is none of its kind.", {}),
    401: ("It shows no token, or none that is known.", {"WWW-Authenticate": _TEXT}),
    403: ("This token may not.", {}),
    404: ("There is none, or none for this token.", {}),
    405: ("The path has other methods.", {"Allow": _TEXT}),
    406: ("It takes nothing of what there is.", {}),
    409: ("It does not go with how things stand; a question was cancelled.", {}),
    413: ("It is too large.", {}),
    415: ("The body is of another type.", {"Accept": _TEXT}),
    422: ("The body is JSON, and not what is wanted, or can never be answered.", {}),
    429: ("Not now: there is too much to do.", {"Retry-After": _SECONDS}),
    502: ("The model, or the way to it, is in trouble, or its answer will not do.", {}),
    503: ("Kafka does not answer, or this gateway stops.", {"Retry-After": _SECONDS}),
    504: ("Its time was up.", {}),
}


def problems(*statuses: int, **example: Any) -> dict[int | str, dict[str, Any]]:
    """How a route says in its OpenAPI description (`responses=`) which problems it may answer.

    Args:
        statuses: theirs.
        example: what one of them says; none: no example is shown.
    """
    return {status: _described(*_WHEN[status], example) for status in statuses}


def _described(why: str, headers: dict[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if example:
        said["example"] = {"type": "about:blank", **example}
    content = {MEDIA_TYPE: said}
    return {"description": why, "content": content, **({"headers": headers} if headers else {})}


OTHERWISE: dict[int | str, dict[str, Any]] = {"default": _described("Any other problem.", {}, {})}
"""Of every route: where it gives no answer of its own, it gives a problem."""
