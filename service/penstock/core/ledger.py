"""Which offsets of one partition are done, and how far is it safe to commit?"""

from collections import OrderedDict


class Ledger:
    """Offsets go in ascending and are resolved in any order.

    An offset that was never tracked (compacted away, a transaction's marker) counts as done: only
    outstanding offsets hold the commit back.
    """

    def __init__(self) -> None:
        # An OrderedDict finds its first key in constant time however many were removed before it;
        # a dict would walk over the holes.
        self._outstanding: OrderedDict[int, None] = OrderedDict()
        self._end: int | None = None

    def __len__(self) -> int:
        return len(self._outstanding)

    def __contains__(self, offset: int) -> bool:
        return offset in self._outstanding

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
