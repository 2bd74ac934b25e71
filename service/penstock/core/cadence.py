"""Is it time to commit?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CadencePolicy:
    """Commit after so many records or so many seconds, whichever comes first."""

    records: int = 500
    interval: float = 1.0
    backoff: float = 1.0
    at_least: float = 3.0
    """Seconds after which everything is committed again, even where nothing has changed: the
    group forgets the offsets of those who do not."""


class Cadence:
    """One commit is in flight at most; after a failed one we wait for the backoff."""

    def __init__(self, policy: CadencePolicy) -> None:
        self._policy = policy
        self._done = 0
        self._since: float | None = None
        self._not_before = 0.0
        self._repeat_at = 0.0
        self.in_flight = False

    def resolved(self, now: float) -> None:
        self._done += 1
        if self._since is None:
            self._since = now

    def hurry(self) -> None:
        """What is to be committed now must not wait for anything but a commit in flight."""
        self._done = self._policy.records

    def due(self, now: float) -> bool:
        if self.in_flight or now < self._not_before:
            return False
        if self._done >= self._policy.records or self.repeats(now):
            return True
        return self._since is not None and now >= self._since + self._policy.interval

    def repeats(self, now: float) -> bool:
        """Whether what has not changed is to be committed too."""
        return now >= self._repeat_at

    def sent(self, now: float, *, in_flight: bool) -> None:
        """`in_flight` is false when it turned out that there was nothing to commit."""
        if self.repeats(now):
            self._repeat_at = now + self._policy.at_least
        self.in_flight = in_flight
        self._done = 0
        self._since = None

    def acknowledged(self) -> None:
        self.in_flight = False

    def failed(self, now: float) -> None:
        self.in_flight = False
        self._not_before = now + self._policy.backoff
        self._repeat_at = 0.0

    def next_at(self) -> float | None:
        if self.in_flight:
            return None
        at = self._repeat_at
        if self._since is not None:
            at = min(at, self._since + self._policy.interval)
        return max(at, self._not_before)
