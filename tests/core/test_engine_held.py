"""What another process still runs of our partitions is waited for."""

import pytest

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.duplicates import Asked
from penstock.core.facts import Answered, Followed, Recovered
from penstock.core.failure import expired
from penstock.core.handover import Run
from penstock.core.offset_map import DoneBeyond
from tests.core.driven import (
    AT_ONCE,
    NEVER,
    POISON,
    THEM,
    ZERO,
    Driven,
    alone,
    already_done,
    assigned,
    commit,
    drop,
    failed,
    fetched,
    record,
    recovered,
    release,
    run,
    start,
    starts,
)

THEIRS = run(0, 100, THEM)
OVER = 103
"""Their time, and the margin."""
END = Bookmark(20, 1)
NOTHING = facts.Follow({})


def known(*runs: Run, done: DoneBeyond | None = None) -> Recovered:
    return recovered(done, bookmark=END, end=END, runs=runs)


def held(*runs: Run, slots: int = 2, quiet: bool = True) -> Driven:
    """Offset 0 is, unless told otherwise."""
    drive = Driven(slots=slots, cadence=NEVER if quiet else AT_ONCE, partitions=())
    drive.open(0, {0: 1}, known(*(runs or (THEIRS,))))
    return drive


def followed(
    *answered: int, position: int = 30, as_of: float = 50, epoch: int = 1, timestamp: int = 0
) -> Followed:
    return Followed(0, epoch, [Answered(offset, timestamp) for offset in answered], position, as_of)


# --- what is said and asked for -----------------------------------------------------------------


def test_who_comes_after_us_has_to_wait_for_the_same() -> None:
    drive = Driven(partitions=(), cadence=AT_ONCE)
    opening = commit(0, bookmark=END, runs=[THEIRS])
    assert drive(0, assigned({0: 1}, known(THEIRS))) == [opening, facts.Follow({0: (1, 20)})]
    drive(1, facts.Committed())
    drive(2, fetched(0), fetched(1))
    assert drive.done(3, record(1)) == [commit(0, 1, bookmark=END, runs=[THEIRS])]
    drive(4, facts.Committed())
    assert drive(5, facts.Revoking(ZERO, until=90)) == [
        drop(0),
        NOTHING,
        release(0, 1, bookmark=END, runs=[THEIRS]),
    ]


def test_an_entry_of_what_is_done_is_not_waited_for() -> None:
    drive = Driven(partitions=())
    theirs = (THEIRS, run(4, 100, THEM))
    done = DoneBeyond(2, ((4, 5),))
    assert drive(0, assigned({0: 1}, known(*theirs, done=done))) == [commit(2, 4, bookmark=END)]


def test_what_is_followed_is_told_when_it_changes_and_only_then() -> None:
    drive = held(THEIRS, run(1, 200, THEM))
    assert drive(10, followed()) == []
    assert drive(11, followed(0)) == []
    commands = drive(12, assigned({1: 2}, known(run(5, 90, THEM))))
    # Each from where it has been read to.
    assert facts.Follow({0: (1, 30), 1: (2, 20)}) in commands
    assert drive(13, facts.Committed()) == [facts.Resume(frozenset({1}))]
    assert drive(14, followed(1, position=40)) == [facts.Follow({1: (2, 20)})]
    assert drive(15, facts.Revoking(frozenset({1}), until=90))[0] == NOTHING
    assert drive(16, fetched(2)) == [start(2, 1_016)]


def test_a_partition_that_comes_back_is_followed_anew() -> None:
    drive = held()
    drive(10, facts.Revoking(ZERO, until=90))
    assert facts.Follow({0: (2, 20)}) in drive(20, assigned({0: 2}, known(THEIRS)))


def test_what_was_read_for_an_assignment_before_is_ignored() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 2}, known(THEIRS))
    drive(1, fetched(0, epoch=2))
    assert drive(10, followed(0, epoch=1)) == []
    assert drive(11, followed(epoch=1, as_of=OVER)) == []
    assert drive(12, Followed(7, 1, [], 30, OVER)) == []


# --- it does not start --------------------------------------------------------------------------


def test_it_does_not_start_its_lane_waits_and_others_do_not() -> None:
    drive = held()
    assert drive(1, fetched(0, "a"), fetched(1, "a"), fetched(2, "b")) == [start(2, 1_001)]
    # However long: nobody has looked since.
    drive.done(5, record(2))
    assert drive(5_000) == []


def test_it_takes_no_slot() -> None:
    drive = held(slots=1)
    assert drive(1, fetched(0), fetched(1)) == [start(1, 1_001)]
    assert drive.engine.admission.in_flight == 1


def test_it_counts_against_the_intake_until_it_is_done() -> None:
    drive = Driven(slots=9, high=2, low=0, partitions=())
    drive.open(0, {0: 1}, known(THEIRS, run(1, 100, THEM)))
    assert drive(1, fetched(0), fetched(1)) == [facts.Pause(ZERO)]
    assert facts.Resume(ZERO) in drive(2, followed(0, 1))


def test_what_is_held_and_goes_is_dropped_and_stays_in_the_last_commit() -> None:
    drive = held()
    drive(1, fetched(0, "a"), fetched(1, "a"), fetched(2))
    commands = drive(10, facts.Revoking(ZERO, until=90))
    assert sorted(commands[:2], key=str) == [drop(0), drop(1)]
    assert commands[2:] == [NOTHING, release(0, bookmark=END, runs=[THEIRS, run(2, 90)])]
    # Its lane is open.
    drive.open(20, {0: 2}, known(done=DoneBeyond(0)))
    assert starts(drive(21, fetched(0, "a", epoch=2))) == [0]


def test_what_is_read_while_it_goes_is_left_to_who_comes_next() -> None:
    """Its record is not done here any more; behind the bookmark it is found again."""
    drive = held()
    drive(1, fetched(0), fetched(1))
    drive(5, facts.Finished(record(1)))
    assert drive(10, facts.Revoking(ZERO, until=90)) == [drop(0), NOTHING]
    assert drive(11, followed(0, position=30)) == []
    assert drive(12, facts.Published(record(1), 40)) == [release(0, 1, bookmark=END, runs=[THEIRS])]


# --- another completes it -----------------------------------------------------------------------


def test_it_is_done_when_its_completion_appears_and_its_lane_opens() -> None:
    drive = held(quiet=False)
    drive(1, fetched(0, "a"), fetched(1, "a"))
    drive(1, facts.Committed())
    assert drive(10, followed(0)) == [
        drop(0),
        commit(1, bookmark=Bookmark(30, 1)),
        start(1, 1_010),
        NOTHING,
    ]
    assert not drive.engine.owns(record(0))


def test_it_is_done_too_where_it_has_not_turned_up_yet() -> None:
    drive = held(quiet=False)
    assert drive(10, followed(0)) == [NOTHING]
    assert drive(12, fetched(0, "a"), fetched(1, "a")) == [
        already_done(0),
        commit(1, bookmark=Bookmark(30, 1)),
        start(1, 1_012),
    ]


@pytest.mark.parametrize("first", [True, False])
def test_the_completion_of_another_record_by_its_number_is_none(*, first: bool) -> None:
    drive = held()
    events = [fetched(0), followed(0, timestamp=99)]
    assert drive(10, *(events if first else reversed(events)))[-1:] in ([], [NOTHING])
    assert drive.engine.owns(record(0))


def test_what_turns_out_to_be_done_when_it_turns_up_is_not_waited_for() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 1}, recovered(claims={0: 70}, runs=[THEIRS]))
    assert drive(1, fetched(0, "a", timestamp=70), fetched(1, "a")) == [
        already_done(0),
        start(1, 1_001),
        NOTHING,
    ]


def test_one_of_two_that_hold_a_lane_does_not_open_it() -> None:
    """Lanes may have been other ones where they were started."""
    drive = held(THEIRS, run(1, 100, "others"))
    drive(1, *(fetched(offset, "a") for offset in range(3)))
    assert starts(drive(10, followed(0))) == []
    assert starts(drive(20, followed(1, position=40))) == [2]


@pytest.mark.parametrize("running", [True, False])
def test_what_another_completes_is_done_although_we_have_it(*, running: bool) -> None:
    drive = held(run(5, 100, THEM), slots=1, quiet=False)
    drive(1, fetched(0, "a"), fetched(1, "a"))
    number = 0 if running else 1
    commands = drive(10, followed(number), facts.Committed())
    assert [c for c in commands if isinstance(c, facts.Cancel)] == [
        facts.Cancel(record(0)) for _ in range(running)
    ]
    assert drop(number) in commands
    assert starts(commands) == []
    assert not drive.engine.owns(record(number))
    # Whatever its run still says; its slot is free then.
    commands = drive(11, *([facts.Finished(record(0))] if running else []))
    assert starts(commands) == ([1] if running else [])


def test_our_own_completion_is_no_news() -> None:
    drive = held(run(5, 100, THEM))
    drive(1, fetched(0))
    drive(2, facts.Finished(record(0)))
    assert drive(10, followed(0)) == []
    assert drive(11, facts.Published(record(0), 25)) == []
    assert drive(12, followed(0)) == []
    assert not drive.engine.questions


# --- its time is over ---------------------------------------------------------------------------


def test_when_its_time_and_the_margin_are_over_and_all_is_read_it_starts() -> None:
    drive = held()
    drive(1, fetched(0))
    assert drive(200, followed(as_of=OVER - 1)) == []
    assert drive(201, followed(as_of=OVER)) == [
        facts.TakeOver(record(0), since=OVER),
        # Its time counts from its first start here.
        start(0, 1_201),
        NOTHING,
    ]


def test_what_appears_at_the_last_moment_is_done() -> None:
    drive = held()
    drive(1, fetched(0))
    assert drive(200, followed(0, as_of=OVER)) == [drop(0), NOTHING]


def test_it_is_the_first_of_its_lane() -> None:
    drive = held(run(1, 100, THEM), run(2, 100, THEM), slots=9)
    drive(1, *(fetched(offset, "a") for offset in (1, 2, 3)))
    assert starts(drive(110, followed(as_of=OVER))) == [1]
    assert starts(drive.done(120, record(1))) == [2]
    assert starts(drive.done(130, record(2))) == [3]


def test_it_is_taken_over_when_it_turns_up_later() -> None:
    drive = held()
    assert drive(110, followed(as_of=OVER)) == [NOTHING]
    assert drive(150, fetched(0, "a"), fetched(1, "a")) == [
        facts.TakeOver(record(0), since=OVER),
        start(0, 1_150),
    ]
    drive.done(160, record(0))


def test_it_is_taken_over_once() -> None:
    drive = held()
    drive(110, followed(as_of=OVER))
    drive(150, fetched(0))
    assert drive(160, fetched(0), fetched(1)) == [start(1, 1_160)]


def test_what_is_taken_over_is_cut_off_until_it_is_done() -> None:
    """It may have said something."""
    drive = held()
    drive(110, followed(as_of=OVER))
    assert drive(120, facts.Revoking(ZERO, until=200)) == [
        release(0, clean=False, bookmark=Bookmark(30, 1))
    ]


def test_once_it_is_ours_it_is_ours_to_hand_over() -> None:
    drive = held()
    drive(1, fetched(0))
    drive(110, followed(as_of=OVER))
    assert drive(120, facts.Revoking(ZERO, until=200)) == [
        release(0, clean=False, bookmark=Bookmark(30, 1), runs=[run(0, 200)])
    ]


def test_a_drain_does_not_wait_for_it() -> None:
    drive = held()
    drive(1, fetched(0))
    assert drive(10, alone(100))[1:] == [
        drop(0),
        NOTHING,
        release(0, bookmark=END, runs=[THEIRS]),
    ]


# --- what needs no run --------------------------------------------------------------------------


def test_its_deadline_is_a_matter_of_who_runs_it() -> None:
    drive = held()
    drive(1, fetched(0, "a", expires_at=50), fetched(1, "a"))
    assert drive(60) == []
    assert drive(110, followed(as_of=OVER)) == [
        facts.TakeOver(record(0), since=OVER),
        facts.GiveUp(record(0), "expired", expired("waiting"), dead_letter=True),
        start(1, 1_110),
        NOTHING,
    ]


def test_a_deadline_that_is_not_up_counts_when_it_is_taken_over() -> None:
    drive = held()
    drive(1, fetched(0, expires_at=300))
    assert start(0, 300) in drive(110, followed(as_of=OVER))
    assert drive(300) == [facts.Cancel(record(0))]


def test_one_that_cannot_be_read_waits_for_who_may_be_saying_so() -> None:
    drive = held()
    assert drive(1, fetched(0, failure=POISON)) == []
    assert drive(110, followed(as_of=OVER)) == [
        facts.TakeOver(record(0), since=OVER),
        failed(0, POISON),
        NOTHING,
    ]


def test_and_is_done_when_that_one_has_said_so() -> None:
    drive = held()
    drive(1, fetched(0, failure=POISON))
    assert drive(10, followed(0)) == [drop(0), NOTHING]


def test_a_duplicate_is_one_still() -> None:
    drive = held(run(1, 100, THEM))
    drive(1, fetched(0, question_id="a"), fetched(1, question_id="a"))
    assert facts.PublishDuplicate(record(1), Asked(0, 0, 0)) in drive(110, followed(as_of=OVER))


# --- the bookmark -------------------------------------------------------------------------------


def test_it_is_not_beyond_what_is_read_while_anything_is_held() -> None:
    theirs = run(1, 100, THEM)
    drive = held(theirs, quiet=False)
    drive(1, *(fetched(offset) for offset in range(3)))
    assert drive.done(2, record(0), position=50) == [commit(1, bookmark=END, runs=[theirs])]
    drive(3, facts.Committed(), followed(position=40))
    assert drive.done(4, record(2), position=60) == [
        commit(1, 2, bookmark=Bookmark(40, 1), runs=[theirs])
    ]
    drive(5, facts.Committed())
    assert commit(3, bookmark=Bookmark(61, 1)) in drive(6, followed(1, position=55))


def test_it_is_where_the_others_are_read_to_where_that_is_further_than_our_own() -> None:
    drive = held(quiet=False)
    drive(1, fetched(0))
    assert commit(1, bookmark=Bookmark(90, 1)) in drive(2, followed(0, position=90))


def test_it_stays_before_what_is_done_and_has_not_turned_up() -> None:
    drive = held(run(3, 100, THEM), quiet=False)
    drive(1, fetched(0))
    drive(2, followed(3, position=90))
    drive(3, facts.Committed())
    assert drive.done(4, record(0), position=95) == [commit(1, bookmark=END)]


# --- an offset that never turns up --------------------------------------------------------------


@pytest.mark.parametrize("ours", [True, False])
def test_a_run_whose_record_is_gone_from_the_log_holds_nobody_up(*, ours: bool) -> None:
    """The topic may be compacted meanwhile."""
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(5))
    drive(1, facts.Revoking(ZERO, until=500))
    drive(2, facts.Released(ZERO, committed=True))
    theirs = run(5, 500) if ours else run(5, 500, THEM)
    drive.open(10, {0: 2}, recovered(DoneBeyond(5), runs=[theirs]))
    drive(11, facts.Committed())
    drive(20, fetched(6, epoch=2))
    drive.done(21, record(6, epoch=2))
    drive(22, facts.Committed())
    (last,) = [
        command
        for command in drive(30, facts.Revoking(ZERO, until=500))
        if isinstance(command, facts.Release)
    ]
    assert last.heads[0].offset == 7
