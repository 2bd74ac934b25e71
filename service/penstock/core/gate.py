"""Do too many questions fail for good?"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from penstock.core.failure import Failure, Kind


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """Shut by `run` dead letters one after the other, or where, of at least `run` questions that
    ended within `window` seconds, more than `ratio` were dead-lettered.

    `action`: wait for an operator, or stop the service.
    """

    action: Literal["pause", "exit"] = "pause"
    ratio: float = 0.5
    run: int = 20
    window: float = 60.0


class Gate:
    """Before the dead letters. What is wrong with the question itself does not count, nor what
    ran out of time before its turn or between two attempts: only a program or a model that fails
    does.
    """

    def __init__(self, policy: GatePolicy) -> None:
        self.policy = policy
        self.cause: Failure | None = None
        """The one too many, while it is shut."""
        self._in_a_row = 0
        self._last: deque[tuple[float, bool]] = deque()
        """When a question ended, and whether badly."""
        self._failed = 0
        """Of those."""

    @property
    def shut(self) -> bool:
        return self.cause is not None

    def succeeded(self, now: float) -> None:
        self._in_a_row = 0
        self._note(now, failed=False)

    def lets_through(self, failure: Failure, now: float) -> bool:
        """Whether it may be dead-lettered; the one that is too many may not."""
        if failure.kind is Kind.RECORD or failure.stage == "waiting":
            return True
        if failure.stage == "retrying" and not self.shut:
            return True
        if not self.shut:
            self._in_a_row += 1
            self._note(now, failed=True)
            if self._too_many():
                self.cause = failure
        return not self.shut

    def open(self) -> None:
        """An operator has seen to it: it counts anew."""
        self.cause = None
        self._in_a_row = self._failed = 0
        self._last.clear()

    def _note(self, now: float, *, failed: bool) -> None:
        self._last.append((now, failed))
        self._failed += failed
        while self._last[0][0] < now - self.policy.window:
            self._failed -= self._last.popleft()[1]

    def _too_many(self) -> bool:
        if self._in_a_row >= self.policy.run:
            return True
        ended = len(self._last)
        return ended >= self.policy.run and self._failed > self.policy.ratio * ended
