"""Nobody wants the answer any more: wherever the question is, and whatever it does."""

from typing import Any

import pytest

from penstock.core import facts
from penstock.core.facts import Answered
from penstock.core.failure import Failure, Kind
from penstock.core.gate import GatePolicy
from penstock.core.retry import RetryPolicy
from tests.core.driven import (
    AT_ONCE,
    BAD_KEY,
    LATER,
    POISON,
    RESUME,
    THEM,
    UPSTREAM,
    ZERO,
    Driven,
    answer,
    cancellation,
    commit,
    drop,
    expiry,
    failed,
    fails,
    fetched,
    record,
    recovered,
    released,
    run,
    start,
    starts,
)

RETRY = RetryPolicy(base=10, attempts={Kind.UPSTREAM: 3, Kind.ANSWER: 3})
ID = "mine"


def driven(slots: int = 2, **more: Any) -> Driven:
    return Driven(slots, **{"retry": RETRY, **more})


def cancel(question_id: str = ID, until: int = LATER, *, at: int = -1) -> facts.CancelRequested:
    """Said before anything was asked, unless `at` says otherwise."""
    return facts.CancelRequested(question_id, at, until)


# --- where it is --------------------------------------------------------------------------------


def test_one_that_waits_never_starts_and_those_behind_it_keep_their_place() -> None:
    drive = driven(cadence=AT_ONCE)
    drive(0, fetched(0, "a"), fetched(1, "a", question_id=ID), fetched(2, "a"))
    assert drive(5, cancel()) == [cancellation(1)]
    assert drive(6, facts.Published(record(1))) == [commit(0, 1)]
    assert starts(drive.done(10, record(0))) == [2]


def test_the_first_of_its_lane_that_waits_lets_the_next_one_go() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0), fetched(1, "a", question_id=ID), fetched(2, "a"))
    assert drive(5, cancel()) == [cancellation(1)]
    assert starts(drive(6, facts.Finished(record(0)))) == [2]


def test_one_that_runs_is_cut_off_and_then_it_is_cancelled() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0, "a", question_id=ID), fetched(1, "a"), fetched(2))
    assert drive(5, cancel()) == [facts.Cancel(record(0))]
    assert drive.wake_at == 505
    assert drive(6, facts.Cancelled(record(0))) == [cancellation(0), start(2, 1_006)]
    drive(7, facts.Finished(record(2)))
    assert starts(drive(8, facts.Published(record(0)))) == [1]


def test_a_run_that_swallows_it_is_given_up_after_the_grace() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0, question_id=ID), fetched(1))
    drive(5, cancel())
    assert drive(504) == []
    assert drive(505) == [facts.Cancel(record(0)), cancellation(0)]
    # Until it ends it has its slot.
    assert drive(600, facts.Finished(record(0))) == [start(1, 1_600)]


def test_an_answer_that_beats_it_is_an_answer() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID))
    drive(5, cancel())
    assert drive(6, facts.Finished(record(0))) == [answer(0)]


@pytest.mark.parametrize("failure", [UPSTREAM, POISON, BAD_KEY])
def test_a_failure_that_beats_it_is_a_cancellation(failure: Failure) -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID))
    drive(5, cancel())
    assert drive(6, facts.Failed(record(0), failure)) == [cancellation(0)]


@pytest.mark.parametrize("at", [5, 10])
def test_one_that_waits_to_run_again_does_not(at: int) -> None:
    """Between two attempts, or when its time has come and there is no slot."""
    drive = driven(slots=1)
    drive(0, fetched(0, "a", question_id=ID), fetched(1, "a"), fetched(2))
    drive(0, fails(0))
    assert drive(at) == []
    assert drive(at, cancel()) == [cancellation(0)]
    assert drive(20, facts.Finished(record(2))) == [answer(2)]
    assert drive(21, facts.Published(record(0))) == [start(1, 1_021)]


def test_one_that_has_not_been_fetched_never_starts() -> None:
    drive = driven()
    drive(0, cancel())
    assert drive(5, fetched(0, question_id=ID), fetched(1)) == [cancellation(0), start(1, 1_005)]


def test_it_holds_as_long_as_the_question_may_turn_up() -> None:
    drive = driven()
    drive(0, cancel(until=50))
    assert drive(49, fetched(0, question_id=ID)) == [cancellation(0)]
    assert starts(drive(50, fetched(1, question_id=ID + "2"), fetched(2, question_id=ID))) == [1]
    assert starts(drive(51, fetched(3, question_id="other"))) == [3]


def test_what_was_asked_before_does_not_start_however_late_it_is_fetched() -> None:
    drive = driven()
    drive(0, cancel(until=50, at=0))
    assert drive(500, fetched(0, question_id=ID)) == [cancellation(0)]


def test_one_that_is_published_already_stays_what_it_is() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID), fetched(1))
    drive(5, facts.Finished(record(0)))
    assert drive(6, cancel()) == []
    drive(7, facts.PublishFailed(record(0)))
    assert drive(17) == [answer(0)]


def test_so_does_one_that_has_failed() -> None:
    drive = driven(retry=RetryPolicy(attempts={Kind.UPSTREAM: 1}))
    drive(0, fetched(0, question_id=ID))
    assert drive(5, fails(0)) == [failed(0, UPSTREAM)]
    assert drive(6, cancel()) == []


def test_one_that_is_done_or_that_nobody_knows_changes_nothing() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID))
    drive.done(5, record(0))
    assert drive(6, cancel(), cancel("never heard of")) == []


def test_one_that_is_out_of_time_already_has_expired() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=30, question_id=ID))
    drive(30)
    assert drive(31, cancel()) == []
    assert drive(32, facts.Cancelled(record(0))) == [expiry(0, "running")]


def test_asked_for_twice_it_is_cancelled_once() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID))
    assert drive(5, cancel(), cancel()) == [facts.Cancel(record(0))]
    assert drive(6, cancel()) == []
    assert drive(7, facts.Cancelled(record(0))) == [cancellation(0)]
    assert drive(8, cancel()) == []


def test_its_deadline_passes_while_it_ends_and_it_is_a_cancellation() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=30, question_id=ID))
    drive(25, cancel())
    assert drive(30) == []
    assert drive(31, facts.Cancelled(record(0))) == [cancellation(0)]


# --- one id, several records --------------------------------------------------------------------


def test_all_of_one_id_are_cancelled() -> None:
    drive = driven(slots=1, partitions=(0, 1))
    drive(0, fetched(0, question_id=ID), fetched(0, partition=1, question_id=ID))
    commands = drive(5, cancel())
    assert facts.Cancel(record(0)) in commands
    assert [c.record for c in commands if isinstance(c, facts.GiveUp)] == [record(0, partition=1)]


def test_a_repetition_that_comes_after_it_is_cancelled_and_no_duplicate() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID, timestamp=1))
    drive(5, cancel())
    assert drive(6, fetched(1, question_id=ID, timestamp=2)) == [cancellation(1)]


def test_one_that_can_never_be_answered_fails_all_the_same() -> None:
    drive = driven()
    drive(0, cancel())
    assert drive(5, fetched(0, question_id=ID, failure=POISON)) == [failed(0, POISON)]


# --- what it does not do ------------------------------------------------------------------------


def test_it_is_no_dead_letter_and_says_nothing_of_the_service() -> None:
    drive = driven(slots=9, gate=GatePolicy(run=2))
    drive(0, *(fetched(offset, question_id=f"{offset}") for offset in range(4)))
    drive(5, *(cancel(f"{offset}") for offset in range(4)))
    commands = drive(6, *(facts.Cancelled(record(offset)) for offset in range(4)))
    assert commands == [cancellation(offset) for offset in range(4)]
    assert not drive.engine.failing.gate.shut


def test_nothing_is_left_of_it() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=700, question_id=ID))
    drive(0, fails(0))
    drive(5, cancel())
    assert drive.wake_at == LATER
    assert drive(700) == []
    drive(701, facts.Published(record(0)))
    assert not drive.engine.questions
    assert drive(10) == []


def test_what_waits_no_more_makes_room() -> None:
    drive = driven(slots=1, high=3, low=1)
    drive(0, fetched(0), *(fetched(n, question_id=f"{n}") for n in (1, 2, 3)))
    drive(5, cancel("1"), cancel("2"))
    assert drive(6, facts.Published(record(1)), facts.Published(record(2))) == [RESUME]


# --- who runs it --------------------------------------------------------------------------------


def held_by_another(until: int = 100) -> Driven:
    drive = driven(partitions=())
    drive.open(0, {0: 1}, recovered(runs=[run(0, until, THEM)]))
    drive(0, fetched(0, "a", question_id=ID), fetched(1, "a"))
    return drive


def test_one_that_another_member_runs_is_left_to_it() -> None:
    drive = held_by_another()
    assert drive(5, cancel()) == []
    followed = facts.Followed(0, 1, [Answered(0, 0)], position=1, as_of=20)
    assert drive(20, followed)[:2] == [drop(0), start(1, 1_020)]


def test_taken_over_it_is_cancelled_and_does_not_start() -> None:
    drive = held_by_another()
    drive(5, cancel())
    commands = drive(104, facts.Followed(0, 1, [], position=0, as_of=103))
    assert commands[:3] == [facts.TakeOver(record(0), 103), cancellation(0), start(1, 1_104)]
    drive(105, facts.Published(record(0)))
    assert set(drive.engine.questions) == {record(1)}


def test_a_run_that_was_handed_over_is_cancelled_here() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID))
    drive(5, facts.Revoking(ZERO, until=400))
    drive(6, released())
    assert drive(10, cancel()) == [facts.Cancel(record(0))]
    assert drive(11, facts.Cancelled(record(0))) == [cancellation(0)]


def test_one_that_is_lost_is_another_s_to_cancel() -> None:
    drive = driven()
    drive(0, fetched(0, question_id=ID))
    drive(5, facts.Revoking(ZERO, until=5, commits=False))
    drive(6, released(committed=False))
    assert drive(7, cancel()) == []
    assert drive(8, facts.Cancelled(record(0))) == []
    assert not drive.engine.questions
