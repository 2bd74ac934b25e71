"""When is it? In a test, time passes when there is nothing to do but wait, and then at once.

While a thread works, or a socket of the program's own is open, nobody can know that there is
nothing to do: time stands still, for what takes a moment is to be the same in every run; and where
that moment does not end, time passes as it does for everyone. No deadline expires for no reason.
"""

import asyncio
import math
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any
from weakref import WeakSet

from dspy.utils.asyncify import get_limiter

from penstock.clock import Clock
from penstock.program.threads import Threads
from penstock.testing.strangers import Strangers

MOMENT = 0.2
"""Real seconds."""

_WAKING = 0.001
"""Real seconds in which a thread that was given work begins with it, where a core is free."""

_NANOSECOND = 1e-9

_real = Clock().monotonic


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose time begins at 0 seconds.

    What is written to a socket of `pair` is there to be read at once: where nothing is to be read,
    nothing is on its way.
    """

    def __init__(self) -> None:
        self.now = 0.0
        began = int(Clock().wall())
        self.clock = Clock(self.time, lambda: began + self.now)
        self._pairs: WeakSet[socket.socket] = WeakSet()
        self._threads: WeakSet[Threads] = WeakSet()
        self._jobs: set[asyncio.Future[Any]] = set()
        self.strangers = Strangers()
        self._watched = _Selector(self)
        super().__init__(self._watched)
        self._own = frozenset(self._watched.get_map())
        """How other threads wake it."""

    def time(self) -> float:
        return self.now

    def jump(self, seconds: float) -> None:
        then = self.now + seconds
        # asyncio adds a nanosecond to see what is due: after a hundred days, it is lost.
        self.now = then if then + _NANOSECOND > then else math.nextafter(then, math.inf)

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
        return ours.issuperset(self._watched.get_map()) and not self.strangers.work()


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: Clockwork) -> None:
        super().__init__()
        self._loop = loop
        self._stood_still = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            ready = self._jump(timeout) if timeout is not None else self._wait(None)
        if ready:
            self._stood_still = 0.0
        return ready

    def _jump(self, timeout: float) -> list[tuple[selectors.SelectorKey, int]]:
        if self._loop.strangers:
            time.sleep(_WAKING)
        if not self._loop.knows_all():
            return self._wait(timeout)
        # Again: a thread that has just ended its work has told us before.
        ready = super().select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        left, began = MOMENT - self._stood_still, _real()
        if left > 0:
            ready = super().select(left)
            self._stood_still += _real() - began
        else:
            ready = super().select(timeout)
            passed = _real() - began
            self._loop.now += passed if timeout is None else min(passed, timeout)
        return ready
