"""Is the model worth calling at all?"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from penstock.core.facts import RecordId


class Cause(StrEnum):
    """Why a model is not called."""

    FAILING = "failing"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Of the last `calls` within `window` seconds, at least so many `failures` that are at least
    that `ratio` of them shut it. Then one call every `probe` seconds finds out.
    """

    failures: int = 5
    ratio: float = 0.5
    calls: int = 64
    window: float = 30.0
    probe: float = 5.0


class Breaker:
    """Of one model: shut until a moment, then open to one call; when the model answers that, to
    all. It is shut where calls fail, and where the provider has asked us to wait.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self.cause: Cause | None = None
        """None: it is open."""
        self.until = 0.0
        """From then on, one call may find out whether the model is back."""
        self._policy = policy
        self._probe: RecordId | None = None
        self._in_vain = 0
        """Probes that have failed, one after the other."""
        self._last: deque[tuple[float, bool]] = deque(maxlen=policy.calls)
        """When a call ended, and whether it failed."""

    def may_start(self, now: float) -> bool:
        return self.cause is None or (self._probe is None and now >= self.until)

    def next_at(self) -> float | None:
        """When it changes by itself."""
        return None if self.cause is None or self._probe is not None else self.until

    @property
    def doubts(self) -> bool:
        """Whether the next probe is better a question that has not failed: those that have may be
        to blame themselves. Ever more seldom, for with its probe its time begins to run.
        """
        return self._in_vain.bit_count() == 1

    def started(self, record: RecordId) -> None:
        if self.cause is not None:
            self._probe = record

    def answers(self, record: RecordId, now: float) -> None:
        """The model does: this call has its first token, or its end."""
        if record == self._probe:
            self._probe = None
            # Another call may have been told to wait longer meanwhile.
            if now >= self.until:
                self.cause = None
                self._in_vain = 0

    def succeeded(self, record: RecordId, now: float) -> None:
        self.answers(record, now)
        if self.cause is None:
            self._last.append((now, False))

    def failed(self, record: RecordId, now: float) -> None:
        if self._failed_to_find_out(record):
            self._shut(self.cause or Cause.FAILING, now + self._policy.probe)
        elif self.cause is None:
            self._last.append((now, True))
            if self._too_many(now):
                self._shut(Cause.FAILING, now + self._policy.probe)

    def limited(self, record: RecordId, until: float) -> None:
        """The provider wants no more calls before."""
        self._failed_to_find_out(record)
        self._shut(self.cause or Cause.RATE_LIMITED, until)

    def unclear(self, record: RecordId) -> None:
        """The call has ended without telling anything: another one may find out."""
        if record == self._probe:
            self._probe = None

    def _failed_to_find_out(self, record: RecordId) -> bool:
        if record != self._probe:
            return False
        self._probe = None
        self._in_vain += 1
        return True

    def _shut(self, cause: Cause, until: float) -> None:
        self.cause = cause
        self.until = max(self.until, until)
        self._last.clear()

    def _too_many(self, now: float) -> bool:
        while self._last and self._last[0][0] < now - self._policy.window:
            self._last.popleft()
        failures = sum(failed for _, failed in self._last)
        enough = failures >= self._policy.failures
        return enough and failures >= self._policy.ratio * len(self._last)
