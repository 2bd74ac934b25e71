"""One timer for every stream: what is due in the same millisecond is done in the same wake-up."""

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush

_TICK_S = 0.001

# Told the time, does what is due and says when it wants to be called again.
Beat = Callable[[float], float | None]


class Pulse:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[int, list[Beat]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf

    def at(self, when: float, beat: Beat) -> None:
        """Call `beat` at `when` of the loop's clock, at most a tick later and never before."""
        tick = math.ceil(when / _TICK_S)
        waiting = self._due.get(tick)
        if waiting is not None:
            waiting.append(beat)
            return
        self._due[tick] = [beat]
        heappush(self._ticks, tick)
        self._arm()

    def soon(self, delay: float, beat: Beat) -> None:
        now = self._loop.time()
        again = now + delay if delay else beat(now)
        if again is not None:
            self.at(again, beat)

    def stop(self) -> None:
        self._due.clear()
        self._ticks.clear()
        if self._timer:
            self._timer.cancel()

    def _arm(self) -> None:
        if not self._ticks or self._ticks[0] >= self._armed:
            return
        if self._timer:
            self._timer.cancel()
        self._armed = self._ticks[0]
        self._timer = self._loop.call_at(self._armed * _TICK_S, self._fire)

    def _fire(self) -> None:
        now = self._loop.time()
        # Nothing arms the timer while this loop fills the wheel; it is armed once at the end.
        self._armed = -math.inf
        while self._ticks and self._ticks[0] * _TICK_S <= now:
            for beat in self._due.pop(heappop(self._ticks)):
                again = beat(now)
                if again is not None:
                    self.at(again, beat)
        self._armed, self._timer = math.inf, None
        self._arm()
