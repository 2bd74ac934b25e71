"""Only what is done may be committed, and nothing is done twice."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.ledger import Ledger


def ledger(*offsets: int) -> Ledger:
    tracked = Ledger()
    assert all(tracked.track(offset) for offset in offsets)
    return tracked


def test_before_the_first_record_there_is_nothing_to_commit() -> None:
    assert Ledger().committable() is None


def test_the_lowest_outstanding_offset_holds_the_commit_back() -> None:
    tracked = ledger(4, 5, 6)
    tracked.resolve(5)
    tracked.resolve(6)
    assert tracked.committable() == 4
    tracked.resolve(4)
    assert tracked.committable() == 7


def test_offsets_that_never_arrive_count_as_done() -> None:
    tracked = ledger(4, 9)
    tracked.resolve(4)
    assert tracked.committable() == 9


def test_an_offset_is_tracked_once_even_after_it_is_done() -> None:
    tracked = ledger(4, 5)
    tracked.resolve(4)
    assert not tracked.track(4)
    assert not tracked.track(5)
    assert tracked.committable() == 5


def test_it_knows_what_is_outstanding() -> None:
    tracked = ledger(4, 5, 7)
    tracked.resolve(5)
    assert len(tracked) == 2
    assert 4 in tracked
    assert 5 not in tracked


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("track"), st.integers(0, 30)),
            st.tuples(st.just("resolve"), st.integers(0, 30)),
        ),
        max_size=60,
    )
)
def test_it_agrees_with_a_set_and_a_minimum(moves: list[tuple[str, int]]) -> None:
    tracked, outstanding, end = Ledger(), set[int](), None
    for move, number in moves:
        if move == "track":
            fresh = end is None or number >= end
            assert tracked.track(number) is fresh
            if fresh:
                outstanding.add(number)
                end = number + 1
        elif outstanding:
            done = sorted(outstanding)[number % len(outstanding)]
            outstanding.remove(done)
            tracked.resolve(done)
        assert tracked.committable() == min(outstanding, default=end)
        assert len(tracked) == len(outstanding)
