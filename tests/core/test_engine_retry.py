"""What has failed runs again: when, how often, and what it holds meanwhile."""

from typing import Any

import pytest

from penstock.core import facts
from penstock.core.breaker import BreakerPolicy
from penstock.core.facts import Answered
from penstock.core.failure import Failure, Kind
from penstock.core.models import ModelPolicy
from penstock.core.question import Phase
from penstock.core.retry import RetryPolicy
from tests.core.driven import (
    AT_ONCE,
    BAD_KEY,
    LATER,
    PAUSE,
    POISON,
    RESUME,
    THEM,
    UNREADABLE,
    UPSTREAM,
    ZERO,
    Driven,
    answer,
    assigned,
    commit,
    drop,
    expiry,
    failed,
    fails,
    fetched,
    limited,
    record,
    recovered,
    release,
    released,
    retry,
    run,
    start,
    starts,
)

RETRY = RetryPolicy(base=10, cap=40, attempts={Kind.UPSTREAM: 4, Kind.ANSWER: 2})
"""Waits as long as it may: chance gives 1."""


def driven(slots: int = 2, **more: Any) -> Driven:
    return Driven(slots, **{"retry": RETRY, **more})


# --- when, and how often ------------------------------------------------------------------------


def test_it_runs_again_after_a_wait_with_the_deadline_it_had() -> None:
    drive = driven()
    assert drive(0, fetched(0)) == [start(0, 1_000)]
    assert drive(100, fails(0)) == [retry(0, 110)]
    assert drive.wake_at == 110
    assert drive(109) == []
    assert drive(110) == [start(0, 1_000, attempt=2)]
    assert drive(120, facts.Finished(record(0))) == [answer(0)]


def test_waits_double_up_to_the_cap_and_then_it_is_given_up_with_its_last_failure() -> None:
    patient = ModelPolicy(BreakerPolicy(failures=9))
    attempts = RetryPolicy(base=10, cap=25, attempts={Kind.UPSTREAM: 5})
    drive = driven(retry=attempts, models={"": patient})
    drive(0, fetched(0))
    now = 0
    for attempt, wait in enumerate((10, 20, 25, 25), 2):
        assert drive(now, fails(0)) == [retry(0, now + wait)]
        now += wait
        assert drive(now) == [start(0, 1_000, attempt=attempt)]
    last = Failure(Kind.UPSTREAM, "server_error", "the model answered 502")
    assert drive(now, fails(0, last)) == [failed(0, last)]
    assert drive(now + 1, facts.Published(record(0))) == []
    assert not drive.engine.owns(record(0))


def test_every_kind_has_attempts_of_its_own() -> None:
    drive = driven()
    drive(0, fetched(0))
    assert drive(0, fails(0, UNREADABLE)) == [retry(0, 10, UNREADABLE)]
    drive(10)
    assert drive(10, fails(0)) == [retry(0, 20)]
    drive(20)
    assert drive(20, fails(0, UNREADABLE)) == [failed(0, UNREADABLE)]


@pytest.mark.parametrize("kind", [Kind.RECORD, Kind.DEADLINE])
def test_what_no_attempt_can_mend_is_given_up_at_once(kind: Kind) -> None:
    drive = driven()
    drive(0, fetched(0))
    hopeless = Failure(kind, "code", "message")
    assert drive(0, fails(0, hopeless)) == [failed(0, hopeless)]


def test_a_program_that_cancels_itself_is_asked_again() -> None:
    drive = driven()
    drive(0, fetched(0))
    (again,) = drive(5, facts.Cancelled(record(0)))
    assert isinstance(again, facts.RetryAt)
    assert (again.failure.code, again.at) == ("program_cancelled", 15)
    assert starts(drive(15)) == [0]


def test_what_the_other_side_wants_is_waited_for() -> None:
    drive = driven()
    drive(0, fetched(0))
    later = Failure(Kind.UPSTREAM, "server_error", "503", retry_after=300)
    assert drive(0, fails(0, later)) == [retry(0, 300, later)]
    assert drive(299) == []
    assert starts(drive(300)) == [0]


@pytest.mark.parametrize(("failed_at", "again"), [(989, 999), (990, None), (995, None)])
def test_where_the_next_attempt_would_be_too_late_it_is_given_up_now(
    failed_at: int, again: int | None
) -> None:
    drive = driven()
    drive(0, fetched(0))
    expected = failed(0, UPSTREAM) if again is None else retry(0, again)
    assert drive(failed_at, fails(0)) == [expected]


def test_so_it_is_where_the_other_side_wants_it_too_late() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=200))
    later = Failure(Kind.UPSTREAM, "server_error", "503", retry_after=150)
    assert drive(50, fails(0, later)) == [failed(0, later)]


@pytest.mark.parametrize("dead_letter", [True, False])
def test_its_deadline_runs_on_between_attempts(*, dead_letter: bool) -> None:
    drive = driven(slots=1, dead_letter_expired=dead_letter)
    drive(0, fetched(0, expires_at=50))
    drive(20, fails(0), fetched(1))
    assert drive.wake_at == 30
    # Its time has come, and there is no slot.
    assert drive(30) == []
    assert drive.wake_at == 50
    assert drive(50) == [expiry(0, "retrying", dead_letter=dead_letter)]
    assert drive(60, facts.Finished(record(1))) == [answer(1)]
    assert drive.engine.admission.in_flight == 0


def test_an_attempt_that_has_begun_again_is_cancelled_at_the_same_deadline() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(100, fails(0))
    drive(110)
    assert drive.wake_at == 1_000
    assert drive(1_000) == [facts.Cancel(record(0))]
    assert drive(1_001, fails(0)) == [expiry(0, "running")]


def test_a_poisoned_record_never_runs_at_all() -> None:
    drive = driven()
    assert drive(0, fetched(0, failure=POISON)) == [failed(0, POISON)]


# --- what it holds ------------------------------------------------------------------------------


def test_it_holds_its_lane_and_no_slot() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0, "a"), fetched(1, "a"), fetched(2, "b"))
    assert drive(5, fails(0)) == [retry(0, 15), start(2, 1_005)]
    assert drive(6, facts.Finished(record(2))) == [answer(2)]
    assert drive(7, facts.Published(record(2))) == []
    assert drive(15) == [start(0, 1_000, attempt=2)]
    assert drive(16, facts.Finished(record(0))) == [answer(0)]
    assert drive(17, facts.Published(record(0))) == [start(1, 1_017)]


def test_given_up_it_opens_its_lane_when_that_is_acknowledged() -> None:
    drive = driven(retry=RetryPolicy(base=10, attempts={Kind.UPSTREAM: 2}))
    drive(0, fetched(0, "a"), fetched(1, "a"))
    drive(0, fails(0))
    drive(10)
    assert drive(10, fails(0)) == [failed(0, UPSTREAM)]
    assert drive(11, facts.Published(record(0))) == [start(1, 1_011)]


def test_it_goes_before_those_that_have_not_run_and_they_before_it_while_it_waits() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0), fetched(1), fetched(2))
    assert drive(0, fails(0)) == [retry(0, 10), start(1, 1_000)]
    assert drive(10) == []
    assert drive(20, facts.Finished(record(1))) == [answer(1), start(0, 1_000, attempt=2)]
    assert drive(30, facts.Finished(record(0))) == [answer(0), start(2, 1_030)]


def test_those_that_wait_for_a_slot_get_one_in_the_order_of_their_times() -> None:
    drive = driven(slots=2)
    drive(0, fetched(0), fetched(1))
    drive(3, fails(1))
    drive(5, fails(0))
    drive(6, fetched(2), fetched(3))
    assert drive(20) == []
    assert starts(drive(30, facts.Finished(record(2)))) == [1]
    assert starts(drive(31, facts.Finished(record(3)))) == [0]


def test_it_counts_as_held_in_memory() -> None:
    drive = driven(slots=2, high=2, low=0)
    drive(0, fetched(0), fetched(1))
    assert PAUSE not in drive(0, fails(0))
    assert PAUSE in drive(0, fails(1))
    assert RESUME in drive(10)


def test_it_holds_the_commit_back() -> None:
    drive = driven(cadence=AT_ONCE)
    drive(0, fetched(0), fetched(1))
    drive(1, fails(0))
    drive(2, facts.Finished(record(1)))
    assert drive(3, facts.Published(record(1))) == [commit(0, 1)]


def test_nothing_is_left_of_it_when_it_is_done() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(0, fails(0))
    drive(10)
    drive.done(20, record(0))
    assert drive.wake_at == LATER
    assert drive.engine.failing.retries.next_at() is None
    assert not any(drive.engine.admission._again.values())


# --- it is another's, or the service stops ------------------------------------------------------


def test_when_its_partition_leaves_it_goes_on_where_it_was() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(20, fails(0))
    assert drive(25, facts.Revoking(ZERO, 550)) == [release(0, runs=[run(0, 550)])]
    assert drive(28, released()) == []
    assert drive(30) == [start(0, 1_000, attempt=2)]


def test_without_the_time_for_that_whoever_is_next_may_start_it_at_once() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(20, fails(0))
    # Half a second to end, and twenty to arrive, are more than there is.
    assert drive(25, facts.Revoking(ZERO, 549)) == [drop(0), release(0, clean=False)]
    assert drive(40, released()) == []
    assert drive.wake_at is None


def test_nor_where_its_model_is_not_called() -> None:
    drive = driven(models={"": ModelPolicy(BreakerPolicy(failures=1))})
    drive(0, fetched(0))
    drive(20, fails(0))
    assert drive(25, facts.Revoking(ZERO, 900)) == [drop(0), release(0, clean=False)]


def test_a_partition_that_leaves_and_comes_back_gives_nothing_a_new_life() -> None:
    drive = driven(retry=RetryPolicy(base=10, attempts={Kind.ANSWER: 3}))
    drive(0, fetched(0))
    unreadable = Failure(Kind.ANSWER, "unparsable_answer", "no JSON")
    for times, now in enumerate((10, 110, 210), 1):
        again = drive(now, fails(0, unreadable))
        if times == 3:
            break
        drive(now + 1, facts.Revoking(ZERO, now + 900))
        drive(now + 2, released())
        came_back = recovered(runs=[run(0, now + 900)])
        drive.open(now + 3, {0: times + 1}, came_back)
        drive(now + 3, facts.Committed())
        assert drive(now + 99) == [start(0, 1_000, attempt=times + 1)]
    assert again == [failed(0, unreadable)]


def test_a_wait_that_is_longer_than_a_question_has_takes_none_of_its_time() -> None:
    drive = driven()
    drive(0, fetched(0))
    refused = limited(retry_after=5_000)
    assert retry(0, 5_020, refused) in drive(20, fails(0, refused))
    assert starts(drive(4_000)) == []
    assert start(0, 6_020, attempt=2) in drive(5_020)


def test_but_not_where_whoever_asked_has_named_an_end() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=1_000))
    refused = limited(retry_after=5_000)
    assert failed(0, refused) in drive(20, fails(0, refused))


def test_what_fails_when_it_is_handed_over_runs_again_if_it_has_time() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(1, facts.Revoking(ZERO, 800))
    drive(2, released())
    assert drive(20, fails(0)) == [retry(0, 30)]
    assert drive(30) == [start(0, 1_000, attempt=2)]
    # Half a second to end, and twenty to arrive, are too much by then.
    assert drive(300, fails(0)) == [drop(0)]


def test_a_refusal_of_what_is_handed_over_leaves_it_where_it_is_if_it_has_time() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=1_000))
    drive(1, facts.Revoking(ZERO, 1_560))
    drive(2, released())
    assert retry(0, 13, limited(7)) in drive(3, fails(0, limited(7)))
    assert start(0, 1_000, attempt=2) in drive(13)


@pytest.mark.parametrize("fits", [True, False])
def test_what_has_all_its_time_again_needs_all_of_it(*, fits: bool) -> None:
    """Begun and cut off, it would be paid for and asked again."""
    begins, takes = 13, 1_000 + 500 + 20
    drive = driven()
    drive(0, fetched(0))
    # A deadline that is not named gives it no more than its first time.
    drive(1, facts.Revoking(ZERO, begins + takes - (not fits)))
    drive(2, released())
    commands = drive(3, fails(0, limited(10)))
    assert (retry(0, begins, limited(10)) in commands) is fits
    assert (drop(0) in commands) is not fits
    assert (start(0, begins + 1_000, attempt=2) in drive(begins)) is fits


def test_what_was_left_to_others_is_when_its_partition_comes_back_in_that_moment() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(1, facts.Revoking(ZERO, 300))
    drive(2, released())
    drive(3, assigned({0: 2}, recovered(runs=[run(0, 300)])))
    commands = drive(4, fails(0), facts.Committed())
    assert drop(0) in commands
    # It is held, as if another process had it, until it is known what was said of it.
    drive(4, fetched(0, epoch=2))
    followed = facts.Followed(0, 2, (), position=0, as_of=60)
    assert starts(drive(60, followed)) == [0]


def test_what_is_handed_over_does_not_run_again_when_it_has_waited_too_long_for_a_slot() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0), fetched(1))
    drive(5, fails(0))
    drive(6, facts.Revoking(ZERO, 900))
    drive(7, released())
    assert starts(drive(875, facts.Finished(record(1)))) == []
    assert drop(0) in drive(900)


def test_in_a_drain_nothing_runs_again_that_would_be_cut_off() -> None:
    drive = driven(slots=1)
    drive(0, fetched(0), fetched(1))
    drive(0, fails(0))
    assert drive.engine.questions[record(0)].phase is Phase.RETRYING
    drive(20, facts.Draining(600, alone=True))
    commands = drive(90) + drive(600) + drive(601, facts.Cancelled(record(1)))
    assert starts(commands) == []
    assert drop(0) in commands


def test_a_refusal_of_what_is_paid_for_counts() -> None:
    drive = driven()
    drive(0, fetched(0))
    now = 0
    refused = limited(1)
    for _ in range(3):
        drive(now, facts.Answers(record(0)))
        [again, *_] = drive(now, fails(0, refused))
        assert isinstance(again, facts.RetryAt)
        now = int(again.at)
        drive(now)
    drive(now, facts.Answers(record(0)))
    assert failed(0, refused) in drive(now, fails(0, refused))


def test_what_is_not_ours_for_sure_does_not_run_again() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(1, facts.Revoking(ZERO, 900))
    drive(5, fails(0))
    # While nobody knows whether the group knows that it is ours.
    assert drive(15) == []
    assert drive(16, released(committed=False)) == [drop(0)]
    assert drive(17) == []


def test_without_a_lease_it_does_not_run_and_with_one_it_goes_on() -> None:
    drive = driven(heard=None)
    drive(0, facts.Heard(0))
    drive(0, fetched(0))
    drive(60, fails(0))
    assert drive(78) == []
    assert starts(drive(80, facts.Heard(80))) == [0]


def test_another_one_that_completes_it_ends_it() -> None:
    drive = driven(partitions=())
    drive.open(0, {0: 1}, recovered(runs=[run(9, 500, THEM)]))
    drive(0, fetched(0, "a"), fetched(1, "a"))
    drive(0, fails(0))
    followed = facts.Followed(0, 1, [Answered(0, 0)], position=1, as_of=5)
    assert drive(5, followed) == [drop(0), start(1, 1_005)]
    assert drive(10) == []
    assert not drive.engine.owns(record(0))


def test_at_the_end_nothing_runs_again() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1))
    drive(0, fails(0))
    assert drive(5, facts.Draining(200, alone=True)) == [facts.Pause(ZERO), drop(0)]
    assert drive(20, fails(1)) == [retry(1, 30), drop(1), release(0, clean=False)]


def test_an_operator_failure_of_another_lets_it_go() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1))
    drive(0, fails(0))
    commands = drive(5, fails(1, BAD_KEY))
    assert [one for one in commands if isinstance(one, facts.Drop)] == [drop(1), drop(0)]


def test_what_arrives_again_while_it_waits_is_the_same_question() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(0, fails(0))
    assert drive(5, fetched(0)) == []
    assert starts(drive(10)) == [0]
    assert drive.engine.admission.in_flight == 1
