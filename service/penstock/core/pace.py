"""How soon may the next question start? Where only so many a second are wanted."""

_BEHIND = 0.1
"""Seconds by which starts may lag behind and catch up at once: the loop turns a little late."""


class Pace:
    """Evenly spread. What runs again is not a question more, and does not count."""

    def __init__(self, per_second: float | None = None) -> None:
        self._per_second = per_second
        self._next = 0.0

    def allows_at(self, now: float) -> float:
        """When the next one may start; not after `now` if it may now."""
        return now if self._per_second is None else max(now, self._next)

    def started(self, now: float) -> None:
        """One more."""
        if self._per_second is not None:
            self._next = max(self._next, now - _BEHIND) + 1 / self._per_second

    def change(self, per_second: float | None, now: float) -> None:
        """From now on: more than 0, or None for as many as there is room for."""
        if per_second is not None and self._per_second is not None:
            # What is waited for was reckoned by the pace of before.
            left = max(0.0, self._next - now)
            self._next = now + min(left * self._per_second / per_second, 1 / per_second)
        self._per_second = per_second
