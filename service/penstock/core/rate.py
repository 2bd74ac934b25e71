"""Would another call exceed what the provider grants a minute?"""

_ROUNDING = 1e-6
"""Of a call: what is due is due, whatever floats make of it."""


class Rate:
    """Spread evenly: a second's worth may come at once. What a call takes is known only when it
    has ended, so it is charged what calls took of late, and settled then.
    """

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, self._per_second)
        self._left = self._most
        self._as_of: float | None = None
        self._usual = 1.0

    def allows_at(self, now: float) -> float:
        """When the next call may start; not after `now` if it may now."""
        self._refill(now)
        short = min(self._usual, self._most) - self._left
        return now if short < _ROUNDING else now + short / self._per_second

    def charge(self, now: float) -> float:
        """For a call that starts; what to give back to `settle`."""
        self._refill(now)
        self._left -= self._usual
        return self._usual

    def settle(self, charged: float, used: float) -> None:
        """It has ended."""
        self._left += charged - used
        self._usual += (max(used, 1.0) - self._usual) / 8

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._as_of is None else max(0.0, now - self._as_of)
        self._left = min(self._most, self._left + passed * self._per_second)
        self._as_of = now
