"""When may the next ones go? So many a second, and what was missed is not caught up with."""

import math

TICK_SECONDS = 0.2
"""What goes at once is what this much time allows."""


class BatchPace:
    """Args:
    per_second: None: as fast as can be.
    most: that go at once.
    """

    def __init__(self, per_second: float | None, most: int) -> None:
        self._per_second = per_second
        self._next = -math.inf
        self.at_once = (
            most if per_second is None else max(1, int(min(most, per_second * TICK_SECONDS)))
        )

    def waits(self, now: float) -> float:
        """Seconds until the next ones may go."""
        return max(0.0, self._next - now)

    def gone(self, count: int, now: float) -> None:
        if self._per_second is not None:
            self._next = max(now, self._next) + count / self._per_second
