"""Keeps something of `penstock.local` running in a terminal until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

T = TypeVar("T")


def until_stopped(running: AbstractAsyncContextManager[T], announce: Callable[[T], None]) -> None:
    """Starts, announces, waits for SIGINT or SIGTERM and stops; both are a good end."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        # Where the loop has no signal handlers, asyncio itself cancels us at Ctrl-C.
        with contextlib.suppress(NotImplementedError):
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        async with running as started:
            announce(started)
            await asyncio.get_running_loop().create_future()

    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(main())
