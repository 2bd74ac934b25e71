"""How does a request of OpenAI's become a question, and who waits for its answer?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.gateway.caller import Caller
from penstock.gateway.idempotency import named_by
from penstock.gateway.leaving import cancelled_on_disconnect, unless_gone
from penstock.gateway.openai.answer import Answer, Delta
from penstock.gateway.openai.errors import NO_RETRY, failure
from penstock.gateway.openai.fields import Asking
from penstock.gateway.openai.inputs import Turn, inputs
from penstock.gateway.openai.models import ListedModel, model
from penstock.gateway.parts import Parts
from penstock.gateway.problem import ProblemError
from penstock.gateway.questions import Asked
from penstock.gateway.stream import Said

GRACE_SECONDS = 10.0
"""For a completion, after the time of its question: where none comes, nobody is there."""


# Their bounds stand inside: FastAPI does not describe those of what may be missing.
_Key = Annotated[str, Field(min_length=1, max_length=255)]
_Count = Annotated[str, Field(pattern="^[0-9]{1,9}$")]


@dataclass(frozen=True, slots=True)
class Tries:
    """By what a request is known when it comes again."""

    name: str | None
    retry: int | None


def tries(
    idempotency_key: Annotated[
        _Key | SkipJsonSchema[None],
        Header(description="The same again is the same question, and gets its answer."),
    ] = None,
    x_stainless_retry_count: Annotated[
        _Count | SkipJsonSchema[None],
        Header(
            description="OpenAI's clients say by it how often they have tried: a retry gets the "
            "answer of what was asked first.",
        ),
    ] = None,
) -> Tries:
    """As the headers say."""
    retry = None if x_stainless_retry_count is None else int(x_stainless_retry_count)
    return Tries(idempotency_key, retry)


TriedBefore = Annotated[Tries, Depends(tries)]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer. `seconds`: in which there is one."""

    gateway: Parts
    asked: Asked
    model: ListedModel
    seconds: float

    @property
    def question_id(self) -> str:
        return self.asked.entry.question_id

    @property
    def created(self) -> int:
        """Unix seconds."""
        return self.asked.entry.timestamp // 1000

    @property
    def version(self) -> str | None:
        """Of the program, as far as that is known before it has answered."""
        return None if self.model.program is None else self.model.program.version

    async def completion(self, request: Request) -> Completion:
        """Waits for it.

        Raises:
            ProblemError: it has failed, or nobody has answered, or the gateway stops.
            starlette.requests.ClientDisconnect: nobody wants it any more.
        """
        questions = self.gateway.questions
        waiting = questions.completion(self.asked.entry, self.seconds)
        found = await unless_gone(self.gateway, request, self.asked.entry, waiting)
        if found is None:
            raise self._silence()
        return _answered(found)

    async def deltas(self) -> AsyncGenerator[Delta | Completion, None]:
        """What is said of its answer, and last its completion.

        Raises:
            ProblemError: as `completion`; or what is said contradicts what was told.
        """
        program = self.model.program
        answer = Answer(self.question_id, None if program is None else program.answer)
        until = asyncio.get_running_loop().time() + self.seconds
        async with aclosing(self.gateway.questions.events(self.asked)) as events:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        event = await anext(events)
                except TimeoutError:
                    raise self._silence() from None
                if isinstance(event, Said):
                    if (delta := answer.hear(event.value)) is not None:
                        yield delta
                    continue
                completion = _answered(event)
                for delta in answer.settle(completion):
                    yield delta
                yield completion
                return

    def _silence(self) -> ProblemError:
        return ProblemError(
            504,
            "no_answer",
            "nobody has answered in the time of the question; is the service running?",
            headers=NO_RETRY,
        )


@asynccontextmanager
async def exchange(
    gateway: Parts,
    who: Caller,
    asking: Asking,
    turns: Sequence[Turn],
    tried: Tries,
) -> AsyncIterator[Exchange]:
    """Asks it. Raises ProblemError: it cannot be."""
    program = await model(gateway, who, asking.model)
    deadline = gateway.settings.deadline
    timeout_ms = min(asking.timeout_ms or deadline.default_ms, deadline.max_ms)
    question = Question(
        id=None if tried.name is None else named_by(who, tried.name),
        program=program.id,
        inputs=inputs(turns, program.id, program.program),
        timeout_ms=timeout_ms,
        stream=bool(asking.stream),
        metadata=None if asking.metadata is None else dict(asking.metadata),
    )
    named = tried.name is not None
    async with (
        gateway.questions.asked(question, who, asking.key, named=named, retry=tried.retry) as asked,
        cancelled_on_disconnect(gateway, [asked.entry]),
    ):
        yield Exchange(gateway, asked, program, timeout_ms / 1000 + GRACE_SECONDS)


def _answered(value: bytes) -> Completion:
    completion = Completion.model_validate_json(value)
    if (error := failure(completion)) is not None:
        raise error
    return completion
