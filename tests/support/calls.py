"""What a model server was asked and how each call went, with signals for tests to wait on."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

_PATIENCE_S = 30.0


@dataclass(slots=True)
class Call:
    """Times are of the machine's monotonic clock, the same in every process."""

    model: str
    behaviour: str
    stream: bool
    user_message: str
    started: float
    ended: float | None = None
    # Pieces of the answer handed to the socket.
    chunks: int = 0
    wrote: float | None = None
    """The last time."""
    disconnected: bool = False


class Calls:
    """Counts everything, and keeps the latest calls in full."""

    def __init__(self, keep: int = 20_000) -> None:
        self.latest: deque[Call] = deque(maxlen=keep)
        self.per_model: Counter[str] = Counter()
        self.disconnects = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def __len__(self) -> int:
        return self.per_model.total()

    def __getitem__(self, index: int) -> Call:
        return self.latest[index]

    def clear(self) -> None:
        """Forgets the past; calls that are still answered go on and count as in flight."""
        self.latest.clear()
        self.per_model.clear()
        self.disconnects = 0
        self.peak_in_flight = self.in_flight

    def begin(self, call: Call) -> None:
        self.latest.append(call)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self._signal()

    def end(self, call: Call, *, disconnected: bool = False) -> None:
        call.ended, call.disconnected = time.monotonic(), disconnected
        self.in_flight -= 1
        self.disconnects += disconnected
        self._signal()

    async def until(self, reached: Callable[[], bool], timeout_s: float = _PATIENCE_S) -> None:
        """Raises TimeoutError rather than let a test hang."""
        if reached():
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (reached, done)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await done
        finally:
            self._waiting.remove(waiting)

    def as_json(self, last: int | None = None) -> dict[str, Any]:
        """The counts, and the last so many calls in full, all that are kept if not told."""
        skipped = 0 if last is None else max(0, len(self.latest) - last)
        return {
            "count": len(self),
            "per_model": self.per_model,
            "disconnects": self.disconnects,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "calls": [asdict(call) for call in islice(self.latest, skipped, None)],
        }

    def _signal(self) -> None:
        for reached, done in self._waiting:
            if not done.done() and reached():
                done.set_result(None)
