"""Does somebody still wait for it? What takes long ends when its client leaves, or the gateway."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from penstock.gateway.leaving import gone
from penstock.gateway.problem import ProblemError

T = TypeVar("T")


async def attended(
    request: Request, stopping: "asyncio.Future[None]", work: Coroutine[Any, Any, T]
) -> T:
    """What the work gives.

    Args:
        request: whose body was read.
        stopping: is done when the gateway stops.
        work: is cancelled when nobody waits for it any more.

    Raises:
        ProblemError: nobody does.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(gone(request.receive))
    try:
        ends: set[asyncio.Future[Any]] = {working, leaving, stopping}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ProblemError(503, "cut_short", "the gateway stops; ask again")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
