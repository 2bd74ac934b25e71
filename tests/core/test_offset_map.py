"""What is done beyond the commit, as a string and back."""

import base64
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.core.claims import Claims
from penstock.core.ledger import Ledger
from penstock.core.offset_map import BITS, RUNS, DoneBeyond, decode, encode, gaps
from tests.core.ranges import ranges_of


def as_runs(committed: int, offsets: set[int]) -> str:
    written = bytearray()
    at = committed
    for start, end in ranges_of(offsets):
        for length in (start - at, end - start):
            left = length
            while left >= 128:
                written.append(left % 128 + 128)
                left //= 128
            written.append(left)
        at = end
    return RUNS + base64.b85encode(bytes(written)).decode()


def as_bits(committed: int, offsets: set[int]) -> str:
    written = bytearray((max(offsets) - committed) // 8 + 1)
    for offset in offsets:
        written[(offset - committed) // 8] |= 1 << (offset - committed) % 8
    return BITS + base64.b85encode(bytes(written)).decode()


Offsets = st.one_of(
    st.sets(st.integers(0, 60)),
    st.sets(st.integers(0, 2_000), max_size=60),
    st.sets(st.integers(0, 8), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**62), Offsets)
@example(0, set(range(1, 129)))
@example(0, {127, 128, 16_384})
def test_the_map_says_what_a_set_says_in_the_shorter_way(committed: int, beyond: set[int]) -> None:
    offsets = {committed + offset for offset in beyond}
    done = DoneBeyond(committed, ranges_of(offsets))
    text = encode(done)
    assert decode(committed, text) == done
    for offset in range(committed - 2, committed + 2_003):
        assert (offset in done) == (offset in offsets)
    if offsets:
        runs, bits = as_runs(committed, offsets), as_bits(committed, offsets)
        assert text in (runs, bits)
        assert len(text) == min(len(runs), len(bits))
    else:
        assert text == ""


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 30), st.sets(st.integers(0, 30)), st.integers(0, 40))
def test_what_lies_between_the_outstanding_is_the_rest(
    start: int, outstanding: set[int], end: int
) -> None:
    inside = sorted(offset for offset in outstanding if start <= offset < end)
    rest = {offset for offset in range(start, end) if offset not in outstanding}
    assert tuple(gaps(start, inside, end)) == ranges_of(rest)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(0, 30), max_size=40), st.randoms())
def test_a_ledger_goes_on_where_another_one_stopped(
    first: int, order: list[int], dice: random.Random
) -> None:
    """However often the partition moves, every offset is worked once."""
    offsets = list(range(first, first + 40))
    worked: list[int] = []
    kept = DoneBeyond(first)
    for lifetime in (*order[:4], 40):
        ledger = Ledger(kept, Claims())
        mine: list[int] = []
        for offset in offsets[kept.committed - first :]:
            if len(mine) == lifetime:
                break
            if not ledger.skip(offset, 0):
                assert ledger.track(offset, 0)
                mine.append(offset)
        finished = dice.sample(mine, dice.randint(0, len(mine)) if lifetime < 40 else len(mine))
        for offset in finished:
            ledger.resolve(offset)
        worked += finished
        kept = decode(ledger.committable(), encode(ledger.done_beyond()))
    assert sorted(worked) == offsets


def test_a_commit_that_is_further_on_covers_more() -> None:
    done = DoneBeyond(3, ((4, 6), (8, 12), (20, 21)))
    assert done.after(3) == done
    assert done.after(7) == DoneBeyond(7, ((8, 12), (20, 21)))
    assert done.after(10) == DoneBeyond(10, ((10, 12), (20, 21)))
    assert done.after(12) == DoneBeyond(12, ((20, 21),))
    assert done.after(99) == DoneBeyond(99)


def test_nothing_done_says_nothing() -> None:
    assert encode(DoneBeyond(7)) == ""
    assert decode(7, "") == DoneBeyond(7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x00", "unknown kind"),
        ("r00", "in the middle"),
        ("rfB", "in the middle"),
        ("r~~~", "bad base85|overflow"),
        ("b\N{GREEK SMALL LETTER ALPHA}", "ASCII"),
        ("b 0", "bad base85"),
    ],
)
def test_what_was_never_written_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(0, text)
