"""Which offsets of one partition are done, and how far is it safe to commit?"""

from collections import OrderedDict

from penstock.core.offset_map import DoneBeyond, gaps

NOTHING = DoneBeyond()


class Ledger:
    """Offsets go in ascending and are resolved in any order.

    An offset that was never tracked (compacted away, a transaction's marker) counts as done: only
    outstanding offsets hold the commit back.

    Args:
        recovered: what the commit before this assignment says is done beyond it.
    """

    def __init__(self, recovered: DoneBeyond = NOTHING) -> None:
        # An OrderedDict finds its first key in constant time however many were removed before it;
        # a dict would walk over the holes.
        self._outstanding: OrderedDict[int, None] = OrderedDict()
        self._end: int | None = None
        self._recovered = recovered

    def __len__(self) -> int:
        return len(self._outstanding)

    def __contains__(self, offset: int) -> bool:
        return offset in self._outstanding

    def skip(self, offset: int) -> bool:
        """True if the offset was done before this assignment; it counts as done."""
        if self._end is None and offset < self._recovered.committed:
            # The log begins anew before the commit: its offsets are other records by now.
            self._recovered = NOTHING
        if offset not in self._recovered or (self._end is not None and offset < self._end):
            return False
        self._end = offset + 1
        return True

    def track(self, offset: int) -> bool:
        """False if the offset was tracked before: the broker may deliver a record twice."""
        if self._end is not None and offset < self._end:
            return False
        self._outstanding[offset] = None
        self._end = offset + 1
        return True

    def resolve(self, offset: int) -> None:
        del self._outstanding[offset]

    def committable(self) -> int | None:
        """The lowest offset not done, or None before the first record."""
        return next(iter(self._outstanding), self._end)

    def done_beyond(self) -> DoneBeyond:
        """What is done beyond `committable()`, seen in this assignment or not yet seen again."""
        committed, end = self.committable(), self._end
        if committed is None or end is None:
            return self._recovered
        seen = list(gaps(committed, self._outstanding, end))
        unseen = [(max(a, end), b) for a, b in self._recovered.ranges if b > end]
        if seen and unseen and seen[-1][1] == unseen[0][0]:
            seen[-1:], unseen[:1] = [(seen[-1][0], unseen[0][1])], []
        return DoneBeyond(committed, (*seen, *unseen))
