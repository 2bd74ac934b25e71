"""The table of consequences says what the design says."""

import pytest

from penstock.core.failure import CONSEQUENCES, Kind, expired


def test_every_kind_has_its_consequences() -> None:
    assert set(CONSEQUENCES) == set(Kind)


@pytest.mark.parametrize(
    ("kind", "retried", "counts_against_breaker", "stops_service"),
    [
        (Kind.RECORD, False, False, False),
        (Kind.ANSWER, True, False, False),
        (Kind.UPSTREAM, True, True, False),
        (Kind.OPERATOR, False, False, True),
        (Kind.DEADLINE, False, False, False),
    ],
)
def test_what_follows(
    kind: Kind, *, retried: bool, counts_against_breaker: bool, stops_service: bool
) -> None:
    assert CONSEQUENCES[kind] == (retried, counts_against_breaker, stops_service)


@pytest.mark.parametrize("stage", ["waiting", "running"])
def test_running_out_of_time_says_where(stage: str) -> None:
    failure = expired(stage)
    assert (failure.kind, failure.code) == (Kind.DEADLINE, "deadline_exceeded")
    assert failure.stage == stage
    assert stage in failure.message
