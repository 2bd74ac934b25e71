"""What is somebody told whose question did not complete? A problem, by how it ended."""

from penstock.events.completion import Completion, CompletionStatus
from penstock.gateway.problem import ProblemError

STATUS: dict[CompletionStatus, int] = {"expired": 504, "cancelled": 409, "duplicate": 409}
"""Of the response. One that failed goes by its kind."""

KIND = {"RECORD": 422}
"""All others are what stands behind the gateway: 502."""


def unless_completed(completion: Completion) -> None:
    """Raises ProblemError: it did not complete."""
    if completion.status == "completed":
        return
    error = completion.error
    status = STATUS.get(completion.status)
    if status is None:
        status = KIND.get("" if error is None else error.kind, 502)
    raise ProblemError(
        status,
        completion.status if error is None else error.code,
        f"the question was {completion.status}" if error is None else error.message,
        id=completion.question_id,
        kind=None if error is None else error.kind,
    )


def unanswered(question_id: str) -> ProblemError:
    """Its time is up, and nobody has said how it ended."""
    return ProblemError(
        504,
        "no_completion",
        "its time is up and nobody has answered it: does `penstock serve` run? A completion that "
        f"comes later is found by GET /v1/questions/{question_id}",
        id=question_id,
    )
