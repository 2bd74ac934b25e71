"""A partition that stays: events go in, commands come out."""

import pytest

from penstock.core import facts
from penstock.core.facts import Command
from penstock.core.failure import Kind
from penstock.core.gate import GatePolicy
from tests.core.driven import (
    AT_ONCE,
    LATER,
    POISON,
    UPSTREAM,
    Driven,
    answer,
    commit,
    expiry,
    failed,
    fetched,
    record,
    start,
)


def test_one_question_from_fetch_to_commit() -> None:
    drive = Driven(cadence=AT_ONCE)
    assert drive(10, fetched(7)) == [start(7, 1_010)]
    assert drive.wake_at == 1_010
    assert drive(20, facts.Finished(record(7))) == [answer(7)]
    assert drive.wake_at == LATER
    assert drive(30, facts.Published(record(7))) == [commit(8)]
    assert drive(40, facts.Committed()) == []
    assert not drive.engine.owns(record(7))
    assert drive.wake_at == LATER


def test_a_failure_is_dead_lettered_and_then_done() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(7))
    assert drive(10, facts.Failed(record(7), UPSTREAM)) == [failed(7, UPSTREAM)]
    assert drive(20, facts.Published(record(7))) == [commit(8)]


# --- lanes and slots ----------------------------------------------------------------------------


def test_one_key_runs_in_order_and_opens_only_when_its_completion_is_acknowledged() -> None:
    drive = Driven()
    assert drive(0, fetched(0, "a"), fetched(1, "a")) == [start(0, 1_000)]
    assert drive(10, facts.Finished(record(0))) == [answer(0)]
    assert drive(20, facts.Published(record(0))) == [start(1, 1_020)]


def test_records_without_a_lane_do_not_wait_for_each_other() -> None:
    drive = Driven()
    assert drive(0, fetched(0), fetched(1)) == [start(0, 1_000), start(1, 1_000)]


def test_the_same_key_in_two_partitions_is_two_lanes() -> None:
    drive = Driven(partitions=(0, 1))
    assert drive(0, fetched(0, "a"), fetched(0, "a", partition=1)) == [
        start(0, 1_000),
        start(0, 1_000, partition=1),
    ]


def test_slots_are_bounded_and_free_when_the_program_has_ended() -> None:
    drive = Driven(slots=2)
    assert len(drive(0, *(fetched(offset) for offset in range(4)))) == 2
    assert drive(10, facts.Finished(record(1))) == [answer(1), start(2, 1_010)]
    assert drive(20, facts.Published(record(1))) == []
    assert drive(30, facts.Failed(record(0), UPSTREAM)) == [failed(0, UPSTREAM), start(3, 1_030)]


def test_a_record_delivered_twice_is_one_question() -> None:
    drive = Driven()
    drive(0, fetched(0))
    assert drive(1, fetched(0)) == []
    drive.done(10, record(0))
    assert drive(20, fetched(0)) == []
    assert not drive.engine.owns(record(0))


# --- intake -------------------------------------------------------------------------------------


def test_a_partition_pauses_at_the_high_mark_and_resumes_at_the_low_one() -> None:
    drive = Driven(slots=1, high=3, low=1)
    pause, resume = facts.Pause(frozenset({0})), facts.Resume(frozenset({0}))
    assert pause not in drive(0, *(fetched(offset) for offset in range(3)))
    assert drive(0, fetched(3)) == [pause]
    assert resume not in drive(10, facts.Finished(record(0)))
    assert resume not in drive(20, facts.Published(record(0)))
    assert resume in drive.done(30, record(1))


def test_what_waits_for_its_acknowledgement_counts_as_held() -> None:
    drive = Driven(slots=9, high=2, low=0)
    drive(0, fetched(0), fetched(1))
    commands = drive(10, facts.Finished(record(0)), facts.Finished(record(1)))
    assert facts.Pause(frozenset({0})) in commands
    drive(20, facts.Published(record(0)))
    assert drive(30, facts.Published(record(1))) == [facts.Resume(frozenset({0}))]


# --- records that cannot be read ----------------------------------------------------------------


def test_an_undecodable_record_takes_no_slot_and_shuts_no_lane() -> None:
    drive = Driven(slots=1)
    assert drive(0, fetched(0, "a", failure=POISON), fetched(1, "a")) == [
        failed(0, POISON),
        start(1, 1_000),
    ]
    assert drive.engine.admission.in_flight == 1
    assert drive(10, facts.Published(record(0))) == []


# --- deadlines ----------------------------------------------------------------------------------


def test_a_question_that_arrives_too_late_never_starts() -> None:
    drive = Driven()
    assert drive(50, fetched(0, expires_at=50)) == [expiry(0, "waiting")]


@pytest.mark.parametrize("dead_letter", [True, False])
def test_a_waiting_question_expires_and_the_one_behind_it_keeps_its_place(
    *, dead_letter: bool
) -> None:
    drive = Driven(dead_letter_expired=dead_letter)
    drive(0, fetched(0, "a"), fetched(1, "a", expires_at=30), fetched(2, "a"))
    assert drive.wake_at == 30
    assert drive(29) == []
    assert drive(30) == [expiry(1, "waiting", dead_letter=dead_letter)]
    assert drive(31, facts.Published(record(1))) == []
    assert drive.done(40, record(0)) == [start(2, 1_040)]


def test_a_running_question_is_cancelled_then_expires_and_only_then_the_lane_opens() -> None:
    drive = Driven(slots=1)
    assert drive(0, fetched(0, "a", expires_at=30), fetched(1, "a"), fetched(2, "b")) == [
        start(0, 30)
    ]
    assert drive(30) == [facts.Cancel(record(0))]
    # The slot is free when the program has ended, the lane when the completion is acknowledged.
    assert drive(35, facts.Cancelled(record(0))) == [expiry(0, "running"), start(2, 1_035)]
    drive.done(40, record(2))
    assert drive(50) == []
    assert drive(60, facts.Published(record(0))) == [start(1, 1_060)]


def test_a_program_that_swallows_its_cancellation_keeps_its_slot_and_no_question() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0, "a", expires_at=30), fetched(1, "a"))
    assert drive(30) == [facts.Cancel(record(0))]
    assert drive(529) == []
    assert drive(530) == [facts.Cancel(record(0)), expiry(0, "running")]
    assert drive(540, facts.Published(record(0))) == []
    assert drive.engine.work.abandoned == {record(0)}
    # What it says in the end is stale, and its slot is free.
    assert drive(600, facts.Finished(record(0))) == [start(1, 1_600)]
    assert not drive.engine.work.abandoned


def test_what_does_not_end_cannot_wait_for_an_operator() -> None:
    drive = Driven(gate=GatePolicy(run=1))
    drive(0, fetched(0, expires_at=30))
    drive(30)
    assert drive(530) == [facts.Cancel(record(0)), expiry(0, "running")]


def test_a_program_that_cancels_itself_has_failed_and_not_expired() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0, expires_at=30))
    (given_up,) = drive(2, facts.Cancelled(record(0)))
    assert isinstance(given_up, facts.GiveUp)
    assert (given_up.status, given_up.failure.code) == ("failed", "program_cancelled")


def test_without_a_deadline_the_time_counts_from_the_first_start() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0), fetched(1))
    assert drive(900, facts.Finished(record(0))) == [answer(0), start(1, 1_900)]
    assert drive(1_000) == []
    assert drive(1_900) == [facts.Cancel(record(1))]


def test_an_answer_that_beat_its_cancellation_is_published() -> None:
    drive = Driven()
    drive(0, fetched(0, expires_at=30))
    drive(30)
    assert drive(31, facts.Finished(record(0))) == [answer(0)]


def test_a_failure_after_the_deadline_is_an_expiry() -> None:
    drive = Driven()
    drive(0, fetched(0, expires_at=30))
    drive(30)
    assert drive(31, facts.Failed(record(0), UPSTREAM)) == [expiry(0, "running")]


def test_an_answer_at_the_last_moment_needs_no_cancellation() -> None:
    drive = Driven()
    drive(0, fetched(0, expires_at=30))
    assert drive(30, facts.Finished(record(0))) == [answer(0)]
    assert drive.wake_at == LATER


# --- publishing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "conclusion"),
    [
        (facts.Finished(record(0)), answer(0)),
        (facts.Failed(record(0), UPSTREAM), failed(0, UPSTREAM)),
    ],
)
def test_what_was_refused_is_sent_again_after_the_backoff(
    event: facts.Event, conclusion: Command
) -> None:
    drive = Driven()
    drive(0, fetched(0, "a"), fetched(1, "a"))
    assert drive(10, event) == [conclusion]
    for refused_at in (20, 40):
        assert drive(refused_at, facts.PublishFailed(record(0))) == []
        assert drive.wake_at == refused_at + 10
        assert drive(refused_at + 9) == []
        assert drive(refused_at + 10) == [conclusion]
    assert drive(60, facts.Published(record(0))) == [start(1, 1_060)]


# --- what is stale ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        fetched(3, epoch=1),
        facts.Finished(record(0, epoch=1)),
        facts.Failed(record(0, epoch=1), UPSTREAM),
        facts.Cancelled(record(0, epoch=1)),
        facts.Published(record(0, epoch=1)),
        facts.PublishFailed(record(0, epoch=1)),
    ],
)
def test_what_belongs_to_an_earlier_assignment_is_ignored(event: facts.Event) -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0))
    drive(10, facts.Revoking(frozenset({0}), until=10))
    drive(11, facts.Cancelled(record(0)))
    drive.open(12, {0: 2})
    drive(13, fetched(0, epoch=2))
    assert drive(20, event) == []
    assert set(drive.engine.questions) == {record(0, epoch=2)}
    assert drive.engine.admission.in_flight == 1


def test_a_program_that_says_twice_that_it_ended_frees_one_slot() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, facts.Finished(record(0)))
    assert drive(11, facts.Failed(record(0), UPSTREAM)) == []
    assert drive(12, facts.Cancelled(record(0))) == []
    assert drive.engine.admission.in_flight == 0


def test_a_deadline_failure_is_nobodys_fault() -> None:
    assert expiry(0, "waiting").failure.kind is Kind.DEADLINE
