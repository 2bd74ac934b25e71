"""Again, and when? Or give up?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock.core.failure import CONSEQUENCES, Failure, Kind


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter: the n-th wait is drawn from 0 to `base` * 2^(n - 1)
    seconds, and to `cap` at most.

    `attempts`: how many failures of a kind a question may have before it is given up.
    """

    base: float = 0.5
    cap: float = 30.0
    attempts: Mapping[Kind, int] = field(default_factory=lambda: {Kind.UPSTREAM: 5, Kind.ANSWER: 3})


class Retry:
    """`chance` gives numbers from 0 to 1."""

    def __init__(self, policy: RetryPolicy, chance: Callable[[], float]) -> None:
        self._policy = policy
        self._chance = chance

    def again_at(self, failure: Failure, spent: int, now: float) -> float | None:
        """When the next attempt may begin, never before the other side wants it; None: none may.

        `spent`: failures of this kind that count, this one among them where it does.
        """
        policy = self._policy
        if not CONSEQUENCES[failure.kind].retried or spent >= policy.attempts[failure.kind]:
            return None
        # 2.0**1024 is no number.
        longest = min(policy.cap, policy.base * 2.0 ** min(max(spent, 1) - 1, 64))
        return now + max(failure.retry_after or 0.0, longest * self._chance())
