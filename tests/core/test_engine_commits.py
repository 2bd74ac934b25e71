"""When is what committed, and what is said of a partition that was known before?"""

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.cadence import CadencePolicy
from penstock.core.offset_map import DoneBeyond, encode
from tests.core.driven import (
    AT_ONCE,
    START,
    UPSTREAM,
    Driven,
    alone,
    already_done,
    commit,
    fetched,
    head,
    record,
    recovered,
    starts,
)

STEADY = CadencePolicy(records=100, interval=50, backoff=250, at_least=1_000)


def test_only_the_contiguous_prefix_is_committed_and_only_once() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE)
    drive(0, *(fetched(offset) for offset in range(4)))
    assert drive.done(10, record(0)) == [commit(1)]
    drive(11, facts.Committed())
    assert drive.done(20, record(3)) == [commit(1, 3)]
    drive(21, facts.Committed())
    assert drive.wake_at == 1_000
    drive.done(30, record(1))
    drive(31, facts.Committed())
    assert drive.done(40, record(2)) == [commit(4)]
    drive(41, facts.Committed())
    assert drive(999) == []


def test_what_is_not_acknowledged_is_not_committed() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0), fetched(1))
    drive(10, facts.Finished(record(0)), facts.Failed(record(1), UPSTREAM))
    drive(20, facts.PublishFailed(record(0)))
    assert drive(21, facts.Published(record(1))) == [commit(0, 1)]


def test_one_commit_is_in_flight_and_the_next_says_all_that_happened_meanwhile() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE, partitions=(0, 1))
    drive(0, fetched(0), fetched(1), fetched(5, partition=1))
    assert drive.done(10, record(0)) == [facts.Commit({0: head(1), 1: head(5)})]
    assert drive.done(20, record(1)) == []
    assert drive.done(30, record(5, 1)) == []
    assert drive(40, facts.Committed()) == [facts.Commit({0: head(2), 1: head(6)})]


def test_a_partition_of_which_there_is_nothing_new_is_left_out() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE, partitions=(0, 1))
    drive(0, fetched(0), fetched(0, partition=1))
    assert drive.done(10, record(0)) == [commit(1)]


def test_a_failed_commit_is_tried_again_after_the_backoff() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0), fetched(1))
    assert drive.done(10, record(0)) == [commit(1)]
    assert drive(20, facts.CommitFailed()) == []
    assert drive.done(30, record(1)) == []
    assert drive.wake_at == 270
    assert drive(270) == [commit(2)]


def test_the_interval_commits_what_the_number_does_not() -> None:
    drive = Driven(cadence=STEADY)
    drive(0, fetched(0))
    assert drive.done(10, record(0)) == []
    assert drive.wake_at == 60
    assert drive(60) == [commit(1)]


# --- although nothing has changed ---------------------------------------------------------------


def test_what_has_not_changed_is_committed_again_after_a_while() -> None:
    drive = Driven(cadence=STEADY)
    assert drive.wake_at == 1_000
    for at in (1_000, 2_000, 3_000):
        assert drive(at - 1) == []
        assert drive(at) == [commit(0)]
        assert drive(at + 5, facts.Committed()) == []


def test_then_every_partition_is() -> None:
    drive = Driven(cadence=STEADY, partitions=(0, 1))
    drive(900, fetched(0))
    drive.done(960, record(0))
    assert drive(1_000) == [facts.Commit({0: head(1), 1: head(0)})]


def test_a_commit_of_something_new_does_not_put_that_off() -> None:
    """Else a busy partition would keep an idle one from it for ever."""
    drive = Driven(cadence=STEADY, partitions=(0, 1))
    drive(800, fetched(0))
    drive.done(840, record(0))
    assert drive(890) == [commit(1)]
    drive(891, facts.Committed())
    assert drive(1_000) == [facts.Commit({0: head(1), 1: head(0)})]


def test_it_waits_for_the_commit_in_flight() -> None:
    drive = Driven(cadence=STEADY)
    assert drive(1_000) == [commit(0)]
    assert drive(5_000) == []
    assert drive(5_001, facts.Committed()) == [commit(0)]


# --- what was known before ----------------------------------------------------------------------


def test_what_was_done_beyond_the_commit_is_not_asked_again() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE, partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(3, ((4, 6), (8, 9)))))
    assert starts(drive(1, *(fetched(offset) for offset in (3, 4, 5, 6)))) == [3, 6]
    drive(1, facts.Committed())
    # Offset 8 is not fetched again yet, and still not forgotten.
    beyond = encode(DoneBeyond(3, ((4, 7), (8, 9))))
    assert drive.done(2, record(6)) == [facts.Commit({0: head(3)._replace(done=beyond)})]
    drive(3, facts.Committed())
    assert drive.done(4, record(3)) == [commit(7, 8)]


def test_what_a_completion_claims_is_not_asked_again() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE, partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(3), {4: 70, 5: 70}))
    assert starts(drive(1, fetched(3, timestamp=70), fetched(4, timestamp=70))) == [3]
    # Another record than the one that the completion is about.
    assert starts(drive(2, fetched(5, timestamp=71))) == [5]


def test_the_bookmark_moves_when_all_that_is_claimed_has_turned_up() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE, partitions=())
    known = recovered(DoneBeyond(3), {5: 70}, bookmark=START, end=Bookmark(20, 1))
    drive.open(0, {0: 1}, known)
    drive(1, fetched(3), fetched(4))
    assert drive.done(2, record(3), position=20) == [commit(4)]
    drive(3, facts.Committed())
    moved = commit(4, 5, bookmark=Bookmark(21, 1))
    assert drive(4, fetched(5, timestamp=70)) == [already_done(5), moved]


def test_what_lies_below_the_commit_is_covered_by_it() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(3)))
    assert starts(drive(1, fetched(0), fetched(2), fetched(3))) == [3]


def test_the_bookmark_stays_before_a_completion_that_may_have_landed() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE)
    drive(0, *(fetched(offset) for offset in range(3)))
    drive(1, facts.Finished(record(1)))
    assert drive.done(2, record(2), position=8) == [commit(0, 2)]
    drive(3, facts.Committed())
    drive(4, facts.PublishFailed(record(1)))
    assert drive.done(5, record(0), position=9) == [commit(1, 2)]
    drive(6, facts.Committed())
    # The broker does not tell where it is: no further than the others.
    assert drive(7, facts.Published(record(1))) == [commit(3, bookmark=Bookmark(10, 1))]


# --- held back ----------------------------------------------------------------------------------

OFTEN = CadencePolicy(records=100, interval=10, backoff=10, at_least=10)


def looks(drive: Driven, start: int, end: int) -> list[facts.HeldBack]:
    """Commits are acknowledged; what is said meanwhile about those that wait."""
    commands = [
        command for now in range(start, end, 10) for command in drive(now, facts.Committed())
    ]
    return [command for command in commands if isinstance(command, facts.HeldBack)]


def test_who_holds_the_commits_back_is_named_once() -> None:
    drive = Driven(slots=3, cadence=OFTEN, held_back=100)
    drive(10, *(fetched(offset) for offset in range(5)))
    drive.done(20, record(1))
    assert looks(drive, 30, 110) == []
    assert looks(drive, 110, 500) == [facts.HeldBack(record(0), 100, 4)]


def test_then_the_next_one_is() -> None:
    drive = Driven(slots=3, cadence=OFTEN, held_back=100)
    drive(10, fetched(0), fetched(1))
    looks(drive, 20, 200)
    drive.done(200, record(0))
    assert looks(drive, 210, 500) == [facts.HeldBack(record(1), 200, 1)]


def test_one_on_its_way_out_is_not_committed_and_still_named() -> None:
    drive = Driven(cadence=OFTEN, held_back=100)
    drive(10, fetched(0))
    drive(20, alone(1_000))
    assert looks(drive, 30, 500) == [facts.HeldBack(record(0), 100, 1)]
