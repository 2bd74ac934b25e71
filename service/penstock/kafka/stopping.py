"""How does a client begin, and how is it stopped? In a while, whatever happens in it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

STOP_SECONDS = 5.0

log = structlog.get_logger("penstock.kafka")


async def started(starting: Coroutine[Any, Any, None], seconds: float = STOP_SECONDS) -> None:
    """Returns when it has, and not before where it is cut off: between its first two requests the
    client has a connection that nobody would close.
    """
    task = asyncio.ensure_future(starting)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            # Cut off once more it goes on no longer, either.
            if not task.cancel() and not task.cancelled():
                task.exception()  # looked at: nobody waits for it any more
        raise


async def stopped(stopping: Coroutine[Any, Any, None], seconds: float = STOP_SECONDS) -> None:
    """The client lets its own cancellations out: they would pass for those of the caller."""
    task = asyncio.ensure_future(stopping)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a Kafka client did not stop cleanly", error=str(error))


def cancelled() -> bool:
    """By us: the client lets its own cancellations out."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
