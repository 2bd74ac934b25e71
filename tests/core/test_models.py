"""A breaker and a limiter for each model, told of every call and of what came of it."""

import math

import pytest

from penstock.core.breaker import BreakerPolicy, Cause
from penstock.core.facts import ONE_CALL, RecordId, Used
from penstock.core.failure import MODEL_TIMEOUT, RATE_LIMITED, Failure, Kind
from penstock.core.limiter import LimiterPolicy
from penstock.core.models import Model, ModelPolicy, Models

POLICY = ModelPolicy(BreakerPolicy(failures=2, probe=5), hold=3)
ENFORCED = ModelPolicy(limiter=LimiterPolicy("enforce", least=4, most=4))

DOWN = Failure(Kind.UPSTREAM, "server_error", "500")
TIMEOUT = Failure(Kind.UPSTREAM, MODEL_TIMEOUT, "no answer")
UNREADABLE = Failure(Kind.ANSWER, "unparsable", "cannot be read")
INVALID = Failure(Kind.RECORD, "invalid_request", "the context window is exceeded")
BAD_KEY = Failure(Kind.OPERATOR, "bad_key", "the key is refused")


def limited(retry_after: float | None = None) -> Failure:
    return Failure(Kind.UPSTREAM, RATE_LIMITED, "429", retry_after=retry_after)


def call(number: int) -> RecordId:
    return RecordId(0, 1, number)


def fails(model: Model, failure: Failure, times: int, now: float = 0) -> None:
    for number in range(times):
        model.started(call(number), now)
        model.failed(call(number), failure, ONE_CALL, now)


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (DOWN, Cause.FAILING),
        (TIMEOUT, Cause.FAILING),
        (UNREADABLE, None),
        (INVALID, None),
        (BAD_KEY, None),
    ],
)
def test_only_what_is_the_model_s_fault_counts_against_it(
    failure: Failure, cause: Cause | None
) -> None:
    model = Model(POLICY)
    fails(model, failure, 10)
    assert model.breaker.cause is cause


def test_a_refusal_holds_all_calls_until_the_provider_wants_them_again() -> None:
    model = Model(POLICY)
    fails(model, limited(20), 1, now=100)
    assert (model.breaker.cause, model.allows_at(101)) == (Cause.RATE_LIMITED, 120)
    assert not model.calls_now(119)
    assert model.calls_now(120)


@pytest.mark.parametrize("retry_after", [None, 0])
def test_or_for_a_while_where_it_does_not_say(retry_after: float | None) -> None:
    model = Model(POLICY)
    fails(model, limited(retry_after), 1, now=100)
    assert model.allows_at(100) == 103


@pytest.mark.parametrize("retry_after", [3_600, math.inf])
def test_but_not_for_so_long_that_a_limit_may_be_raised_meanwhile(retry_after: float) -> None:
    model = Model(POLICY)
    fails(model, limited(retry_after), 1, now=100)
    assert model.allows_at(101) == 700


def test_a_whole_answer_that_a_program_cannot_use_is_one() -> None:
    model = Model(POLICY)
    for number in range(2):
        model.started(call(number), 0)
        model.failed(call(number), DOWN, ONE_CALL, 0, answered=True)
    model.started(call(5), 5)
    model.answers(call(5), 6)
    assert model.breaker.cause is Cause.FAILING
    model.failed(call(5), UNREADABLE, ONE_CALL, 7, answered=True)
    assert model.breaker.cause is None


@pytest.mark.parametrize("failure", [UNREADABLE, INVALID])
def test_a_probe_whose_question_was_wrong_lets_another_one_probe(failure: Failure) -> None:
    model = Model(POLICY)
    fails(model, DOWN, 2)
    model.started(call(5), 5)
    assert not model.calls_now(5)
    model.failed(call(5), failure, ONE_CALL, 6)
    assert model.calls_now(6)
    assert model.breaker.cause is Cause.FAILING


def test_so_does_one_that_was_cut_off() -> None:
    model = Model(POLICY)
    fails(model, DOWN, 2)
    model.started(call(5), 5)
    model.gone(call(5), 6)
    assert model.calls_now(6)


def test_its_first_token_opens_it() -> None:
    model = Model(POLICY)
    fails(model, DOWN, 2)
    model.started(call(5), 5)
    model.answers(call(5), 6)
    assert model.breaker.cause is None


def test_while_it_is_not_called_its_limit_does_not_matter() -> None:
    model = Model(ModelPolicy(POLICY.breaker, LimiterPolicy("off", requests_per_minute=1)))
    fails(model, DOWN, 2)
    assert model.allows_at(1) == 5
    model.started(call(9), 5)
    assert model.allows_at(5) is None


# --- and the limit ------------------------------------------------------------------------------


def test_every_way_to_end_frees_its_place() -> None:
    model = Model(ENFORCED)
    for number in range(4):
        model.started(call(number), 0)
    assert model.allows_at(0) is None
    model.succeeded(call(0), ONE_CALL, 0)
    model.failed(call(1), UNREADABLE, ONE_CALL, 0)
    model.gone(call(2), 0)
    for number in range(5, 8):
        assert model.calls_now(0)
        model.started(call(number), 0)
    assert model.allows_at(0) is None


def test_without_a_stream_an_answer_is_its_first_token() -> None:
    model = Model(ModelPolicy(limiter=LimiterPolicy("enforce", least=4, most=64)))
    for now in range(3):
        for number in range(4):
            model.started(call(number), now)
        for number in range(4):
            model.succeeded(call(number), ONE_CALL, now + 1)
    assert model.limiter.limit == 8


@pytest.mark.parametrize(
    ("failure", "limit"), [(limited(), 8.0), (TIMEOUT, 8.0), (DOWN, 10.0), (UNREADABLE, 10.0)]
)
def test_an_overloaded_provider_gets_fewer(failure: Failure, limit: float) -> None:
    model = Model(ModelPolicy(limiter=LimiterPolicy("observe", least=1, most=10)))
    model.limiter.limit = 10.0
    fails(model, failure, 1)
    assert model.limiter.limit == limit


def test_what_nobody_knows_of_a_call_that_was_cut_off_stays_charged() -> None:
    model = Model(ModelPolicy(limiter=LimiterPolicy("off", tokens_per_minute=6_000)))
    model.started(call(0), 0)
    model.succeeded(call(0), Used(1, 1_000), 0)
    assert model.allows_at(1_000) == 1_000
    model.started(call(1), 1_000)
    model.gone(call(1), 1_000)
    assert model.allows_at(1_000) == pytest.approx(1_010)
    model.started(call(2), 2_000)
    model.failed(call(2), DOWN, Used(1, 0), 2_000)
    assert model.allows_at(2_000) == 2_000


# --- all of them --------------------------------------------------------------------------------


def test_what_has_changed_is_told_once() -> None:
    models = Models({"a": POLICY, "b": POLICY})
    assert models.changes() == []
    fails(models["a"], DOWN, 2)
    fails(models["b"], limited(9), 1)
    assert models.changes() == [("a", Cause.FAILING), ("b", Cause.RATE_LIMITED)]
    assert models.changes() == []
    models["b"].started(call(7), 9)
    models["b"].answers(call(7), 9)
    assert models.changes() == [("b", None)]
    assert models.changes() == []


def test_what_changed_and_changed_back_is_not_told() -> None:
    models = Models({"a": POLICY})
    fails(models["a"], limited(1), 1)
    models["a"].started(call(7), 1)
    models["a"].answers(call(7), 1)
    assert models.changes() == []
