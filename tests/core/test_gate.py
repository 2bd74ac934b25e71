"""Too many dead letters shut it, and only those that say something of the service count."""

import pytest

from penstock.core.failure import CANCELLED, Failure, Kind, expired
from penstock.core.gate import Gate, GatePolicy

POLICY = GatePolicy(run=4, ratio=0.5, window=60)
BAD = Failure(Kind.ANSWER, "unparsable", "cannot be read")
POISON = Failure(Kind.RECORD, "invalid_request", "the context window is exceeded")


def gate(policy: GatePolicy = POLICY) -> Gate:
    return Gate(policy)


def fails(one: Gate, times: int, now: float = 0, failure: Failure = BAD) -> list[bool]:
    """Whether they may be dead-lettered."""
    return [one.lets_through(failure, now) for _ in range(times)]


def succeeds(one: Gate, times: int, now: float = 0) -> None:
    for _ in range(times):
        one.succeeded(now)


def test_a_run_of_dead_letters_shuts_it_and_the_one_too_many_is_not_one() -> None:
    one = gate()
    assert fails(one, 3) == [True, True, True]
    assert not one.shut
    assert fails(one, 1) == [False]
    assert one.shut


def test_its_cause_is_the_one_too_many_until_it_opens() -> None:
    one = gate()
    fails(one, 3)
    assert one.cause is None
    timeout = Failure(Kind.UPSTREAM, "model_timeout", "no answer")
    fails(one, 1, failure=timeout)
    fails(one, 1)
    assert one.cause == timeout
    one.open()
    assert one.cause is None


def test_an_answer_ends_a_run() -> None:
    one = gate()
    succeeds(one, 9)
    for _ in range(3):
        assert all(fails(one, 3))
        succeeds(one, 3)
    assert not one.shut


def test_a_run_may_take_as_long_as_it_takes() -> None:
    one = gate()
    assert [one.lets_through(BAD, now) for now in (0, 1_000, 2_000, 3_000)] == [True] * 3 + [False]


def test_more_than_the_ratio_of_the_questions_that_ended_shuts_it() -> None:
    one = gate()
    for _ in range(5):
        succeeds(one, 1)
        assert all(fails(one, 1))
    assert fails(one, 1) == [False]
    assert one.shut


def test_the_ratio_itself_does_not() -> None:
    one = gate()
    for _ in range(50):
        succeeds(one, 1)
        assert all(fails(one, 1))
    assert not one.shut


def test_a_ratio_of_few_says_nothing() -> None:
    one = gate()
    assert all(fails(one, 1))
    succeeds(one, 1)
    assert all(fails(one, 1))
    assert not one.shut


def test_what_ended_before_the_window_does_not_count() -> None:
    one = gate()
    succeeds(one, 50, now=0)
    for _ in range(2):
        assert all(fails(one, 1, now=60.5))
        succeeds(one, 1, now=60.5)
    assert fails(one, 1, now=60.5) == [False]


def test_failures_of_before_the_window_do_not_either() -> None:
    one = gate()
    for _ in range(3):
        succeeds(one, 1, now=0)
        assert all(fails(one, 1, now=0))
    succeeds(one, 3, now=60.5)
    assert fails(one, 2, now=60.5) == [True] * 2


def test_nothing_older_than_the_window_is_kept() -> None:
    one = gate()
    for now in range(1_000):
        one.succeeded(now)
    assert len(one._last) == POLICY.window + 1


# --- what does not count ------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [POISON, expired("waiting")])
def test_what_says_nothing_of_the_service_passes_open_or_shut(failure: Failure) -> None:
    one = gate()
    assert all(fails(one, 100, failure=failure))
    assert not one.shut
    fails(one, 4)
    assert one.shut
    assert all(fails(one, 100, failure=failure))


@pytest.mark.parametrize("failure", [POISON, expired("waiting")])
def test_nor_does_it_end_a_run(failure: Failure) -> None:
    one = gate()
    fails(one, 3)
    fails(one, 100, failure=failure)
    assert fails(one, 1) == [False]


def test_what_ran_out_of_time_while_it_ran_counts() -> None:
    assert fails(gate(), 4, failure=expired("running")) == [True, True, True, False]


def test_what_ran_out_of_time_between_two_attempts_does_not() -> None:
    assert fails(gate(), 9, failure=expired("retrying")) == [True] * 9


# --- shut, and opened ---------------------------------------------------------------------------


def test_shut_it_lets_nothing_through_that_counts_whatever_succeeds_meanwhile() -> None:
    one = gate()
    fails(one, 4)
    succeeds(one, 100)
    assert fails(one, 3) == [False] * 3


def test_opened_it_counts_anew() -> None:
    one = gate()
    fails(one, 30)
    one.open()
    assert not one.shut
    assert fails(one, 4) == [True, True, True, False]


def test_opened_the_ratio_counts_anew_too() -> None:
    one = gate()
    fails(one, 4)
    one.open()
    succeeds(one, 1)
    assert fails(one, 3) == [True, True, False]


def test_a_cancelled_question_is_not_asked_about() -> None:
    """No dead letter; see the engine. Were it, it would count."""
    assert fails(gate(GatePolicy(run=1)), 1, failure=CANCELLED) == [False]
