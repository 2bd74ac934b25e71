"""How often may one ask? A bucket for each, that holds a minute's worth and is filled evenly."""

SUBJECTS = 10_000
"""That are remembered. Who has not asked for longest is forgotten, and has a full bucket again."""

MINUTE = 60.0

ROUNDING = 1e-6
"""Seconds. Seven sevenths of a minute are a little more than one."""


class Rates:
    """Of this process alone. Times in seconds, by a clock that never goes back."""

    def __init__(self) -> None:
        # When each bucket will be full again: all there is to know of it.
        self._full_at: dict[str, float] = {}

    def spend(self, subject: str, per_minute: int, now: float) -> float:
        """Takes one; more than 0: there was none, and there will be one after so many seconds."""
        one = MINUTE / per_minute
        full_at = max(self._full_at.pop(subject, now), now)
        wait = full_at + one - MINUTE - now
        if wait < ROUNDING:
            full_at, wait = full_at + one, 0.0
        # Anew, so that the first is who has not asked for longest.
        self._full_at[subject] = full_at
        if len(self._full_at) > SUBJECTS:
            del self._full_at[next(iter(self._full_at))]
        return wait
