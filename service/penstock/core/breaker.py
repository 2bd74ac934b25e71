"""Is the model worth calling at all?"""

import math
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
    """So many `failures` one after the other shut it, however long they took, or, of the last
    `calls` within `window` seconds, so many that are at least that `ratio` of them. Then one call
    every `probe` seconds finds out.
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
        self.succeeded_at = -math.inf
        """When a call last came to its end."""
        self.in_vain: RecordId | None = None
        """The last call to fail, if it was to find out."""
        self._policy = policy
        self._probe: RecordId | None = None
        self._probes_in_vain = 0
        """One after the other."""
        self._breaks_off = False
        """Whether what shut it were answers that had begun: then a first token says nothing."""
        self._last: deque[tuple[float, bool]] = deque(maxlen=policy.calls)
        """When a call ended, and whether it failed."""
        self._in_a_row = 0
        """Failures, however long they took."""

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
        return self._probes_in_vain.bit_count() == 1

    def started(self, record: RecordId) -> None:
        if self.cause is not None:
            self._probe = record

    def answers(self, record: RecordId, now: float) -> None:
        """The model does: this call has its first token."""
        if not self._breaks_off:
            self._found_out(record, now)

    def succeeded(self, record: RecordId, now: float) -> None:
        self.succeeded_at = now
        self._found_out(record, now)
        if self.cause is None:
            self._last.append((now, False))
            self._in_a_row = 0

    def failed(self, record: RecordId, now: float, *, answered: bool = False) -> None:
        """`answered`: it had its first token, and no end."""
        if self._failed_to_find_out(record):
            self._breaks_off = answered
            self._shut(self.cause or Cause.FAILING, now + self._policy.probe)
        elif self.cause is None:
            self._last.append((now, True))
            self._in_a_row += 1
            if self._too_many(now):
                self._breaks_off = answered
                self._shut(Cause.FAILING, now + self._policy.probe)

    def limited(self, record: RecordId, until: float) -> None:
        """The provider wants no more calls before."""
        self._failed_to_find_out(record)
        self._shut(self.cause or Cause.RATE_LIMITED, until)

    def unclear(self, record: RecordId) -> None:
        """The call has ended without telling anything: another one may find out."""
        if record == self._probe:
            self._probe = None

    def _found_out(self, record: RecordId, now: float) -> None:
        if record == self._probe:
            self._probe = None
            # Another call may have been told to wait longer meanwhile.
            if now >= self.until:
                self.cause = None
                self._breaks_off = False
                self._probes_in_vain = 0

    def _failed_to_find_out(self, record: RecordId) -> bool:
        if record != self._probe:
            self.in_vain = None
            return False
        self._probe, self.in_vain = None, record
        self._probes_in_vain += 1
        return True

    def _shut(self, cause: Cause, until: float) -> None:
        self.cause = cause
        self.until = max(self.until, until)
        self._last.clear()
        self._in_a_row = 0

    def _too_many(self, now: float) -> bool:
        while self._last and self._last[0][0] < now - self._policy.window:
            self._last.popleft()
        least, failures = self._policy.failures, sum(failed for _, failed in self._last)
        # Where few ask, and where a failure takes its time, what was well before counts too long.
        if self._in_a_row >= least:
            return True
        return failures >= least and failures >= self._policy.ratio * len(self._last)
