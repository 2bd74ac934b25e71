"""When is it? In a test, time passes when there is nothing to do but wait, and then at once.

While a thread works, or a socket of the program's own is open, nobody can know that there is
nothing to do: then time passes as it does for everyone, and no deadline expires for no reason.
"""

import asyncio
import selectors
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any
from weakref import WeakSet

from dspy.utils.asyncify import get_limiter

from penstock.clock import Clock
from penstock.program.threads import Threads

_real = Clock().monotonic


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose time begins at 0 seconds.

    What is written to a socket of `pair` is there to be read at once: where nothing is to be read,
    nothing is on its way.
    """

    def __init__(self) -> None:
        self.now = 0.0
        began = Clock().wall()
        self.clock = Clock(self.time, lambda: began + self.now)
        self._pairs: WeakSet[socket.socket] = WeakSet()
        self._threads: WeakSet[Threads] = WeakSet()
        self._jobs: set[asyncio.Future[Any]] = set()
        self._watched = _Selector(self)
        super().__init__(self._watched)
        self._own = frozenset(self._watched.get_map())
        """How other threads wake it."""

    def time(self) -> float:
        return self.now

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Two ends of one connection."""
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
            self._pairs.add(end)
        return ends

    def threads(self) -> Threads:
        """Of one question, in its task."""
        made = Threads()
        self._threads.add(made)
        return made

    def run_in_executor(  # type: ignore[override] # typeshed has it generic
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        job = super().run_in_executor(executor, func, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    def knows_all(self) -> bool:
        """Whether nothing happens but what this loop does."""
        waiting = sum(threads.waiting for threads in self._threads)
        if self._jobs or get_limiter().borrowed_tokens > waiting:
            return False
        ours = self._own.union(end.fileno() for end in self._pairs)
        return ours.issuperset(self._watched.get_map())


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: Clockwork) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is not None and self._loop.knows_all():
            self._loop.now += timeout
            return ready
        began = _real()
        ready = super().select(timeout)
        passed = _real() - began
        self._loop.now += passed if timeout is None else min(passed, timeout)
        return ready
