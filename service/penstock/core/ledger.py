"""Which offsets of one partition are done, and how far is it safe to commit?"""

from collections import OrderedDict
from typing import NamedTuple

from penstock.core.claims import Claims
from penstock.core.facts import Reading
from penstock.core.offset_map import DoneBeyond, gaps


class Outstanding(NamedTuple):
    """`since`: monotonic seconds."""

    offset: int
    since: float


class Ledger:
    """Offsets go in ascending and are resolved in any order.

    An offset that was never tracked (compacted away, a transaction's marker, aborted, taken by
    the retention) counts as done: only outstanding offsets hold the commit back.

    Args:
        recovered: what the commit before this assignment says is done.
        claims: what completions say is done beside that.
    """

    def __init__(self, recovered: DoneBeyond, claims: Claims) -> None:
        # An OrderedDict finds its first key in constant time however many were removed before it;
        # a dict would walk over the holes.
        self._outstanding: OrderedDict[int, float] = OrderedDict()
        self._end = recovered.committed
        self._done_end = recovered.committed
        """One past the highest that is done. Holes behind are not said to be: where only waiting
        records lie between them, they would fill the map for nothing."""
        self._recovered = recovered
        self._claims = claims

    def __len__(self) -> int:
        return len(self._outstanding)

    def __contains__(self, offset: int) -> bool:
        return offset in self._outstanding

    @property
    def claimed(self) -> bool:
        """Whether completions claim records that have not turned up yet."""
        return self._end < self._claims.claimed_end

    def skip(self, offset: int, timestamp: int) -> bool:
        """True if the record was done before this assignment; it counts as done.

        `timestamp` of the record in Unix milliseconds.
        """
        if offset < self._end:
            return False
        if offset in self._recovered or self._claims.hold(offset, timestamp):
            self._end = self._done_end = offset + 1
            return True
        return False

    def was_done(self, offset: int) -> bool:
        """Whether the commit before says so."""
        return offset < self._recovered.committed or offset in self._recovered

    def claim(self, offset: int, timestamp: int) -> None:
        """A completion has appeared of a record that may not have turned up yet."""
        if offset >= self._end:
            self._claims.add(offset, timestamp)

    def track(self, offset: int, now: float) -> bool:
        """False if the offset was tracked before: the broker may deliver a record twice."""
        if offset < self._end:
            return False
        self._outstanding[offset] = now
        self._end = offset + 1
        return True

    def resolve(self, offset: int) -> None:
        del self._outstanding[offset]
        self._done_end = max(self._done_end, offset + 1)

    def oldest(self) -> Outstanding | None:
        """Which record holds the commit back, and since when."""
        for offset, since in self._outstanding.items():
            return Outstanding(offset, since)
        return None

    def committable(self) -> int:
        """The lowest offset not done."""
        return next(iter(self._outstanding), self._end)

    def backlog(self, reading: Reading) -> int:
        """Records not done, up to the end of the log: those here, and those not read yet that
        nobody says are done. What was read past and never came here is none.
        """
        # Where the last that was given is not here yet, it is on its way.
        seen = reading.position if reading.given <= self._end else self._end
        start = max(self._end, seen)
        if reading.end <= start:
            # Of a leader that has just taken over, the end may lag behind what was read.
            return len(self._outstanding)
        unread = reading.end - start - self._done_within(start, reading.end)
        return len(self._outstanding) + unread

    def _done_within(self, start: int, end: int) -> int:
        """As said before this assignment."""
        ranges = list(self._recovered.within(start, end))
        done = sum(stop - begin for begin, stop in ranges)
        if start >= self._claims.claimed_end:
            return done
        # A completion may claim what the commit covers already.
        both = sum(self._claims.count(begin, stop) for begin, stop in ranges)
        return done + self._claims.count(start, end) - both

    def done_beyond(self) -> DoneBeyond:
        """What is done beyond `committable()`, seen in this assignment or not yet seen again.

        Without what is claimed and has not turned up.
        """
        committed, end = self.committable(), self._end
        holes = gaps(committed, self._outstanding, end)
        seen = [hole for hole in holes if hole[0] < self._done_end]
        unseen = [(max(a, end), b) for a, b in self._recovered.ranges if b > end]
        if seen and unseen and seen[-1][1] == unseen[0][0]:
            seen[-1:], unseen[:1] = [(seen[-1][0], unseen[0][1])], []
        return DoneBeyond(committed, (*seen, *unseen))
