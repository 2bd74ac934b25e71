"""What a partition's next commit says."""

import pytest

from penstock.core.bookmark import Bookmark
from penstock.core.facts import Head, RecordId, Recovered
from penstock.core.handover import letters
from penstock.core.ledger import Outstanding
from penstock.core.offset_map import DoneBeyond, encode
from penstock.core.partition import Limits, Partition
from tests.core.driven import START, THEM, US, fetched, head, recovered, run

SMALL = Limits(map_letters=8)
"""Three ranges do not fit; two are three quarters where one is more than 24 beyond the commit."""


def partition(
    offsets: int, known: Recovered | None = None, limits: Limits = SMALL, *, since: int = 0
) -> Partition:
    """So many are outstanding, from where the last commit is."""
    made = Partition(1, known or recovered(), limits)
    first = made.ledger.committable()
    for offset in range(first, first + offsets):
        assert made.ledger.track(offset, since)
    return made


def finish(made: Partition, *offsets: int, position: int | None = None) -> None:
    for offset in offsets:
        made.completions.sent(offset)
        made.resolve(offset, position, 0)


# --- does the map fit? --------------------------------------------------------------------------


def test_a_map_that_fits_is_said_with_the_end_as_it_is_known() -> None:
    made = partition(60)
    finish(made, 5, 28, position=3)
    assert made.head(0) == head(0, 5, 28, bookmark=Bookmark(4, 1))


def test_where_it_does_not_fit_what_was_said_before_is_said_again() -> None:
    made = partition(60)
    finish(made, 5, 28, position=3)
    said = made.head(0)
    finish(made, 55, position=4)
    assert made.head(0) == said
    assert said.bookmark == Bookmark(4, 1)


def test_where_it_never_fitted_what_was_recovered_is_said() -> None:
    before = Bookmark(7, 2)
    made = partition(60, recovered(DoneBeyond(3), bookmark=before, end=Bookmark(30, 1)))
    finish(made, 8, 31, 58, position=40)
    assert made.head(0) == head(3, bookmark=before)


def test_it_says_how_far_it_is_as_soon_as_the_map_fits_again() -> None:
    made = partition(60)
    finish(made, 5, 28, 55, position=4)
    assert made.head(0) == head(0)
    finish(made, *range(5), position=5)
    assert made.head(0) == head(6, 28, 55, bookmark=Bookmark(6, 1))


def test_a_map_of_just_the_length_that_there_is_fits() -> None:
    made = partition(60)
    finish(made, 5, 28, 39)
    assert len(made.head(0).done) == 8
    assert made.head(0) == head(0, 5, 28, 39)


# --- a ceiling before it is full ----------------------------------------------------------------


def test_below_three_quarters_there_is_no_ceiling() -> None:
    made = partition(60)
    finish(made, 5, 23)
    assert len(made.head(0).done) == 5
    assert made.ceiling is None


def test_from_three_quarters_on_nothing_starts_above_the_highest_that_is_done() -> None:
    made = partition(60)
    finish(made, 5, 24)
    assert len(made.head(0).done) == 6
    assert made.ceiling == 25


def test_the_ceiling_is_there_where_the_map_does_not_fit_too() -> None:
    made = partition(60)
    finish(made, 5, 28, 55)
    made.head(0)
    assert made.ceiling == 56


def test_it_ends_when_the_map_is_smaller() -> None:
    made = partition(60)
    finish(made, 5, 24)
    made.head(0)
    finish(made, *range(5))
    made.head(0)
    assert made.ceiling is None


def test_between_commits_the_map_is_measured_now_and_then() -> None:
    made = partition(60)
    finish(made, *range(1, 57, 2))
    assert made.ceiling is None
    finish(made, 2, 4, 6)
    assert made.ceiling is None
    finish(made, 58)
    assert made.ceiling == 59


# --- running work -------------------------------------------------------------------------------


def test_runs_are_named_and_take_their_room_from_the_map() -> None:
    made = partition(60)
    finish(made, 5, 28, 39)
    assert made.head(0) == head(0, 5, 28, 39)
    runs = [run(0, 100)]
    # What was said before is said again, but for them.
    assert made.head(0, runs) == head(0, 5, 28, 39, runs=runs)
    finish(made, 55)
    assert made.head(0, runs) == head(0, 5, 28, 39, runs=runs)


def test_the_room_that_is_left_is_what_counts_for_the_ceiling() -> None:
    theirs = [run(59, 100, THEM)]
    limits = Limits(map_letters=8 + letters(theirs, 0, 0))
    made = partition(59, recovered(runs=theirs), limits)
    finish(made, 5, 23)
    made.head(0)
    assert made.ceiling is None
    finish(made, 24)
    made.head(0)
    assert made.ceiling == 25


def test_runs_expected_count_beside_the_map() -> None:
    made = partition(60, limits=Limits(map_letters=16))
    finish(made, 5, 23)
    made.head(0)
    assert made.ceiling is None
    made.begun[0] = RecordId(0, 1, 0)
    made.head(0)
    assert made.ceiling == 24
    made.begun[1] = RecordId(0, 1, 1)
    assert made.ceiling == 0


def test_the_last_commit_leaves_out_what_it_has_no_room_for_from_the_end() -> None:
    runs = [run(offset, 100) for offset in range(5)]
    made = partition(5, limits=Limits(map_letters=letters(runs[:3], 0, 0)))
    for offset in range(5):
        made.begun[offset] = RecordId(0, 1, offset)
    assert made.last_head(0, runs) == head(0, clean=False, runs=runs[:3])


def test_others_runs_are_not_left_out() -> None:
    theirs, ours = [run(0, 100, THEM)], [run(1, 100)]
    made = partition(2, recovered(runs=theirs), Limits(map_letters=letters(theirs, 0, 0)))
    assert made.last_head(0, ours).runs == tuple(theirs)


def test_our_own_are_not_waited_for_nor_what_is_done() -> None:
    runs = [run(4, 100), run(5, 100, THEM), run(6, 100, THEM), run(2, 100, THEM)]
    made = Partition(1, recovered(DoneBeyond(3, ((5, 6),)), runs=runs), SMALL, US)
    assert made.held.entries() == (run(6, 100, THEM),)


def test_of_a_record_that_is_gone_from_the_log_nothing_is_said() -> None:
    """The topic was compacted, or the retention took it."""
    made = Partition(1, recovered(DoneBeyond(3), runs=[run(3, 100, THEM)]), Limits())
    assert made.head(0).runs == (run(3, 100, THEM),)
    assert made.ledger.track(4, 0)
    assert made.head(0).runs == ()


# --- the bookmark -------------------------------------------------------------------------------

CLAIMED = recovered(DoneBeyond(3), {5: 70, 7: 70}, bookmark=START, end=Bookmark(20, 1))


def test_it_stays_until_all_that_is_claimed_has_turned_up() -> None:
    made = Partition(1, CLAIMED, SMALL)
    assert made.head(0).bookmark == START
    assert made.ledger.track(3, 0)
    assert made.ledger.skip(5, 70)
    finish(made, 3, position=21)
    assert made.head(0) == head(6, bookmark=START)
    assert made.ledger.skip(7, 70)
    assert made.head(0) == head(8, bookmark=Bookmark(22, 1))


def test_a_record_that_is_not_the_claimed_one_has_turned_up_too() -> None:
    made = Partition(1, CLAIMED, SMALL)
    assert not made.ledger.skip(7, 71)
    assert made.ledger.track(7, 0)
    assert made.head(0) == head(7, bookmark=Bookmark(20, 1))


def test_it_stays_before_what_is_not_acknowledged() -> None:
    made = partition(3, recovered(end=Bookmark(20, 1)))
    made.completions.sent(0)
    finish(made, 1, position=30)
    assert made.head(0) == head(0, 1, bookmark=Bookmark(20, 1))
    made.resolve(0, 28, 0)
    assert made.head(0) == head(2, bookmark=Bookmark(31, 1))


def test_it_names_the_number_of_partitions_that_the_completions_have_now() -> None:
    made = Partition(1, recovered(bookmark=Bookmark(9, 1), end=Bookmark(20, 6)), SMALL)
    assert made.head(0).bookmark == Bookmark(20, 6)


# --- clean or not -------------------------------------------------------------------------------


def test_a_partition_of_which_nothing_was_cut_off_is_left_clean() -> None:
    made = partition(3)
    finish(made, 0)
    assert made.last_head(0, ()) == head(1, clean=True)


def test_one_of_which_something_was_is_not() -> None:
    made = partition(3)
    finish(made, 1)
    made.cut_off(2)
    made.cut_off(0)
    assert made.last_head(0, ()) == head(0, 1, clean=False)


@pytest.mark.parametrize(("below", "clean"), [(2, True), (3, False)])
def test_what_a_dead_process_may_have_started_counts_until_it_is_done(
    below: int, *, clean: bool
) -> None:
    made = partition(5, recovered(unclean_below=below))
    finish(made, 0, 1)
    assert made.last_head(0, ()) == head(2, clean=clean)


def test_it_is_the_offset_that_is_said_which_counts() -> None:
    """Where the map does not fit, the next owner may start again what was done."""
    made = partition(60, recovered(unclean_below=1))
    finish(made, 0)
    made.head(0)
    finish(made, 6, 29, 58)
    assert made.last_head(0, ()) == head(1, clean=True)
    again = partition(60, recovered(unclean_below=1))
    finish(again, 0, 6, 29, 58)
    assert again.last_head(0, ()) == head(0, clean=False)


def test_a_commit_on_the_way_is_never_clean() -> None:
    made = partition(1)
    finish(made, 0)
    assert not made.head(0).clean


# --- who holds the commit back? -----------------------------------------------------------------


def test_who_holds_the_commit_back_for_too_long_is_named_once() -> None:
    made = partition(3, since=10)
    assert made.held_back(69, 60) is None
    assert made.held_back(70, 60) == Outstanding(0, 10)
    assert made.held_back(71, 60) is None
    finish(made, 1)
    assert made.held_back(1_000, 60) is None


def test_the_next_one_is_named_too() -> None:
    made = partition(3, since=10)
    made.held_back(70, 60)
    finish(made, 0, 1)
    assert made.held_back(71, 60) == Outstanding(2, 10)
    finish(made, 2)
    assert made.held_back(72, 60) is None


# --- the same id --------------------------------------------------------------------------------


def test_a_record_without_an_id_repeats_nobody() -> None:
    made = partition(0)
    assert made.first(fetched(0)) is None
    assert made.first(fetched(1)) is None
    assert made.first(fetched(2, question_id="a", timestamp=4)) is None
    again = made.first(fetched(3, question_id="a", timestamp=5))
    assert again is not None
    assert again.offset == 2


def test_before_anything_arrives_the_last_commit_is_repeated() -> None:
    done = DoneBeyond(3, ((5, 7), (9, 10)))
    made = Partition(1, recovered(done, end=Bookmark(20, 1)), Limits())
    assert made.head(0) == Head(3, encode(done), Bookmark(20, 1))


def test_what_is_known_of_its_ids_stands_where_nothing_else_is_said() -> None:
    before = partition(0)
    before.first(fetched(2, question_id="a"))
    for asked, known in ((None, True), ((), False)):
        made = Partition(2, recovered(asked=asked), SMALL, US, before.duplicates)
        assert (made.first(fetched(3, question_id="a")) is not None) == known


def test_and_where_nothing_is_known_there_is_nothing() -> None:
    made = Partition(2, recovered(asked=None), SMALL, US, None)
    assert made.first(fetched(3, question_id="a")) is None
