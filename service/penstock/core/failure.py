"""What kind of failure is this, and what follows? One table."""

from collections.abc import Mapping
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

CODES: Mapping[Kind, frozenset[str]] = {
    Kind.RECORD: frozenset(
        {
            "tombstone",
            "empty_value",
            "value_too_large",
            "not_utf8",
            "not_json",
            "not_an_object",
            "too_deep",
            "invalid_text",
            "invalid_event",
            "invalid_field",
            "metadata_too_large",
            "unknown_program",
            "missing_input",
            "rejected",
            "context_window_exceeded",
            "invalid_request",
            "request_too_large",
        }
    ),
    Kind.ANSWER: frozenset(
        {
            "unparsable_answer",
            "answer_too_large",
            "retry_later",
            "not_awaited",
            "program_error",
            "program_cancelled",
            "unexpected_error",
        }
    ),
    Kind.UPSTREAM: frozenset(
        {
            RATE_LIMITED,
            MODEL_TIMEOUT,
            "model_error",
            "connection_lost",
            "stream_broken",
            "tokens_not_published",
        }
    ),
    Kind.OPERATOR: frozenset(
        {
            "unknown_model",
            "model_auth",
            "model_unpaid",
            "model_configuration",
            "too_many_dead_letters",
        }
    ),
    Kind.DEADLINE: frozenset({"deadline_exceeded"}),
    Kind.CANCELLED: frozenset({"cancelled"}),
}
"""All there are: nobody whose question fails makes one."""

CANCELLED = Failure(Kind.CANCELLED, "cancelled", "somebody asked for it to be cancelled")


def expired(stage: str) -> Failure:
    return Failure(
        Kind.DEADLINE, "deadline_exceeded", f"the question ran out of time while {stage}", stage
    )
