"""What is known of one partition during one assignment, and what is its next commit to say?"""

from typing import NamedTuple

from penstock.core.bookmark import Bookmark, KnownEnd
from penstock.core.duplicates import Asked, Duplicates
from penstock.core.facts import Fetched, Head, Recovered
from penstock.core.ledger import Ledger, Outstanding
from penstock.core.offset_map import encode

FULL = 0.75
"""Of the space for an offset map. Above, it shall not grow: see `ceiling`."""

_MEASURED_EVERY = 32
"""Records done between two looks at the size of the map, which costs as much as a commit."""

_LETTERS_PER_GAP = 8
"""Of an offset map: two numbers of three bytes, and a quarter more in base 85."""


class Limits(NamedTuple):
    """Of what a commit may say: `map_letters`. Of what is the same id again: `window_ms`."""

    map_letters: int = 3900
    window_ms: int = 600_000


class Partition:
    """Not open before its first commit is acknowledged: what is not noted must not be begun.

    Args:
        epoch: of the assignment.
        recovered: what was found out before.
        limits: as an operator set them.
    """

    def __init__(self, epoch: int, recovered: Recovered, limits: Limits) -> None:
        self.epoch = epoch
        self.ledger = Ledger(recovered.done, recovered.claims)
        self.duplicates = Duplicates(limits.window_ms, recovered.asked)
        self.completions = KnownEnd(recovered.end.position)
        self.open = False
        self.committable = True
        """Whether what we know of it is still true of it."""
        self.committed: Head | None = None
        self.ceiling: int | None = None
        """While the offset map is nearly full: nothing at or above this offset starts."""
        self._limits = limits
        self._found = recovered.bookmark
        self._partitions = recovered.end.partitions
        self._unclean_below = recovered.unclean_below
        self._said = self._first_head(recovered)
        """The last head that fits."""
        self._unmeasured = 0
        self._complained = -1

    def _first_head(self, recovered: Recovered) -> Head:
        text = encode(recovered.done)
        if len(text) <= self._limits.map_letters:
            return Head(recovered.done.committed, text, recovered.bookmark)
        # The limit was lowered. From its start, the log of what is done says it all.
        return Head(recovered.done.committed, "", Bookmark(0, self._partitions))

    def first(self, event: Fetched) -> Asked | None:
        """The record whose id this one has again."""
        if event.question_id is None:
            return None
        asked = Asked(event.record.offset, event.timestamp, event.asked_at)
        return self.duplicates.first(event.question_id, asked)

    def resolve(self, offset: int, position: int | None) -> None:
        """Its completion is acknowledged."""
        self.ledger.resolve(offset)
        self.completions.acknowledged(offset, position)
        self._unmeasured += 1
        if self._unmeasured >= _MEASURED_EVERY:
            self._unmeasured = 0
            if len(self.ledger) * _LETTERS_PER_GAP >= FULL * self._limits.map_letters:
                self.head()

    def cut_off(self, offset: int) -> None:
        """It was started and is left to the next owner."""
        self._unclean_below = max(self._unclean_below, offset + 1)

    def head(self) -> Head:
        """What a commit may say now. Where the map does not fit, what was said before: the
        bookmark of then lets the next owner find what was done since.
        """
        done = self.ledger.done_beyond()
        text = encode(done)
        full = len(text) >= FULL * self._limits.map_letters
        self.ceiling = done.ranges[-1][1] if full else None
        if len(text) <= self._limits.map_letters:
            # What is claimed and has not turned up must be found again.
            claimed = self.ledger.claimed
            end = Bookmark(self.completions.position(), self._partitions)
            self._said = Head(done.committed, text, self._found if claimed else end)
        return self._said

    def last_head(self) -> Head:
        """As nothing of the partition runs any more."""
        head = self.head()
        return head._replace(clean=head.offset >= self._unclean_below)

    def held_back(self, now: float, limit: float) -> Outstanding | None:
        """A record that has been outstanding for longer than the limit; each is named once."""
        oldest = self.ledger.oldest()
        if oldest is None or now - oldest.since < limit or oldest.offset == self._complained:
            return None
        self._complained = oldest.offset
        return oldest
