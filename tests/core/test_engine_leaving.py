"""A member that is to stop: what runs finishes in place, and then it goes."""

import pytest

from penstock.core import facts
from penstock.core.failure import Failure, Kind
from penstock.core.models import ModelPolicy
from tests.core.driven import (
    AT_ONCE,
    BAD_KEY,
    POISON,
    UPSTREAM,
    ZERO,
    Driven,
    alone,
    answer,
    assigned,
    commit,
    drop,
    failed,
    fetched,
    head,
    record,
    release,
    run,
    start,
)

BOTH = frozenset({0, 1})
UNPAID = Failure(Kind.OPERATOR, "unpaid", "the bill is not paid")
PAUSE = facts.Pause(ZERO)
DEPART, STOP = facts.Depart(), facts.Stop(None)


def released(*partitions: int) -> facts.Released:
    return facts.Released(frozenset(partitions or (0,)), committed=True)


# --- where nobody else is there -----------------------------------------------------------------


def test_running_work_finishes_waiting_work_is_dropped_and_the_release_says_how_far() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0), fetched(1))
    assert drive(10, alone(100)) == [PAUSE, drop(1)]
    assert drive(20, facts.Finished(record(0))) == [answer(0)]
    assert drive(30, facts.Published(record(0))) == [release(1)]
    assert not drive.engine.questions


def test_what_is_fetched_while_the_partition_goes_is_left_to_the_next_owner() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(20, fetched(1)) == []
    assert not drive.engine.owns(record(1))
    assert drive.done(30, record(0)) == [release(1)]


def test_at_the_end_of_its_time_running_work_is_cancelled_and_dropped() -> None:
    drive = Driven(slots=2)
    drive(0, fetched(0), fetched(1))
    drive(10, alone(100))
    drive.done(20, record(0))
    assert drive(99) == []
    assert drive.wake_at == 100
    assert drive(100) == [facts.Cancel(record(1))]
    assert drive(110, facts.Cancelled(record(1))) == [
        drop(1, cut_off=True),
        release(1, clean=False),
    ]
    assert drive.engine.admission.in_flight == 0


def test_an_answer_after_the_end_of_the_time_is_dropped_too() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    drive(100)
    assert drive(110, facts.Finished(record(0))) == [
        drop(0, cut_off=True),
        release(0, clean=False),
    ]


def test_a_deadline_still_runs_while_the_partition_goes() -> None:
    drive = Driven()
    drive(0, fetched(0, expires_at=50))
    drive(10, alone(100))
    assert drive(49) == []
    assert drive.wake_at == 50
    assert drive(50) == [facts.Cancel(record(0))]
    [expiry] = drive(60, facts.Cancelled(record(0)))
    assert isinstance(expiry, facts.GiveUp)
    assert drive(70, facts.Published(record(0))) == [release(1)]


def test_the_release_says_again_what_is_already_committed() -> None:
    """The last commit is the one that says whether anything was cut off."""
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0))
    assert drive.done(10, record(0)) == [commit(1)]
    drive(20, facts.Committed())
    assert drive(30, facts.Revoking(ZERO, until=100)) == [release(1)]


def test_the_release_carries_what_an_unanswered_commit_may_not_have_brought() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0))
    assert drive.done(10, record(0)) == [commit(1)]
    assert drive(20, facts.Revoking(ZERO, until=100)) == [release(1)]


def test_a_partition_on_its_way_out_is_left_to_its_release() -> None:
    drive = Driven(slots=9, cadence=AT_ONCE, partitions=(0, 1))
    drive(0, *(fetched(offset) for offset in range(3)), fetched(0, partition=1))
    drive(5, facts.Finished(record(1)))
    drive(10, facts.Revoking(ZERO, until=100))
    drive(11, facts.Committed())
    assert drive.done(15, record(0, 1)) == [facts.Commit({1: head(1)})]
    assert drive(20, facts.Published(record(1))) == [release(0, 1, runs=[run(0, 100), run(2, 100)])]


def test_partitions_on_their_way_out_are_released_together() -> None:
    drive = Driven(partitions=(0, 1))
    drive(0, fetched(0), fetched(0, partition=1))
    drive(10, alone(300))
    assert drive(20, facts.Revoking(frozenset({1}), until=100)) == []
    assert drive.done(30, record(0)) == [
        facts.Release(BOTH, {0: head(1, clean=True), 1: head(0, clean=True, runs=[run(0, 100)])})
    ]


def test_a_drain_finishes_what_runs_then_leaves_the_group_and_stops() -> None:
    drive = Driven(slots=1, partitions=(0, 1))
    drive(0, fetched(0), fetched(0, partition=1))
    assert drive(10, alone(100)) == [facts.Pause(BOTH), drop(0, partition=1)]
    assert drive(20, facts.Finished(record(0))) == [answer(0)]
    assert drive(30, facts.Published(record(0))) == [
        facts.Release(BOTH, {0: head(1, clean=True), 1: head(0, clean=True)})
    ]
    assert drive(31, released(0, 1)) == [DEPART, STOP]


def test_it_stops_when_the_last_commit_has_failed_too() -> None:
    """What it would have said the next owner finds in the completions."""
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    drive.done(20, record(0))
    assert drive(31) == []
    assert drive(40, facts.Released(ZERO, committed=False)) == [DEPART, STOP]


def test_a_drain_ends_in_time_whatever_runs() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(100) == [facts.Cancel(record(0))]
    assert drive(110, facts.Cancelled(record(0))) == [
        drop(0, cut_off=True),
        release(0, clean=False),
    ]
    assert drive(111, released()) == [DEPART, STOP]


def test_a_member_without_partitions_stops_at_once() -> None:
    drive = Driven(partitions=())
    assert drive(10, facts.Draining(until=100)) == [
        facts.Pause(frozenset()),
        facts.Release(frozenset(), {}),
        DEPART,
        STOP,
    ]


def test_what_is_assigned_during_a_drain_is_given_back_unread() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(20, assigned({1: 2})) == []
    assert drive(21, fetched(0, partition=1, epoch=2)) == []
    assert drive.done(30, record(0)) == [facts.Release(BOTH, {0: head(1, clean=True)})]
    assert drive(31, released(0, 1)) == [DEPART, STOP]


def test_a_second_request_to_stop_changes_nothing() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(30, alone(300)) == []
    assert drive(31, facts.Draining(until=300)) == []
    assert drive(100) == [facts.Cancel(record(0))]


def test_a_rebalance_in_between_hands_over_and_gives_nobody_more_time() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(20, facts.Revoking(ZERO, until=200)) == [release(0, runs=[run(0, 100)])]
    assert drive(21, released()) == [DEPART]
    assert drive(30, facts.Finished(record(0))) == [answer(0)]
    assert drive(40, facts.Published(record(0))) == [STOP]


# --- a program that does not end ----------------------------------------------------------------


def test_a_release_does_not_wait_for_ever_for_a_program_that_does_not_end() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(100) == [facts.Cancel(record(0))]
    assert drive(599) == []
    assert drive(600) == [
        facts.Cancel(record(0)),
        drop(0, cut_off=True),
        release(0, clean=False),
    ]
    # What it still says is stale.
    assert drive(630, facts.Finished(record(0))) == []
    assert drive.engine.admission.in_flight == 0


def test_a_release_looked_at_too_late_still_cancels_what_runs() -> None:
    """As after a process that was frozen meanwhile."""
    drive = Driven(slots=1)
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(700) == [
        facts.Cancel(record(0)),
        drop(0, cut_off=True),
        release(0, clean=False),
    ]


# --- an operator is needed ----------------------------------------------------------------------


def test_an_operators_failure_dead_letters_nothing_commits_nothing_past_it_and_stops() -> None:
    drive = Driven(slots=2, cadence=AT_ONCE)
    drive(0, *(fetched(offset) for offset in range(4)))
    drive.done(10, record(0))
    drive(11, facts.Committed())
    assert drive(20, facts.Failed(record(1), BAD_KEY)) == [
        drop(1),
        PAUSE,
        drop(3),
        # The others have as long as a drain.
        release(1, clean=False, runs=[run(2, 520)]),
    ]
    assert drive(21, released()) == [DEPART]
    assert drive(30, facts.Finished(record(2))) == [answer(2)]
    assert drive(40, facts.Published(record(2))) == [facts.Stop(BAD_KEY)]


def test_the_first_failure_is_the_one_that_is_told() -> None:
    drive = Driven(slots=3)
    drive(0, *(fetched(offset) for offset in range(3)))
    drive(10, facts.Failed(record(0), BAD_KEY))
    drive(15, released())
    assert drive(20, facts.Failed(record(1), UPSTREAM)) == [failed(1, UPSTREAM)]
    drive(21, facts.Published(record(1)))
    second = facts.Failed(record(2), UNPAID)
    assert drive(30, second) == [drop(2), facts.Stop(BAD_KEY)]


@pytest.mark.parametrize("draining_first", [True, False])
def test_the_next_of_its_lane_does_not_start(*, draining_first: bool) -> None:
    drive = Driven()
    assert drive(0, fetched(0, "a"), fetched(1, "a")) == [start(0, 1_000)]
    if draining_first:
        drive(5, alone(100))
    commands = drive(10, facts.Failed(record(0), BAD_KEY))
    assert commands[-1] == release(0, clean=False)
    assert drive(11, released()) == [DEPART, facts.Stop(BAD_KEY)]
    assert not any(isinstance(command, facts.Start) for command in commands)


def test_what_cannot_be_read_asks_no_model_and_leaves_all_the_same() -> None:
    drive = Driven(models={"m": ModelPolicy()})
    drive(0, fetched(0, failure=POISON))
    drive(5, facts.Revoking(ZERO, 900))
    drive(30)
    drive(31, facts.Published(record(0)), released())
    drive(32, facts.Draining(100, alone=False))
    assert not drive.engine.questions
