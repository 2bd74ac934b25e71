"""Is it time to commit?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CadencePolicy:
    """Commit after so many records or so many seconds, whichever comes first."""

    records: int = 500
    interval: float = 1.0
    backoff: float = 1.0


class Cadence:
    """One commit is in flight at most; after a failed one we wait for the backoff."""

    def __init__(self, policy: CadencePolicy) -> None:
        self._policy = policy
        self._done = 0
        self._since: float | None = None
        self._not_before = 0.0
        self.in_flight = False

    def resolved(self, now: float) -> None:
        self._done += 1
        if self._since is None:
            self._since = now

    def due(self, now: float) -> bool:
        if self.in_flight or self._since is None or now < self._not_before:
            return False
        return self._done >= self._policy.records or now >= self._since + self._policy.interval

    def sent(self, *, in_flight: bool) -> None:
        """`in_flight` is false when it turned out that there was nothing new to commit."""
        self.in_flight = in_flight
        self._done = 0
        self._since = None

    def acknowledged(self) -> None:
        self.in_flight = False

    def failed(self, now: float) -> None:
        self.in_flight = False
        self._since = now
        self._not_before = now + self._policy.backoff

    def next_at(self) -> float | None:
        if self.in_flight or self._since is None:
            return None
        return max(self._since + self._policy.interval, self._not_before)
