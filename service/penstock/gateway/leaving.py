"""What becomes of a question whose client goes away while it waits for it?"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from penstock.gateway.index import Entry
from penstock.gateway.parts import Parts
from penstock.gateway.problem import ProblemError
from penstock.gateway.unless import unless

T = TypeVar("T")

log = structlog.get_logger("penstock.gateway")


async def unless_gone(
    gateway: Parts, request: Request, entry: Entry, waiting: Coroutine[Any, Any, T]
) -> T:
    """What is waited for of this question. The request's body has been read.

    Raises:
        ClientDisconnect: nobody is there to be told; it is waited for no longer.
        ProblemError: (503) the gateway is not there any longer.
    """
    return await while_there(request, unless(gateway.closing, waiting, stopping(entry)))


async def while_there(request: Request, waiting: Coroutine[Any, Any, T]) -> T:
    """What is waited for. The request's body has been read.

    Raises:
        ClientDisconnect: nobody is there to be told; it is waited for no longer.
    """
    leaving = asyncio.create_task(gone(request.receive))
    try:
        return await unless(leaving, waiting, ClientDisconnect())
    finally:
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)


def stopping(entry: Entry) -> ProblemError:
    """Of a question that goes on, and of which nothing more is told here."""
    return ProblemError(
        503,
        "stopping",
        "this gateway stops; the question was asked, and is found by its id",
        headers={"Retry-After": "1"},
        id=entry.question_id,
    )


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def cancelled_on_disconnect(gateway: Parts, entries: Iterable[Entry]) -> AsyncIterator[None]:
    """Cancels these questions, as far as they have not ended, where the block ends because its
    client has left (ClientDisconnect), and GATEWAY__CANCEL_ON_DISCONNECT is on. `entries` are
    looked at then.

    Around `unless_gone`, or on the stack of an `EventStream`.
    """
    try:
        yield
    except ClientDisconnect:
        if gateway.settings.gateway.cancel_on_disconnect:
            ids = [entry.question_id for entry in entries if entry.ended is None]
            await asyncio.gather(*(_cancel(gateway, question_id) for question_id in ids))
        raise


async def _cancel(gateway: Parts, question_id: str) -> None:
    try:
        await gateway.questions.cancel(question_id)
    except ProblemError as error:
        log.warning("a question could not be cancelled", id=question_id, reason=error.detail)
