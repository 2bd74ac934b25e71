"""May this member still speak for the partitions that the group gave it?

Only while the group cannot have given them to another. All times are those of sending: an answer
may be read long after it was given.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """Seconds. The first two as the group was told; `margin` is more than a request of ours may
    stay on its way.
    """

    session: float = 10.0
    rebalance: float = 30.0
    margin: float = 3.0


class Lease:
    """Of one generation at a time."""

    def __init__(self, policy: LeasePolicy) -> None:
        self._policy = policy
        self._answered = -math.inf
        self._confirmed = -math.inf

    def renewed(self, sent_at: float, *, rebalancing: bool) -> None:
        """The group has answered without an error what was sent then; `rebalancing`: but wants us
        to join anew, for which it waits as long as the rebalance timeout. A commit it takes all
        the same meanwhile: only a heartbeat or a join shows that it does not rebalance.
        """
        self._answered = max(self._answered, sent_at)
        if not rebalancing:
            self._confirmed = max(self._confirmed, sent_at)

    @property
    def until(self) -> float:
        """Nothing may be on its way any more then."""
        policy = self._policy
        ends = min(self._answered + policy.session, self._confirmed + policy.rebalance)
        return ends - policy.margin
