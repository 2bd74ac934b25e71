"""The same id again within the window, in the order of the log."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.duplicates import Asked, Duplicates

WINDOW = 1_000


def asked(offset: int, timestamp: int, now: int | None = None) -> Asked:
    """`now`: what the time is; a timestamp behind it is in the future."""
    return Asked(offset, timestamp, timestamp if now is None else min(timestamp, now))


def test_the_same_id_again_is_a_duplicate_of_the_first() -> None:
    ids = Duplicates(WINDOW)
    assert ids.first("a", asked(0, 500)) is None
    assert ids.first("b", asked(1, 500)) is None
    assert ids.first("a", asked(2, 600)) == asked(0, 500)
    assert ids.first("a", asked(3, 700)) == asked(0, 500)


@pytest.mark.parametrize(("after", "again"), [(999, True), (1_000, True), (1_001, False)])
def test_the_window_is_between_the_two_records(*, after: int, again: bool) -> None:
    ids = Duplicates(WINDOW)
    ids.first("a", asked(0, 500))
    assert (ids.first("a", asked(1, 500 + after)) is not None) == again


def test_it_does_not_begin_anew_with_each_duplicate() -> None:
    """An answer is as old as its question; nobody is sent to one of long ago."""
    ids = Duplicates(WINDOW)
    for offset, timestamp in enumerate((0, 600, 1_000)):
        ids.first("a", asked(offset, timestamp))
    assert ids.first("a", asked(3, 1_200)) is None
    assert ids.first("a", asked(4, 1_300)) == asked(3, 1_200)


def test_other_ids_do_not_matter_even_when_they_are_newer() -> None:
    ids = Duplicates(WINDOW)
    ids.first("a", asked(0, 500))
    ids.first("b", asked(1, 1_400))
    assert ids.first("a", asked(2, 1_500)) == asked(0, 500)


def test_a_record_is_no_duplicate_of_itself() -> None:
    ids = Duplicates(WINDOW, [("a", asked(4, 500))])
    assert ids.first("a", asked(4, 500)) is None
    assert ids.first("a", asked(5, 600)) == asked(4, 500)


def test_a_record_is_no_duplicate_of_one_behind_it() -> None:
    """Which was read before a restart."""
    ids = Duplicates(WINDOW, [("a", asked(7, 700))])
    assert ids.first("a", asked(5, 500)) is None
    assert ids.first("a", asked(8, 800)) == asked(7, 700)


def test_a_producer_whose_clock_goes_back_repeats_all_the_same() -> None:
    ids = Duplicates(WINDOW)
    ids.first("a", asked(0, 5_000))
    assert ids.first("a", asked(1, 4_500)) == asked(0, 5_000)
    assert ids.first("a", asked(2, 3_999)) is None


def test_a_timestamp_in_the_future_does_not_end_the_window_for_the_others() -> None:
    ids = Duplicates(WINDOW)
    ids.first("a", asked(0, 500, now=500))
    ids.first("far", asked(1, 9_000_000, now=600))
    assert ids.first("a", asked(2, 700, now=700)) == asked(0, 500)
    assert ids.first("far", asked(3, 9_000_000, now=800)) == Asked(1, 9_000_000, 600)


def test_zero_is_off() -> None:
    ids = Duplicates(0, [("a", asked(0, 500))])
    assert ids.first("a", asked(1, 500)) is None
    assert ids.first("a", asked(2, 500)) is None
    assert len(ids) == 0


def test_what_was_asked_before_is_known() -> None:
    ids = Duplicates(WINDOW, [("a", asked(0, 100)), ("b", asked(1, 200)), ("a", asked(2, 300))])
    assert ids.first("a", asked(3, 400)) == asked(0, 100)
    assert ids.first("b", asked(4, 400)) == asked(1, 200)


def test_it_remembers_the_window_and_not_more() -> None:
    ids = Duplicates(WINDOW)
    for offset in range(10_000):
        ids.first(str(offset), asked(offset, offset))
        assert len(ids) <= WINDOW + 1
    assert ids.first("9000", asked(10_000, 9_999)) == asked(9_000, 9_000)


def test_one_old_record_does_not_keep_the_later_ones_for_ever() -> None:
    ids = Duplicates(WINDOW)
    for offset in range(5_000):
        # Every other one was written by a clock that is late.
        ids.first(str(offset), asked(offset, offset - 700 * (offset % 2)))
    assert len(ids) <= WINDOW + 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40))
def test_it_agrees_with_a_list_while_time_goes_on(moves: list[tuple[str, int]]) -> None:
    ids, firsts, now = Duplicates(12), dict[str, Asked](), 0
    for offset, (name, later) in enumerate(moves):
        now += later
        before = firsts.get(name)
        if before is not None and now - before.at > 12:
            before = None
        if before is None:
            firsts[name] = asked(offset, now)
        assert ids.first(name, asked(offset, now)) == before


def test_a_duplicate_that_is_read_again_is_one_although_the_first_is_forgotten() -> None:
    ids = Duplicates(WINDOW)
    ids.first("a", asked(0, 500))
    ids.first("a", asked(1, 600))
    ids.first("b", asked(2, 9_000))
    assert ids.first("a", asked(1, 600)) == asked(0, 500)
    assert ids.first("a", asked(3, 9_100)) is None


def test_once_it_is_done_that_is_forgotten_too() -> None:
    ids = Duplicates(WINDOW)
    ids.first("a", asked(0, 500))
    ids.first("a", asked(1, 600))
    ids.done(1)
    ids.first("b", asked(2, 9_000))
    assert ids.first("a", asked(1, 600)) is None
