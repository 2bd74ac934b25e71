"""Keeps something of `penstock.local` running in a terminal until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

T = TypeVar("T")


def until_stopped(
    running: AbstractAsyncContextManager[T],
    announce: Callable[[T], None],
    failed: Callable[[T], Awaitable[Exception]],
) -> None:
    """Starts, announces, waits for SIGINT or SIGTERM and stops; both are a good end.

    Raises what `failed` returns: it waits for what was started to end by itself.
    """

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        # Where the loop has no signal handlers, asyncio itself cancels us at Ctrl-C.
        with contextlib.suppress(NotImplementedError):
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        async with running as started:
            announce(started)
            raise await failed(started)

    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(main())
