"""What does a client hear that wants an answer's text, and knows nothing of fields and offsets?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, Field

from penstock.events.completion import Completion, Program, Usage
from penstock.events.question import Question
from penstock.gateway.index import Entry
from penstock.gateway.outcomes import unanswered, unless_completed
from penstock.gateway.parts import Parts
from penstock.gateway.problem import ProblemError
from penstock.gateway.questions import Asked
from penstock.gateway.stream import Said

GRACE_SECONDS = 5.0
"""After its time is up, in which its completion may still come."""

Heard = tuple[str, str]
"""`token` and a piece of the answer; `restart` and why all of it so far is to be dropped; `status`
and a step, for people to read.
"""

_TEXT = {"token": "text", "restart": "reason", "status": "text"}
"""Where that stands in a token event."""


class Answer(BaseModel):
    """A question that completed."""

    id: str = Field(description="By which it is found at `/v1/questions/{id}`.")
    status: Literal["completed"] = "completed"
    answer: str | None = Field(description="The output field `answer`, else the last text output.")
    outputs: dict[str, Any] | None = Field(description="Every output field.")
    duration_ms: float = Field(description="From the request to its answer, waiting and all.")
    queued_ms: float = Field(description="Of these, until it was started.")
    program: Program | None
    model: str | None
    usage: Usage
    attempts: int
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, completion: Completion, seconds: float) -> Self:
        """Raises ProblemError: it did not complete. `seconds`: since it was asked."""
        unless_completed(completion)
        return cls(
            id=completion.question_id,
            answer=completion.answer,
            outputs=completion.outputs,
            duration_ms=round(seconds * 1000, 3),
            queued_ms=completion.timing.queued_ms,
            program=completion.program,
            model=completion.model,
            usage=completion.usage,
            attempts=completion.attempts,
            metadata=completion.metadata,
        )


def in_time(question: Question, gateway: Parts) -> Question:
    """With a deadline, so that nobody pays for an answer that nobody waits for any more.

    Raises:
        ProblemError: (422) that is over, and nobody has asked it before.
    """
    ends = question.expires_at
    if ends is not None and ends.timestamp() <= gateway.clock.wall() and _is_new(question, gateway):
        raise ProblemError(422, "expired", "expires_at: has passed; nobody would answer it")
    if question.timeout_ms is not None or question.expires_at is not None:
        return question
    return question.model_copy(update={"timeout_ms": float(gateway.settings.deadline.default_ms)})


def patience(question: Question, gateway: Parts) -> float:
    """Seconds after which no completion of it comes any more, if a service runs."""
    seconds = gateway.settings.deadline.max_ms / 1000
    if question.timeout_ms is not None:
        seconds = min(seconds, question.timeout_ms / 1000)
    if question.expires_at is not None:
        seconds = min(seconds, question.expires_at.timestamp() - gateway.clock.wall())
    return max(seconds, 0.0) + GRACE_SECONDS


async def heard(
    asked: Asked, question: Question, gateway: Parts
) -> AsyncGenerator[Heard | Completion, None]:
    """Until its completion, which comes last.

    Raises:
        ProblemError: it has none in its time, or did not complete, or cannot be read.
    """
    field = _answer(asked.entry, gateway)
    deadline = asyncio.get_running_loop().time() + patience(question, gateway)
    told = False
    async with aclosing(gateway.questions.events(asked)) as events:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await anext(events)
            except TimeoutError:
                raise unanswered(asked.entry.question_id) from None
            if isinstance(event, bytes):
                break
            text = _text(event, field)
            if text:
                told = event.kind == "token" or (told and event.kind != "restart")
                yield event.kind, text
    completion = Completion.model_validate_json(event)
    unless_completed(completion)
    if not told and completion.answer:
        # Not every program streams, and not every question wants it.
        yield "token", completion.answer
    yield completion


def _is_new(question: Question, gateway: Parts) -> bool:
    """Else it is only looked at how it ended."""
    return question.id is None or gateway.questions.index.get(question.id) is None


def _answer(entry: Entry, gateway: Parts) -> str | None:
    """The field whose text is the answer; None: that is not known."""
    program = entry.program or gateway.questions.default_program
    served = gateway.overview.programs.get(program)
    return None if served is None else served.answer


def _text(event: Said, field: str | None) -> str | None:
    if event.kind not in _TEXT:
        return None
    body = orjson.loads(event.value)
    if event.kind == "token" and not (body["output"] and field in {None, body["field"]}):
        return None
    text: str = body[_TEXT[event.kind]]
    return text
