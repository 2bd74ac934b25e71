"""Exponential backoff with full jitter, never before the other side wants it."""

from random import Random

import pytest

from penstock.core.failure import Failure, Kind
from penstock.core.retry import Retry, RetryPolicy

POLICY = RetryPolicy(base=1, cap=60, attempts={Kind.UPSTREAM: 10, Kind.ANSWER: 3})


def failure(kind: Kind = Kind.UPSTREAM, retry_after: float | None = None) -> Failure:
    return Failure(kind, "code", "message", retry_after=retry_after)


def longest(policy: RetryPolicy = POLICY) -> Retry:
    return Retry(policy, lambda: 1.0)


def test_the_longest_wait_doubles_up_to_the_cap() -> None:
    waits = [longest().again_at(failure(), spent, now=100) for spent in range(1, 10)]
    assert waits == [101, 102, 104, 108, 116, 132, 160, 160, 160]


def test_chance_decides_between_now_and_the_longest_wait() -> None:
    def drawn(chance: float) -> float | None:
        return Retry(POLICY, lambda: chance).again_at(failure(), 3, now=100)

    assert [drawn(0), drawn(0.25), drawn(1)] == [100, 101, 104]


def test_every_wait_is_drawn_anew() -> None:
    retry = Retry(POLICY, Random(1).random)
    assert len({retry.again_at(failure(), 5, now=0) for _ in range(50)}) == 50


def test_a_failure_that_did_not_count_waits_like_the_first() -> None:
    assert longest().again_at(failure(), 0, now=100) == 101


@pytest.mark.parametrize(("kind", "attempts"), [(Kind.UPSTREAM, 10), (Kind.ANSWER, 3)])
def test_every_kind_has_so_many_attempts(kind: Kind, attempts: int) -> None:
    assert longest().again_at(failure(kind), attempts - 1, now=0) is not None
    assert longest().again_at(failure(kind), attempts, now=0) is None
    assert longest().again_at(failure(kind), attempts + 1, now=0) is None


@pytest.mark.parametrize("kind", [Kind.RECORD, Kind.OPERATOR, Kind.DEADLINE, Kind.CANCELLED])
def test_what_no_attempt_can_mend_is_given_up_at_once(kind: Kind) -> None:
    assert longest().again_at(failure(kind), 0, now=0) is None


@pytest.mark.parametrize(
    ("retry_after", "chance", "wait"), [(30, 0.0, 30), (30, 1.0, 30), (0.5, 1.0, 1), (0, 0.0, 0)]
)
def test_it_is_never_before_the_other_side_wants_it(
    retry_after: float, chance: float, wait: float
) -> None:
    retry = Retry(POLICY, lambda: chance)
    assert retry.again_at(failure(retry_after=retry_after), 1, now=100) == 100 + wait


def test_the_other_side_may_want_more_than_the_cap() -> None:
    assert longest().again_at(failure(retry_after=600), 9, now=0) == 600


def test_after_more_failures_than_floats_can_count_it_is_the_cap() -> None:
    endless = RetryPolicy(base=1e-3, cap=60, attempts={Kind.UPSTREAM: 10**6})
    assert longest(endless).again_at(failure(), 5_000, now=0) == 60
