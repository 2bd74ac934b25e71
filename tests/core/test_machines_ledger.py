"""The ledger beside two sets: what is outstanding, and what is done."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from penstock.core.claims import Claims
from penstock.core.facts import Reading
from penstock.core.ledger import Ledger, Outstanding
from penstock.core.offset_map import DoneBeyond, decode, encode
from tests.core.ranges import ranges_of

RIGHT, WRONG = 70, 71
"""Timestamps in claims; that of every record is the first."""


class LedgerBesideTwoSets(RuleBasedStateMachine):
    @initialize(
        committed=st.integers(0, 20),
        done=st.sets(st.integers(0, 30)),
        claims=st.dictionaries(st.integers(0, 30), st.sampled_from((RIGHT, WRONG))),
    )
    def assigned(self, committed: int, done: set[int], claims: dict[int, int]) -> None:
        self.now = 0
        self.outstanding = dict[int, int]()
        """And since when."""
        self.end = committed
        self.done = {committed + offset for offset in done}
        """At or behind the commit, holes too."""
        self.answered = set(self.done)
        """Without the holes that nobody has said to be done."""
        self.claimed = {committed + offset: timestamp for offset, timestamp in claims.items()}
        self.ledger = self.next_owner(DoneBeyond(committed, ranges_of(self.done)))

    def next_owner(self, known: DoneBeyond) -> Ledger:
        claims = Claims(known.committed, known.committed + 1_000)
        for offset, timestamp in self.claimed.items():
            claims.add(offset, timestamp)
        return Ledger(known, claims)

    def committed(self) -> int:
        return min(self.outstanding, default=self.end)

    @rule(gap=st.sampled_from((0, 0, 0, 1, 3)))
    def fetches(self, gap: int) -> None:
        """What is left out was compacted away."""
        self.now += 1
        offset = self.end + gap
        was_done = offset in self.done or self.claimed.get(offset) == RIGHT
        assert self.ledger.skip(offset, RIGHT) == was_done
        self.done |= set(range(self.end, offset + 1))
        # A hole is a hole, whatever was known of it.
        self.answered -= set(range(self.end, offset))
        self.end = offset + 1
        if was_done:
            self.answered.add(offset)
        else:
            assert self.ledger.track(offset, self.now)
            self.done.discard(offset)
            self.outstanding[offset] = self.now

    @precondition(lambda self: self.end > 0)
    @rule(which=st.integers(0, 100))
    def fetches_again(self, which: int) -> None:
        offset = which % self.end
        assert not self.ledger.skip(offset, RIGHT)
        assert not self.ledger.track(offset, self.now)

    @precondition(lambda self: self.outstanding)
    @rule(which=st.integers(0, 100))
    def resolves(self, which: int) -> None:
        offset = sorted(self.outstanding)[which % len(self.outstanding)]
        self.ledger.resolve(offset)
        del self.outstanding[offset]
        self.done.add(offset)
        self.answered.add(offset)

    @rule()
    def moves_to_the_next_owner(self) -> None:
        """By what a commit says and nothing else; what was running is not done."""
        committed, said = self.ledger.committable(), encode(self.ledger.done_beyond())
        self.end = self.committed()
        self.outstanding.clear()
        known = decode(committed, said)
        self.ledger = self.next_owner(known)
        self.done = offsets_of(known)
        self.answered = set(self.done)

    @invariant()
    def it_commits_what_is_done(self) -> None:
        committed = self.committed()
        assert self.ledger.committable() == committed
        said = self.ledger.done_beyond()
        assert said == DoneBeyond(committed, ranges_of(offsets_of(said)))
        assert {offset for offset in self.answered if offset >= committed} <= offsets_of(said)
        assert offsets_of(said) <= self.done

    @invariant()
    def it_says_nothing_of_holes_behind_all_that_is_done(self) -> None:
        highest = max((offset for offset in self.answered if offset < self.end), default=-1)
        for start, end in self.ledger.done_beyond().ranges:
            assert start <= highest or self.answered & set(range(start, end))

    @invariant()
    def it_knows_what_is_outstanding(self) -> None:
        assert len(self.ledger) == len(self.outstanding)
        for offset in range(self.end + 3):
            assert (offset in self.ledger) == (offset in self.outstanding)
        oldest = min(self.outstanding.items(), default=None)
        assert self.ledger.oldest() == (None if oldest is None else Outstanding(*oldest))

    @invariant()
    def it_counts_what_is_not_done_up_to_the_end_of_the_log(self) -> None:
        end = self.end + 40
        known = self.done | self.claimed.keys()
        for on_its_way, past in ((0, 0), (0, 2), (0, 50), (1, 2)):
            # What is on its way to the ledger nobody has read past.
            start = self.end if on_its_way else self.end + past
            unread = [offset for offset in range(start, end) if offset not in known]
            reading = Reading(1, self.end + on_its_way, self.end + past, end)
            assert self.ledger.backlog(reading) == len(self.outstanding) + len(unread)

    @invariant()
    def it_knows_whether_claims_are_still_to_turn_up(self) -> None:
        assert self.ledger.claimed == any(offset >= self.end for offset in self.claimed)


def offsets_of(known: DoneBeyond) -> set[int]:
    return {offset for start, end in known.ranges for offset in range(start, end)}


TestLedger = LedgerBesideTwoSets.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
