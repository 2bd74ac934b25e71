"""Which partitions are on their way out, until when, and what of them may be said meanwhile?"""

from collections.abc import Iterable
from typing import NamedTuple

from penstock.core.facts import RecordId
from penstock.core.partition import Partition
from penstock.core.policy import Policy


class Departure(NamedTuple):
    """A partition on its way out.

    Args:
        until: its running work may finish.
        since: nothing of it starts any more.
        hand_over: the work may do so when the partition is another's.
    """

    until: float
    since: float
    hand_over: bool


class Departures:
    """From the moment that nothing starts any more to the end of the last commit."""

    def __init__(self, policy: Policy) -> None:
        self.leaving: dict[int, Departure] = {}
        self.handing_over: set[RecordId] = set()
        """What the last commit on its way names as our runs; until it is there, nothing is said."""
        self.released: set[int] = set()
        """Partitions whose last commit is on its way."""
        self._policy = policy

    def __contains__(self, number: int) -> bool:
        return number in self.leaving

    def add(self, numbers: Iterable[int], until: float, now: float, *, hand_over: bool) -> None:
        """One that leaves already has no more time than before."""
        for number in numbers:
            before = self.leaving.get(number)
            ends = until if before is None else min(until, before.until)
            self.leaving[number] = Departure(ends, now, hand_over)

    def cap(self, until: float) -> None:
        for number, departure in self.leaving.items():
            self.leaving[number] = departure._replace(until=min(departure.until, until))

    def has_had_its_time(self, record: RecordId, partition: Partition | None, now: float) -> bool:
        """Whether it has had its time; `partition`: of which it is outstanding, if any."""
        departure = self.leaving.get(record.partition)
        if departure is None or partition is None or departure.hand_over:
            return False
        return departure.until <= now

    def silences(self, record: RecordId, partition: Partition | None) -> bool:
        """While the last commit names it: what is on its way then, nobody may know of."""
        departure = self.leaving.get(record.partition)
        leaves = departure is not None and departure.hand_over
        # What was not opened has no last commit: the entry of before stands.
        named = leaves and partition is not None and partition.open
        return record in self.handing_over or named

    def next_at(self, now: float) -> float | None:
        """When they are looked at next."""
        if not self.leaving:
            return None
        flight, grace = self._policy.flight, self._policy.cancel_grace
        moments = (
            moment
            for until, since, _ in self.leaving.values()
            for moment in (since + flight, until, until + flight, until + grace)
            if moment > now
        )
        return min(moments, default=None)
