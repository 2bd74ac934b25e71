"""What kind of failure is this, and what follows? One table."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    RECORD = "RECORD"
    """The question itself is wrong: no program and no model will ever answer it."""
    ANSWER = "ANSWER"
    """The model answered, but not what the program asked for."""
    UPSTREAM = "UPSTREAM"
    """The model, or the way to it, is in trouble."""
    OPERATOR = "OPERATOR"
    """A person has to mend the configuration or pay a bill."""
    DEADLINE = "DEADLINE"
    """Nothing failed but the time."""
    CANCELLED = "CANCELLED"
    """Nothing failed: nobody wants the answer any more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, as it stands in the completion and in the dead letter.

    Args:
        kind: who has to act.
        code: a stable word for machines, such as `rate_limited`.
        message: one sentence for people; never the text of a question or an answer.
        stage: where it happened: `decode`, `waiting`, `running`, `publishing`, or, between two
            attempts, `retrying`.
        retry_after: seconds the other side asked us to wait.
    """

    kind: Kind
    code: str
    message: str
    stage: str = "running"
    retry_after: float | None = None


class Consequence(NamedTuple):
    retried: bool
    counts_against_breaker: bool
    stops_service: bool


CONSEQUENCES = {
    Kind.RECORD: Consequence(retried=False, counts_against_breaker=False, stops_service=False),
    Kind.ANSWER: Consequence(retried=True, counts_against_breaker=False, stops_service=False),
    Kind.UPSTREAM: Consequence(retried=True, counts_against_breaker=True, stops_service=False),
    Kind.OPERATOR: Consequence(retried=False, counts_against_breaker=False, stops_service=True),
    Kind.DEADLINE: Consequence(retried=False, counts_against_breaker=False, stops_service=False),
    Kind.CANCELLED: Consequence(retried=False, counts_against_breaker=False, stops_service=False),
}

RATE_LIMITED = "rate_limited"
"""The code of a failure by which the provider says how fast it wants to be called."""
MODEL_TIMEOUT = "model_timeout"
"""The code of a failure by which a model has taken too long."""

CANCELLED = Failure(Kind.CANCELLED, "cancelled", "somebody asked for it to be cancelled")


def expired(stage: str) -> Failure:
    return Failure(
        Kind.DEADLINE, "deadline_exceeded", f"the question ran out of time while {stage}", stage
    )
