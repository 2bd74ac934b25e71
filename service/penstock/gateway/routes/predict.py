"""The simple door: a question in, its answer out; or its answer while it is said."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Body, Request, Response

from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.gateway.idempotency import IdempotencyKey, named
from penstock.gateway.leaving import cancelled_on_disconnect, stopping, unless_gone
from penstock.gateway.outcomes import unanswered
from penstock.gateway.parts import Gateway, Parts, Who
from penstock.gateway.problem import ProblemError, problems
from penstock.gateway.questions import Asked
from penstock.gateway.simple import Answer, heard, in_time, patience
from penstock.gateway.sse import EventStream, content, problem

FIRST_SECONDS = 5.0
"""How long a stream waits with its head for its first event: what is wrong by then has a status."""

DONE = b"data: [DONE]\n\n"

_PROBLEMS = problems(400, 401, 403, 409, 413, 415, 422, 429, 502, 503, 504)
_STREAM = """Events, each with `data` of one line:

- without a name, `{"token": "..."}`: a piece of the answer;
- `status`, `{"text": "..."}`: a step of the program;
- `restart`, `{"reason": "..."}`: what was said of the answer so far is void;
- `completion`: as the response of `/predict`; or `problem`: why there is none;
- without a name, `[DONE]`: the last one.
"""
_EXAMPLES = {
    "a question": {"value": {"question": "Why is the sky blue?"}},
    "a program of several inputs": {
        "value": {
            "inputs": {"question": "Why is the sky blue?"},
            "program": "qa",
            "timeout_ms": 20_000,
            "metadata": {"user": 7},
        }
    },
}

Asking = Annotated[Question, Body(openapi_examples=_EXAMPLES)]

router = APIRouter(tags=["simple"])


@router.post("/predict", response_description="Its answer.", responses=_PROBLEMS)
async def predict(
    request: Request,
    question: Asking,
    gateway: Gateway,
    who: Who,
    idempotency_key: IdempotencyKey = None,
) -> Answer:
    """Asks a question and waits for its answer.

    Without `timeout_ms` it gets DEADLINE__DEFAULT_MS. By an `id` of yours, or an `Idempotency-Key`,
    the same question again is not asked again: its answer is waited for.
    """
    began = gateway.clock.monotonic()
    question = in_time(named(question, idempotency_key, who), gateway)
    again = question.id is not None
    async with gateway.questions.asked(question, who, named=again) as asked:
        entry = asked.entry
        async with cancelled_on_disconnect(gateway, [entry]):
            waiting = gateway.questions.completion(entry, patience(question, gateway))
            found = await unless_gone(gateway, request, entry, waiting)
    if found is None:
        raise unanswered(entry.question_id)
    completion = Completion.model_validate_json(found)
    return Answer.of(completion, gateway.clock.monotonic() - began)


@router.post(
    "/predict/stream",
    response_class=Response,
    responses={
        200: {
            "description": _STREAM,
            "content": content(
                'data: {"token":"Short"}\n\ndata: {"token":" waves scatter more."}\n\n'
                'event: completion\ndata: {"id":"b0a6f3c2","status":"completed",...}\n\n'
                "data: [DONE]\n\n"
            ),
            "headers": {
                "Content-Location": {
                    "description": "Where the question is found.",
                    "schema": {"type": "string"},
                }
            },
        },
        **_PROBLEMS,
    },
)
async def predict_stream(
    question: Asking, gateway: Gateway, who: Who, idempotency_key: IdempotencyKey = None
) -> EventStream:
    """Asks a question, and says its answer while the model does: server-sent events."""
    began = gateway.clock.monotonic()
    question = in_time(named(question, idempotency_key, who), gateway)
    async with AsyncExitStack() as stack:
        asking = gateway.questions.asked(question, who, named=question.id is not None)
        asked = await stack.enter_async_context(asking)
        await stack.enter_async_context(cancelled_on_disconnect(gateway, [asked.entry]))
        frames = _frames(asked, question, gateway, began)
        first = asyncio.ensure_future(anext(frames))
        stack.push_async_callback(_over, first, frames)
        any_of: set[asyncio.Future[Any]] = {first, gateway.stopping}
        await asyncio.wait(any_of, timeout=FIRST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            # Which is a response of its own, if it is a problem.
            first.result()
        return EventStream(
            _to_the_end(first, frames),
            gateway.stopping,
            stack.pop_all(),
            {"content-location": f"/v1/questions/{quote(asked.entry.question_id, safe='')}"},
            # Else what was said so far would pass for the answer.
            lambda: problem(stopping(asked.entry)) + DONE,
        )


async def _frames(
    asked: Asked, question: Question, gateway: Parts, began: float
) -> AsyncGenerator[bytes, None]:
    async with aclosing(heard(asked, question, gateway)) as said:
        async for one in said:
            if isinstance(one, Completion):
                answer = Answer.of(one, gateway.clock.monotonic() - began)
                yield b"event: completion\ndata: %s\n\n" % answer.model_dump_json().encode()
            else:
                kind, text = one
                yield _FRAME[kind] % orjson.dumps({_TEXT[kind]: text})


async def _to_the_end(
    first: "asyncio.Future[bytes]", frames: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    try:
        yield await first
        async for frame in frames:
            yield frame
    except ProblemError as error:
        yield problem(error)
    yield DONE


async def _over(first: "asyncio.Future[bytes]", frames: AsyncGenerator[bytes, None]) -> None:
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await frames.aclose()


_TEXT = {"token": "token", "restart": "reason", "status": "text"}
_FRAME = {
    "token": b"data: %s\n\n",
    "restart": b"event: restart\ndata: %s\n\n",
    "status": b"event: status\ndata: %s\n\n",
}
