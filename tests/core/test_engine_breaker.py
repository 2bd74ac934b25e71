"""A model that is not called: what waits, who is asked to find out, and what that costs nobody."""

from typing import Any

import pytest

from penstock.core import facts
from penstock.core.breaker import BreakerPolicy, Cause
from penstock.core.facts import Command, Used
from penstock.core.failure import Failure, Kind
from penstock.core.limiter import LimiterPolicy
from penstock.core.models import ModelPolicy
from penstock.core.retry import RetryPolicy
from tests.core.driven import (
    BAD_KEY,
    LATER,
    PAUSE,
    RESUME,
    UNREADABLE,
    UPSTREAM,
    ZERO,
    Driven,
    answer,
    drop,
    expiry,
    failed,
    fails,
    fetched,
    limited,
    record,
    released,
    retry,
    start,
    starts,
)

RETRY = RetryPolicy(base=10, cap=10, attempts={Kind.UPSTREAM: 3, Kind.ANSWER: 2})
ONCE = RetryPolicy(base=10, cap=10, attempts={Kind.UPSTREAM: 1, Kind.ANSWER: 1})
MODEL = ModelPolicy(BreakerPolicy(failures=2, window=500, probe=50), hold=30)

SHUT = facts.ModelShut("", Cause.FAILING)
TOLD_TO_WAIT = facts.ModelShut("", Cause.RATE_LIMITED)
OPENED = facts.ModelOpened("")


def driven(slots: int = 4, **more: Any) -> Driven:
    return Driven(slots, **{"retry": RETRY, "models": {"": MODEL}, **more})


def shut(drive: Driven, *others: int) -> list[Command]:
    """At 0 by questions 0 and 1, while these others run; from 50 on a probe finds out."""
    drive(0, *(fetched(offset) for offset in (0, 1, *others)))
    return drive(0, fails(0), fails(1))


def spent(drive: Driven, offset: int, kind: Kind = Kind.UPSTREAM) -> int:
    return drive.engine.questions[record(offset)].spent[kind]


# --- it fails -----------------------------------------------------------------------------------


def test_when_it_fails_too_often_nothing_starts_and_nothing_is_fetched() -> None:
    drive = driven()
    assert shut(drive) == [retry(0, 10), retry(1, 10), SHUT, PAUSE]
    assert drive(5, fetched(2)) == []
    assert drive(10) == []
    assert drive(49) == []
    assert drive.wake_at == 50


def test_then_one_finds_out_and_with_its_first_token_all_others_go_on() -> None:
    drive = driven()
    shut(drive)
    drive(5, fetched(2))
    assert drive(50) == [start(0, 1_000, attempt=2)]
    assert drive(60) == []
    assert drive(70, facts.Answers(record(0))) == [
        start(1, 1_000, attempt=2),
        start(2, 1_070),
        OPENED,
        RESUME,
    ]
    assert drive(80, facts.Finished(record(0))) == [answer(0)]


def test_an_answer_without_a_token_before_it_does_as_well() -> None:
    drive = driven()
    shut(drive)
    drive(50)
    assert OPENED in drive(60, facts.Finished(record(0)))


def test_who_answers_and_was_called_before_it_was_shut_opens_nothing() -> None:
    drive = driven()
    shut(drive, 2)
    assert drive(5, facts.Answers(record(2))) == []
    assert drive(6, facts.Finished(record(2))) == [answer(2)]
    assert starts(drive(49)) == []


def test_probes_that_fail_spend_no_attempt_and_are_one_at_a_time() -> None:
    drive = driven()
    shut(drive)
    for number in range(10):
        now = 50 * (number + 1)
        (probe,) = starts(drive(now))
        assert drive(now + 9) == []
        assert retry(probe, now + 10) in drive(now, fails(probe))
    assert (spent(drive, 0), spent(drive, 1)) == (1, 0)
    assert starts(drive(900)) != []


def test_nor_do_those_that_were_on_their_way_when_it_was_shut() -> None:
    drive = driven(retry=RetryPolicy(base=10, attempts={Kind.UPSTREAM: 1}))
    drive(0, *(fetched(offset) for offset in range(4)))
    assert failed(0, UPSTREAM) in drive(0, fails(0), fails(1))
    assert drive(5, fails(2), fails(3)) == [retry(2, 15), retry(3, 15)]
    assert [spent(drive, offset) for offset in (1, 2, 3)] == [0, 0, 0]


def test_an_answer_that_cannot_be_read_spends_one_all_the_same() -> None:
    """The model was there."""
    drive = driven()
    shut(drive, 2)
    assert drive(5, fails(2, UNREADABLE)) == [retry(2, 15, UNREADABLE)]
    assert spent(drive, 2, Kind.ANSWER) == 1


def test_deadlines_run_on() -> None:
    drive = driven()
    drive(0, fetched(0, "a", expires_at=40), fetched(1), fetched(2, "a", expires_at=30))
    drive(0, fails(0), fails(1))
    assert drive(30) == [expiry(2, "waiting")]
    assert drive(40) == [expiry(0, "retrying")]


# --- who is asked to find out -------------------------------------------------------------------


def test_where_nobody_waits_partitions_are_read_until_somebody_does() -> None:
    drive = driven(retry=ONCE)
    drive(0, fetched(0, expires_at=40), fetched(1, expires_at=40))
    assert drive(0, fails(0), fails(1)) == [failed(0, UPSTREAM), retry(1, 10), SHUT, PAUSE]
    assert drive(40) == [expiry(1, "retrying")]
    assert drive.wake_at == 50
    assert drive(50) == [RESUME]
    assert drive.wake_at == LATER
    assert drive(60, fetched(2)) == [start(2, 1_060), PAUSE]
    assert drive(70, facts.Answers(record(2))) == [OPENED, RESUME]


@pytest.mark.parametrize(
    ("at", "event"), [(75, facts.Cancelled(record(0))), (570, facts.Heard(LATER))]
)
def test_a_probe_that_is_cut_off_lets_another_one_find_out(at: int, event: facts.Event) -> None:
    """When it has ended, or is given up as it runs."""
    drive = driven()
    drive(0, fetched(0, expires_at=70), fetched(1))
    drive(0, fails(0), fails(1))
    assert starts(drive(50)) == [0]
    assert drive(70) == [facts.Cancel(record(0))]
    assert starts(drive(74)) == []
    assert starts(drive(at, event)) == [1]


def test_so_does_one_that_nobody_wants_any_more() -> None:
    drive = driven()
    drive(0, fetched(0, question_id="zero"), fetched(1))
    drive(0, fails(0), fails(1))
    drive(50)
    drive(55, facts.CancelRequested("zero", 0, LATER))
    assert starts(drive(56, facts.Cancelled(record(0)))) == [1]


def test_so_does_one_whose_answer_cannot_be_read() -> None:
    drive = driven()
    shut(drive)
    drive(50)
    assert drive(55, fails(0, UNREADABLE)) == [
        retry(0, 65, UNREADABLE),
        start(1, 1_000, attempt=2),
    ]


def test_so_does_one_that_goes_to_another_member_and_is_lost() -> None:
    drive = driven(partitions=(0, 1))
    drive(0, fetched(0), fetched(1, partition=1))
    drive(0, fails(0), fails(1, partition=1))
    assert starts(drive(50)) == [0]
    drive(55, facts.Revoking(ZERO, until=55, commits=False))
    assert starts(drive(56, released(committed=False))) == []
    assert starts(drive(57, facts.Cancelled(record(0)))) == [1]


def test_a_question_that_makes_it_fail_is_not_the_only_one_to_be_asked() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(0, fails(0))
    drive(10)
    assert SHUT in drive(10, fails(0))
    drive(20, fetched(1))
    assert starts(drive(60)) == [0]
    drive(60, fails(0))
    assert starts(drive(110)) == [1]
    assert starts(drive(120, facts.Answers(record(1)))) == [0]


def test_where_only_such_questions_are_there_others_are_fetched() -> None:
    drive = driven()
    drive(0, fetched(0))
    drive(0, fails(0))
    drive(10)
    assert drive(10, fails(0)) == [retry(0, 20), SHUT, PAUSE]
    assert starts(drive(60)) == [0]
    assert drive(60, fails(0)) == [retry(0, 70), RESUME]
    # One is enough.
    assert drive(80, fetched(1)) == [PAUSE]
    assert starts(drive(110)) == [1]


def test_where_there_is_no_other_it_is_asked_again_and_the_others_ever_more_seldom() -> None:
    """For with its probe the time of a question begins to run."""
    drive = driven()
    shut(drive)
    asked = []
    for number in range(9):
        now = 50 * (number + 1)
        drive(now - 1, fetched(100 + number))
        (probe,) = drive(now)
        assert isinstance(probe, facts.Start)
        asked.append(probe.attempt == 1)
        drive(now, facts.Failed(probe.record, UPSTREAM))
        # What is to find out next time is here.
        assert drive.engine.intake.paused
    assert [number for number, fresh in enumerate(asked) if fresh] == [1, 2, 4, 8]


# --- the provider wants no calls ----------------------------------------------------------------


def test_a_refusal_holds_its_starts_until_the_provider_wants_them() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1))
    assert drive(5, fails(0, limited(200))) == [retry(0, 205, limited(200)), TOLD_TO_WAIT, PAUSE]
    assert drive(10, fetched(2)) == []
    assert drive(204) == []
    assert drive.wake_at == 205
    # It has said nothing yet: its time begins now.
    assert drive(205) == [start(0, 1_205, attempt=2)]
    assert drive(206, facts.Answers(record(0))) == [start(2, 1_206), OPENED, RESUME]


def test_it_spends_no_attempt_and_is_no_failure_of_the_model() -> None:
    drive = driven(retry=ONCE)
    drive(0, fetched(0))
    for number in range(5):
        now = 30 * number
        assert retry(0, now + 30, limited(30)) in drive(now, fails(0, limited(30)))
        assert starts(drive(now + 30)) == [0]
    drive(150, facts.Answers(record(0)))
    assert drive.engine.models[""].breaker.cause is None
    drive(151, fetched(1))
    assert drive(152, fails(1)) == [failed(1, UPSTREAM)]


def test_one_that_names_no_time_is_waited_for_a_while() -> None:
    drive = driven()
    drive(0, fetched(0))
    assert retry(0, 10, limited()) in drive(0, fails(0, limited()))
    assert drive(29) == []
    assert starts(drive(30)) == [0]


def test_a_late_one_while_it_is_shut_makes_the_wait_longer() -> None:
    drive = driven()
    shut(drive, 2)
    drive(5, fails(2, limited(100)))
    assert drive(104) == []
    assert starts(drive(105)) == [0]


def test_a_late_one_while_a_probe_is_on_its_way_counts_too() -> None:
    drive = driven()
    shut(drive, 2)
    drive(50)
    drive(55, fails(2, limited(100)))
    # The model is back, and wants nobody before 155.
    assert drive(60, facts.Answers(record(0))) == []
    assert drive(154) == []
    assert starts(drive(155)) == [1]
    assert OPENED in drive(156, facts.Answers(record(1)))


def test_who_would_be_too_late_then_is_given_up_now_and_the_others_wait() -> None:
    drive = driven()
    drive(0, fetched(0, expires_at=100), fetched(1, "a"), fetched(2, "a"))
    assert failed(0, limited(200)) in drive(5, fails(0, limited(200)))
    drive(10, facts.Finished(record(1)), facts.Published(record(1)))
    assert starts(drive(204)) == []
    assert starts(drive(205)) == [2]


# --- several models -----------------------------------------------------------------------------


def two(slots: int = 4, **more: Any) -> Driven:
    return driven(slots, models={"large": MODEL, "small": MODEL}, **more)


def test_another_model_goes_on_and_partitions_are_read_for_it() -> None:
    drive = two()
    drive(0, fetched(0, model="large"), fetched(1, model="large"))
    assert drive(0, fails(0), fails(1)) == [
        retry(0, 10),
        retry(1, 10),
        facts.ModelShut("large", Cause.FAILING),
    ]
    assert drive(20, fetched(2, model="large"), fetched(3, model="small")) == [start(3, 1_020)]


def test_when_none_may_be_called_nothing_is_read() -> None:
    drive = two()
    names = ("large", "large", "small", "small")
    drive(0, *(fetched(offset, model=name) for offset, name in enumerate(names)))
    assert PAUSE not in drive(0, fails(0), fails(1))
    assert PAUSE in drive(20, fails(2), fails(3))
    assert drive(30) == []
    assert drive.wake_at == 50
    assert starts(drive(50)) == [0]
    assert starts(drive(70)) == [2]
    assert RESUME in drive(80, facts.Answers(record(2)))


def test_a_probe_needs_a_slot() -> None:
    drive = two(slots=2)
    drive(0, fetched(0, model="large"), fetched(1, model="large"))
    drive(0, fails(0), fails(1))
    drive(5, fetched(2, model="small"), fetched(3, model="small"))
    assert drive(50) == []
    assert drive.wake_at == 1_000
    assert starts(drive(60, facts.Finished(record(2)))) == [0]


def test_within_a_lane_nobody_overtakes_who_waits_for_its_model() -> None:
    drive = two()
    drive(0, fetched(0, model="large"), fetched(1, model="large"))
    drive(0, fails(0), fails(1))
    assert drive(5, fetched(2, "a", model="large"), fetched(3, "a", model="small")) == []
    drive(50)
    assert 2 in starts(drive(60, facts.Answers(record(0))))
    assert starts(drive(70, facts.Finished(record(2)), facts.Published(record(2)))) == [3]


# --- how many at once ---------------------------------------------------------------------------


def test_a_limit_that_is_enforced_bounds_what_starts() -> None:
    limit = ModelPolicy(limiter=LimiterPolicy("enforce", least=2, most=2))
    drive = driven(slots=9, models={"": limit})
    assert starts(drive(0, *(fetched(offset) for offset in range(4)))) == [0, 1]
    assert starts(drive(5, facts.Finished(record(1)))) == [2]
    assert starts(drive(6, fails(0))) == [3]


@pytest.mark.parametrize("end", [facts.Cancelled(record(0)), facts.Heard(LATER)])
def test_what_is_cut_off_has_its_place_no_more(end: facts.Event) -> None:
    limit = ModelPolicy(limiter=LimiterPolicy("enforce", least=1, most=1))
    drive = driven(models={"": limit})
    drive(0, fetched(0, expires_at=10), fetched(1))
    drive(10)
    assert starts(drive(510, end)) == [1]


def test_what_is_granted_a_minute_spreads_what_starts() -> None:
    granted = ModelPolicy(limiter=LimiterPolicy("off", requests_per_minute=6))
    drive = driven(models={"": granted})
    assert starts(drive(0, fetched(0), fetched(1), fetched(2))) == [0]
    assert drive.wake_at == 10
    assert starts(drive(9)) == []
    assert starts(drive(10)) == [1]
    assert starts(drive(20)) == [2]
    assert drive.wake_at == 30
    assert drive(30) == []
    assert drive.wake_at == 1_000


def test_what_was_used_counts() -> None:
    granted = ModelPolicy(limiter=LimiterPolicy("off", tokens_per_minute=600))
    drive = driven(models={"": granted})
    drive(0, fetched(0))
    drive(10, facts.Finished(record(0), Used(1, 300)))
    assert drive(10, fetched(1)) == []
    assert drive.wake_at == 30
    assert starts(drive(30)) == [1]


def test_an_operator_failure_of_the_probe_stops_the_service() -> None:
    drive = driven()
    shut(drive)
    drive(50)
    commands = drive(55, fails(0, BAD_KEY))
    assert drop(0) in commands
    assert any(isinstance(command, facts.Release) for command in commands)


# --- a provider that takes some calls and not all ----------------------------------------------


@pytest.mark.parametrize("code", ["rate_limited", "server_error"])
def test_one_that_refuses_what_is_too_much_for_it_costs_no_question(code: str) -> None:
    """Every 1,000 it takes four calls, of sixteen at once."""
    refusal = Failure(Kind.UPSTREAM, code, "too much", retry_after=1_000)
    policy = ModelPolicy(BreakerPolicy(probe=1_000))
    attempts = RetryPolicy(base=10, attempts={Kind.UPSTREAM: 3})
    drive = driven(slots=16, retry=attempts, models={"": policy})
    questions = [fetched(offset, expires_at=LATER) for offset in range(100)]
    commands = drive(0, *questions)
    ended: list[facts.PublishCompletion | facts.GiveUp] = []
    now, granted = 0, 4
    while len(ended) < len(questions) and now < LATER:
        events: list[facts.Event] = []
        for one in starts(commands):
            if granted:
                granted -= 1
                events += [facts.Answers(record(one)), facts.Finished(record(one))]
            else:
                events.append(fails(one, refusal))
        done = [c for c in commands if isinstance(c, facts.PublishCompletion | facts.GiveUp)]
        ended += done
        events += [facts.Published(c.record) for c in done]
        if not events:
            assert drive.wake_at is not None
            granted = 4 if drive.wake_at // 1_000 > now // 1_000 else granted
            now = int(drive.wake_at)
        commands = drive(now, *events)
    assert {type(one) for one in ended} == {facts.PublishCompletion}
    assert len(ended) == len(questions)


def test_who_has_failed_waits_for_nobody_who_asks_another_model() -> None:
    """Where its own key has shut out everybody else who could find out."""
    once = ModelPolicy(BreakerPolicy(failures=1, probe=50))
    drive = driven(slots=2, models={"a": once, "b": once})
    others = [fetched(offset, model="a") for offset in range(2, 20)]
    drive(0, fetched(0, "key", model="b"), fetched(1, model="a"), *others)
    assert starts(drive(1, fails(0))) == [2]
    assert starts(drive(51, facts.Finished(record(1)))) == [0]
    assert drive.engine.models["b"].breaker.cause is Cause.FAILING
    assert starts(drive(52, fails(0))) == [3]
    assert starts(drive(102, facts.Finished(record(2)))) == [0]
