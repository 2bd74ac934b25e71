"""Would another call exceed what the provider grants a minute?"""

_ROUNDING = 1e-6
"""Of a call: what is due is due, whatever floats make of it."""


class Rate:
    """Spread evenly: a second's worth may come at once. What a call takes is known only when it
    has ended, so it is charged what calls took of late, and settled then. Before any is known it
    is charged that second's worth: all at once could take many times what is granted.
    """

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, self._per_second)
        self._left = self._most
        self._as_of: float | None = None
        self._usual: float | None = None

    def allows_at(self, now: float) -> float:
        """When the next call may start; not after `now` if it may now."""
        self._refill(now)
        short = min(self._charge, self._most) - self._left
        return now if short < _ROUNDING else now + short / self._per_second

    def charge(self, now: float) -> float:
        """For a call that starts; what to give back to `settle`."""
        self._refill(now)
        self._left -= self._charge
        return self._charge

    def settle(self, charged: float, used: float, *, answered: bool) -> None:
        """It has ended. Only one that was answered says what others will take."""
        self._left += charged - used
        if answered:
            self._usual = used if self._usual is None else self._usual + (used - self._usual) / 8

    @property
    def _charge(self) -> float:
        return self._most if self._usual is None else self._usual

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._as_of is None else max(0.0, now - self._as_of)
        self._left = min(self._most, self._left + passed * self._per_second)
        self._as_of = now
