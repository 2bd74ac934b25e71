"""Only what is done may be committed, and nothing is done twice."""

import pytest

from penstock.core.claims import Claims
from penstock.core.facts import Reading
from penstock.core.ledger import Ledger, Outstanding
from penstock.core.offset_map import DoneBeyond


def ledger(*offsets: int, recovered: DoneBeyond | None = None) -> Ledger:
    tracked = Ledger(recovered or DoneBeyond(), Claims())
    assert all(tracked.track(offset, 0) for offset in offsets)
    return tracked


def claims(offsets: dict[int, int]) -> Claims:
    claimed = Claims(0, 100)
    for offset, timestamp in offsets.items():
        claimed.add(offset, timestamp)
    return claimed


def test_before_the_first_record_the_last_commit_stands() -> None:
    recovered = DoneBeyond(3, ((5, 6),))
    untouched = ledger(recovered=recovered)
    assert untouched.committable() == 3
    assert untouched.done_beyond() == recovered


def test_the_lowest_outstanding_offset_holds_the_commit_back() -> None:
    tracked = ledger(4, 5, 6)
    tracked.resolve(5)
    tracked.resolve(6)
    assert tracked.committable() == 4
    assert tracked.done_beyond() == DoneBeyond(4, ((5, 7),))
    tracked.resolve(4)
    assert tracked.committable() == 7
    assert tracked.done_beyond() == DoneBeyond(7)


def test_offsets_that_never_arrive_count_as_done() -> None:
    tracked = ledger(4, 9)
    tracked.resolve(4)
    assert tracked.committable() == 9


def test_holes_are_said_to_be_done_where_something_behind_them_is() -> None:
    tracked = ledger(4, 9, 12, 15)
    assert tracked.done_beyond() == DoneBeyond(4)
    tracked.resolve(12)
    assert tracked.done_beyond() == DoneBeyond(4, ((5, 9), (10, 15)))


def test_an_offset_is_tracked_once_even_after_it_is_done() -> None:
    tracked = ledger(4, 5)
    tracked.resolve(4)
    assert not tracked.track(4, 9)
    assert not tracked.track(5, 9)
    assert tracked.committable() == 5


def test_it_knows_what_is_outstanding_and_since_when() -> None:
    tracked = ledger()
    assert tracked.oldest() is None
    for now, offset in enumerate((4, 5, 7)):
        tracked.track(offset, now)
    assert tracked.oldest() == Outstanding(4, 0)
    tracked.resolve(4)
    assert tracked.oldest() == Outstanding(5, 1)
    assert len(tracked) == 2
    assert 5 in tracked
    assert 4 not in tracked


def test_resolving_what_is_not_outstanding_is_a_mistake_that_shows() -> None:
    tracked = ledger(4)
    tracked.resolve(4)
    with pytest.raises(KeyError):
        tracked.resolve(4)


# --- what was done before -----------------------------------------------------------------------


def test_what_was_done_before_is_skipped_and_counts_as_done() -> None:
    tracked = ledger(3, recovered=DoneBeyond(3, ((4, 6), (7, 8))))
    assert [tracked.skip(offset, 0) for offset in (4, 5, 6)] == [True, True, False]
    assert tracked.track(6, 0)
    assert tracked.skip(7, 0)
    assert tracked.done_beyond() == DoneBeyond(3, ((4, 6), (7, 8)))
    tracked.resolve(3)
    tracked.resolve(6)
    assert tracked.committable() == 8


def test_what_was_done_before_and_has_not_come_again_is_not_forgotten() -> None:
    tracked = ledger(3, recovered=DoneBeyond(3, ((4, 6), (7, 8))))
    tracked.resolve(3)
    # Offset 4 is the next one to come.
    assert tracked.done_beyond() == DoneBeyond(4, ((4, 6), (7, 8)))


def test_ranges_that_touch_are_one() -> None:
    tracked = ledger(3, 4, recovered=DoneBeyond(3, ((5, 8),)))
    tracked.resolve(4)
    assert tracked.done_beyond() == DoneBeyond(3, ((4, 8),))


def test_below_the_commit_nothing_is_skipped_or_tracked() -> None:
    tracked = ledger(recovered=DoneBeyond(3))
    assert not tracked.skip(2, 0)
    assert not tracked.track(2, 0)
    assert tracked.track(3, 0)


# --- what completions claim ---------------------------------------------------------------------


def test_what_is_claimed_is_skipped_if_it_is_that_record() -> None:
    tracked = Ledger(DoneBeyond(), claims({0: 70, 1: 70, 3: 70}))
    assert tracked.skip(0, 70)
    assert not tracked.skip(1, 71)
    assert tracked.track(1, 0)
    assert not tracked.skip(2, 70)


def test_what_is_claimed_is_not_said_before_it_turns_up() -> None:
    tracked = Ledger(DoneBeyond(), claims({1: 70}))
    assert tracked.claimed
    tracked.track(0, 0)
    assert tracked.done_beyond() == DoneBeyond(0)
    assert tracked.claimed
    tracked.skip(1, 70)
    assert tracked.done_beyond() == DoneBeyond(0, ((1, 2),))
    assert not tracked.claimed


def test_a_claim_of_what_the_log_has_passed_by_is_settled() -> None:
    tracked = Ledger(DoneBeyond(), claims({1: 70}))
    tracked.track(5, 0)
    assert not tracked.claimed
    assert not tracked.skip(1, 70)


def test_a_claim_that_appears_later_counts_while_its_record_has_not_turned_up() -> None:
    tracked = Ledger(DoneBeyond(3), Claims(3, 100))
    tracked.track(3, 0)
    tracked.claim(3, 70)
    assert not tracked.claimed
    assert 3 in tracked
    tracked.claim(5, 70)
    assert tracked.claimed
    assert not tracked.skip(5, 71)
    assert tracked.skip(5, 70)
    assert not tracked.claimed


def test_it_knows_what_the_commit_before_says() -> None:
    tracked = Ledger(DoneBeyond(3, ((5, 6),)), claims({7: 70}))
    assert [offset for offset in range(9) if tracked.was_done(offset)] == [0, 1, 2, 5]
    tracked.track(8, 0)
    tracked.resolve(8)
    assert not tracked.was_done(8)


@pytest.mark.parametrize(
    ("given", "position", "end", "backlog"),
    [
        pytest.param(7, 7, 7, 2, id="all is read"),
        pytest.param(7, 7, 12, 7, id="paused, and the log grows"),
        pytest.param(7, 8, 8, 2, id="a marker is the end of the log"),
        pytest.param(7, 7, 8, 3, id="a marker that nobody has read yet may be a question"),
        pytest.param(7, 11, 12, 3, id="an aborted transaction was read past"),
        pytest.param(9, 11, 12, 7, id="a batch is on its way to us"),
        pytest.param(7, 40, 20, 2, id="more is read than we know to be there"),
    ],
)
def test_the_backlog_is_what_is_not_done(given: int, position: int, end: int, backlog: int) -> None:
    # Offset 5 was compacted away, or is a marker.
    tracked = ledger(3, 4, 6, recovered=DoneBeyond(3))
    tracked.resolve(3)
    assert tracked.backlog(Reading(1, given, position, end)) == backlog


@pytest.mark.parametrize(
    ("position", "end", "backlog"),
    [(3, 3, 0), (3, 5, 2), (3, 6, 2), (3, 8, 2), (3, 20, 10), (9, 20, 7), (50, 50, 0), (7, 6, 0)],
)
def test_what_was_done_before_is_no_backlog(position: int, end: int, backlog: int) -> None:
    """A partition that has just been assigned, whether it is open or not."""
    known = DoneBeyond(3, ((5, 8), (10, 12)))
    arrived = Ledger(known, claims({7: 70, 9: 70, 15: 71}))
    assert arrived.backlog(Reading(1, 3, position, end)) == backlog
