"""What is done beyond the commit, through the metadata string and back."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.ledger import Ledger
from penstock.core.offset_map import BITS, RUNS, DoneBeyond, encode, gaps
from penstock.kafka import metadata


def there_and_back(done: DoneBeyond) -> DoneBeyond:
    return metadata.read(done.committed, metadata.write(encode(done)))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**40), st.sets(st.integers(1, 300)), st.integers(0, 40))
def test_the_map_says_what_a_set_says(committed: int, waiting: set[int], more: int) -> None:
    outstanding = sorted({committed, *(committed + offset for offset in waiting)})
    end = outstanding[-1] + 1 + more
    done = there_and_back(DoneBeyond(committed, tuple(gaps(committed, outstanding, end))))
    for offset in range(committed, end + 5):
        assert (offset in done) == (offset < end and offset not in set(outstanding))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(0, 30), max_size=40), st.randoms())
def test_a_ledger_goes_on_where_another_one_stopped(
    first: int, order: list[int], dice: random.Random
) -> None:
    """However often the partition moves, every offset is worked once."""
    offsets = list(range(first, first + 40))
    worked: list[int] = []
    kept = DoneBeyond(first)
    for lifetime in (*order[:4], 40):
        ledger = Ledger(kept)
        mine: list[int] = []
        for offset in offsets[kept.committed - first :]:
            if len(mine) == lifetime:
                break
            if not ledger.skip(offset):
                assert ledger.track(offset)
                mine.append(offset)
        finished = dice.sample(mine, dice.randint(0, len(mine)) if lifetime < 40 else len(mine))
        for offset in finished:
            ledger.resolve(offset)
        worked += finished
        if (committed := ledger.committable()) is not None:
            beyond = ledger.done_beyond()
            assert beyond.committed == committed
            kept = there_and_back(beyond)
    assert sorted(worked) == offsets


def test_it_is_small() -> None:
    dice = random.Random(1)
    done = sorted(dice.sample(range(1, 4000), 2000))
    outstanding = [offset for offset in range(4000) if offset not in set(done)]
    half = encode(DoneBeyond(0, tuple(gaps(0, outstanding, 4000))))
    assert half[0] == BITS
    assert len(half) <= 700
    stuck = [0, *sorted(dice.sample(range(1, 50_000), 4))]
    few = encode(DoneBeyond(0, tuple(gaps(0, stuck, 50_000))))
    assert few[0] == RUNS
    assert len(few) <= 48


def test_nothing_done_says_nothing() -> None:
    assert metadata.write(encode(DoneBeyond(7))) == ""
    assert metadata.read(7, "") == DoneBeyond(7)


def test_more_than_a_broker_takes_is_not_said() -> None:
    outstanding = range(0, 60_000, 2)
    done = DoneBeyond(0, tuple(gaps(0, outstanding, 60_000)))
    assert metadata.write(encode(done)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "{}",
        "[]",
        '{"v":2,"done":""}',
        '{"v":1}',
        '{"v":1,"done":"x00"}',
        '{"v":1,"done":"r~~~"}',
    ],
)
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        metadata.read(0, text)


def test_a_map_is_read_as_the_first_release_wrote_it() -> None:
    """Members of different releases share a group."""
    few = DoneBeyond(100, ((101, 103), (110, 111)))
    assert metadata.read(100, '{"v":1,"done":"b1_S"}') == few
    far = DoneBeyond(100, ((101, 103), (50_000, 50_011)))
    assert metadata.read(100, '{"v":1,"done":"r0RriT0}B"}') == far
