"""Questions that are asked now and read whenever."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.convertors import Convertor, register_url_convertor

from penstock.gateway.following import Seen, seen
from penstock.gateway.idempotency import IdempotencyKey, named
from penstock.gateway.index import Entry
from penstock.gateway.leaving import cancelled_on_disconnect, unless_gone
from penstock.gateway.parts import Gateway, Parts, Who
from penstock.gateway.prefer import Prefer, accepts
from penstock.gateway.problem import ProblemError, problems
from penstock.gateway.questions import Asked
from penstock.gateway.sse import COMPLETION_ID, EventStream, content, frame
from penstock.gateway.stream import Said
from penstock.gateway.views import Ask, Standing, View, view

router = APIRouter(prefix="/v1/questions", tags=["questions"])

RETRY = b"retry: 1000\n"
"""Milliseconds after which an EventSource comes back, here or to another replica."""

_TEXT = {"schema": {"type": "string"}}
_LOCATION = {"Location": {"description": "Where it is found by its id.", **_TEXT}}
_APPLIED = {"Preference-Applied": {"description": "Of `Prefer`, what was done.", **_TEXT}}

_OPEN: dict[str, Any] = {"description": "It has not ended.", "model": Standing}
_ENDED: dict[str, Any] = {"description": "It has ended.", "model": View}
_FOUND: dict[str, Any] = {"description": "How it stands.", "model": View}


class _Id(Convertor[str]):
    """May hold anything; but what comes behind it is not of it."""

    regex = "(?s:.*)(?<!/events)(?<!/cancel)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("question", _Id())

# Their bounds stand inside: FastAPI does not describe those of what may be missing.
_LastEventId = Annotated[str, Field(pattern=r"^(completion|[0-9]{1,9}-[0-9]{1,18}-[0-9]{1,9})?$")]
_Sequence = Annotated[int, Field(ge=0)]

Id = Annotated[str, Path(description="May hold slashes, as they are or as `%2F`.")]


def _answered(
    by: dict[int | str, dict[str, Any]], *refusals: int
) -> dict[int | str, dict[str, Any]]:
    return {**by, **problems(401, *refusals)}


@router.post(
    "",
    status_code=202,
    responses=_answered(
        {
            200: _ENDED | {"headers": _LOCATION | _APPLIED},
            202: _OPEN | {"headers": _LOCATION | _APPLIED},
        },
        *(400, 403, 413, 415, 422, 429, 503),
    ),
)
async def ask_question(
    body: Ask,
    request: Request,
    gateway: Gateway,
    who: Who,
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[  # noqa: ARG001 - there may be several, as one
        str | SkipJsonSchema[None],
        Header(
            description="`wait=20`: the answer is waited for so many seconds, and is a 202 when it "
            "has not ended then. `respond-async` goes with it, and alone says what holds anyway.",
            examples=["wait=20"],
        ),
    ] = None,
) -> Response:
    """Asks a question. Its answer is waited for (`Prefer: wait=20`), or read by its id.

    With an `id` of its own, or an `Idempotency-Key`, it may be sent again: the same question with
    the same body is not asked twice.
    """
    question = named(body.asked, idempotency_key, who)
    again = question.id is not None
    async with gateway.questions.asked(question, who, body.key, named=again) as asked:
        entry = asked.entry
    wanted = Prefer.read(request.headers.getlist("prefer"))
    found = None
    if wanted.wait or entry.ended is not None:
        async with cancelled_on_disconnect(gateway, [entry]):
            end = gateway.questions.completion(entry, wanted.wait)
            found = await unless_gone(gateway, request, entry, end)
    answer = _standing(entry) if found is None else _view(entry, found)
    answer.headers["Location"] = f"{router.prefix}/{quote(entry.question_id, safe='')}"
    answer.headers.update(wanted.applied(whole=found is not None))
    return answer


@router.get(
    "/{question_id:question}/events",
    response_class=Response,
    responses=_answered(
        {
            200: {
                "description": "Token events as on their topic, each with its kind and an id; the "
                "last one is `completion`. A `problem` ends a stream that cannot go on.",
                "content": content(
                    "retry: 1000\nid: 0-17-0\nevent: token\n"
                    'data: {"type":"token","question_id":"b0a6f3c2","sequence":0,...}\n\n'
                ),
            },
            204: {"description": "By its Last-Event-ID this client has all of it."},
        },
        *(400, 404, 406, 503),
    ),
)
async def question_events(
    question_id: Id,
    request: Request,
    gateway: Gateway,
    who: Who,
    last_event_id: Annotated[
        _LastEventId | SkipJsonSchema[None],
        Header(
            description="The `id` of the last event that was read: it goes on after it, on any "
            "replica. It comes before `starting_after`."
        ),
    ] = None,
    starting_after: Annotated[
        _Sequence | SkipJsonSchema[None],
        Query(description="The `sequence` of the last event that was read."),
    ] = None,
) -> Response:
    """What is said of it (SSE), from the beginning or from where a client has come."""
    if not accepts(request.headers.get("accept"), EventStream.media_type):
        raise ProblemError(406, "not_acceptable", f"this is {EventStream.media_type}")
    entry = gateway.questions.find(question_id, who)
    if last_event_id == COMPLETION_ID:
        # Else an EventSource would come again and again.
        return Response(status_code=204)
    after = None if starting_after is None else Seen(starting_after)
    if last_event_id:
        after = seen(last_event_id)
    return EventStream(
        _frames(gateway.questions.pieces(Asked(entry, None), after)), gateway.stopping
    )


async def _frames(said: AsyncGenerator[list[Said | bytes], None]) -> AsyncGenerator[bytes, None]:
    yield RETRY
    async with aclosing(said):
        async for piece in said:
            yield b"".join(map(frame, piece))


@router.post(
    "/{question_id:question}/cancel",
    status_code=202,
    responses=_answered({200: _ENDED, 202: _OPEN}, 404, 503),
)
async def cancel_question(question_id: Id, gateway: Gateway, who: Who) -> Response:
    """Cancels it, wherever it is; that it is done is in its completion. One that has ended stays
    as it is.
    """
    entry = gateway.questions.find(question_id, who)
    if entry.ended is not None:
        return await _as_it_stands(entry, gateway)
    await gateway.questions.cancel(question_id)
    return _standing(entry)


@router.get("/{question_id:question}", responses=_answered({200: _FOUND}, 404, 503))
async def find_question(question_id: Id, gateway: Gateway, who: Who) -> Response:
    """How it stands, and how it has ended. It is found for an hour (GATEWAY__WINDOW_MS), by every
    replica, and after a restart.
    """
    return await _as_it_stands(gateway.questions.find(question_id, who), gateway)


async def _as_it_stands(entry: Entry, gateway: Parts) -> Response:
    found = await gateway.questions.completion(entry) if entry.ended is not None else None
    return _view(entry, found)


def _standing(entry: Entry) -> Response:
    return JSONResponse(Standing.of(entry).model_dump(), 202)


def _view(entry: Entry, completion: bytes | None) -> Response:
    return Response(view(entry, completion), media_type="application/json")
