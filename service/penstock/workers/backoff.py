"""When is a worker that has died started again?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """All in seconds: the first wait is `first`, each next one twice as long and `cap` at most;
    after one that served for `well` it begins anew.
    """

    first: float = 1.0
    cap: float = 30.0
    well: float = 60.0


POLICY = BackoffPolicy()


class Backoff:
    """Of one worker."""

    def __init__(self, policy: BackoffPolicy = POLICY) -> None:
        self._policy = policy
        self._next = policy.first

    def died(self, serving_since: float | None, now: float) -> float:
        """Seconds to wait. `serving_since`: None: it never came so far."""
        policy = self._policy
        if serving_since is not None and now - serving_since >= policy.well:
            self._next = policy.first
        wait, self._next = self._next, min(policy.cap, self._next * 2)
        return wait
