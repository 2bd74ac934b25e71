"""What is known of one partition during one assignment, and what is its next commit to say?"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from penstock.core.bookmark import Bookmark, KnownEnd
from penstock.core.duplicates import Asked, Duplicates
from penstock.core.facts import Fetched, Head, RecordId, Recovered
from penstock.core.handover import Holds, Run, letters
from penstock.core.ledger import Ledger, Outstanding
from penstock.core.offset_map import encode

FULL = 0.75
"""Of the space for what a commit says. Above, it shall not grow: see `ceiling`."""

_MEASURED_EVERY = 32
"""Records done between two looks at the size of the map, which costs as much as a commit."""

_LETTERS_PER_GAP = 8
"""Of an offset map: two numbers of three bytes, and a quarter more in base 85."""

_LETTERS_PER_RUN = 7
"""A number of three bytes and one of two, and a quarter more."""


class Limits(NamedTuple):
    """Of what a commit may say: `map_letters`. Of what is the same id again: `window_ms`.

    `margin`: seconds after which nothing arrives any more of a run whose time is over.
    """

    map_letters: int = 3900
    window_ms: int = 600_000
    margin: float = 3.0


class Partition:
    """Not open before its first commit is acknowledged: what is not noted must not be begun.

    Args:
        epoch: of the assignment.
        recovered: what was found out before.
        limits: as an operator set them.
        writer: our own name; the runs under it are not waited for.
        duplicates: what we know of its ids from an assignment before.
    """

    def __init__(
        self,
        epoch: int,
        recovered: Recovered,
        limits: Limits,
        writer: str = "",
        duplicates: Duplicates | None = None,
    ) -> None:
        self.epoch = epoch
        self.ledger = Ledger(recovered.done, recovered.claims)
        if recovered.asked is not None or duplicates is None:
            duplicates = Duplicates(limits.window_ms, recovered.asked or ())
        self.duplicates = duplicates
        self.completions = KnownEnd(recovered.end.position)
        others = (
            run
            for run in recovered.runs
            if run.runner != writer and not self.ledger.was_done(run.offset)
        )
        self.held = Holds(others, recovered.end.position, limits.margin)
        self.begun: dict[int, RecordId] = {}
        """What we have started or concluded and is not done; some of it in an assignment before."""
        self.taken_over: dict[int, float] = {}
        """What has not turned up yet and another has begun: since when it does so no more."""
        self.open = False
        self.committable = True
        """Whether what we know of it is still true of it."""
        self.committed: Head | None = None
        self._ceiling: int | None = None
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
        if event.own_id:
            return None
        asked = Asked(event.record.offset, event.timestamp, event.asked_at)
        return self.duplicates.first(event.question_id, asked)

    def resolve(self, offset: int, position: int | None, now: float) -> None:
        """Its completion is acknowledged."""
        self.begun.pop(offset, None)
        self.duplicates.done(offset)
        self.ledger.resolve(offset)
        self.completions.acknowledged(offset, position)
        self._unmeasured += 1
        if self._unmeasured >= _MEASURED_EVERY:
            self._unmeasured = 0
            if len(self.ledger) * _LETTERS_PER_GAP >= FULL * self._limits.map_letters:
                self.head(now)

    def claim(self, offset: int, timestamp: int, position: int | None) -> None:
        """The same, of a record that has not turned up in this assignment."""
        self.begun.pop(offset, None)
        self.duplicates.done(offset)
        self.ledger.claim(offset, timestamp)
        self.completions.acknowledged(offset, position)

    def cut_off(self, offset: int) -> None:
        """It was started and is left to whoever starts it next."""
        self.begun.pop(offset, None)
        self._unclean_below = max(self._unclean_below, offset + 1)

    def hold(self, run: Run) -> None:
        """We do not run it any more; what we have said of it may still be on its way."""
        self.cut_off(run.offset)
        if not self.ledger.was_done(run.offset):
            self.held.add(run)

    def followed(self, position: int, as_of: float) -> list[Run]:
        """See `Holds.read`."""
        self.completions.saw(position)
        over = self.held.read(position, as_of)
        for run in over:
            self.cut_off(run.offset)
        return over

    @property
    def ceiling(self) -> int | None:
        """While what a commit must say is nearly full: nothing at or above this offset starts."""
        if len(self.begun) * _LETTERS_PER_RUN >= FULL * self._limits.map_letters:
            return 0
        return self._ceiling

    def head(self, now: float, runs: Iterable[Run] = ()) -> Head:
        """What a commit may say now, with these runs of ours. Where the map does not fit, what was
        said before: the bookmark of then lets the next owner find what was done since.
        """
        done = self.ledger.done_beyond()
        # Whose record the retention took, nobody starts.
        named = (*self.held.entries(), *runs)
        entries = tuple(run for run in named if run.offset >= done.committed)
        text = encode(done)
        room = self._limits.map_letters - letters(entries, done.committed, now)
        expected = len(self.begun) * _LETTERS_PER_RUN
        full = len(text) + expected >= FULL * room
        self._ceiling = done.ranges[-1][1] if full and done.ranges else None
        if len(text) <= room:
            # What is claimed and has not turned up must be found again.
            claimed = self.ledger.claimed
            end = Bookmark(self._read_to(), self._partitions)
            self._said = Head(done.committed, text, self._found if claimed else end)
        return self._said._replace(runs=entries)

    def _read_to(self) -> int:
        end = self.completions.position()
        return min(end, self.held.position) if self.held else end

    def last_head(self, now: float, runs: Sequence[Run]) -> Head:
        """Nothing of the partition will run but these, here, and what others run. Those at the
        end of `runs` are left out where the commit has no room for them.
        """
        head = self.head(now, runs)
        while runs and not self._fits(head, now):
            runs = runs[:-1]
            head = self.head(now, runs)
        for offset in self.begun.keys() - {run.offset for run in runs}:
            self.cut_off(offset)
        return head._replace(clean=head.offset >= self._unclean_below)

    def noted(self, now: float) -> int:
        """Letters of what the last commit says beside its offset; `map_letters` at most."""
        return 0 if self.committed is None else _size(self.committed, now)

    def _fits(self, head: Head, now: float) -> bool:
        return _size(head, now) <= self._limits.map_letters

    def held_back(self, now: float, limit: float) -> Outstanding | None:
        """A record that has been outstanding for longer than the limit; each is named once."""
        oldest = self.ledger.oldest()
        if oldest is None or now - oldest.since < limit or oldest.offset == self._complained:
            return None
        self._complained = oldest.offset
        return oldest


def _size(head: Head, now: float) -> int:
    return len(head.done) + letters(head.runs, head.offset, now)
