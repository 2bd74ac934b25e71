"""What can be asked, whatever the way is?"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self, TypeVar
from uuid import uuid4

from penstock.client.batch import Asked, Outcome, answered, as_they_end
from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.events.said import Event

Inputs = str | Mapping[str, Any]
"""The program's input fields; a text is short for `{"question": text}`."""

Item = TypeVar("Item", bound=Inputs | Question)


class Client(ABC):
    """Asks questions and reads what is said of them, while an `async with` block runs."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            ConfigurationError: nobody answers there, or nobody who lets us in.
        """

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    def events(self, question: Question, key: str | None = None) -> AsyncGenerator[Event, None]:
        """As `stream`, for a question that is already one."""

    @abstractmethod
    async def cancel(self, question_id: str) -> None:
        """Nobody wants this answer any more: its completion says `cancelled`. What has ended stays
        as it is.

        Raises:
            PublishError, GatewayError: it could not be asked for.
        """

    def stream(
        self,
        inputs: Inputs,
        *,
        program: str | None = None,
        timeout_ms: float | None = None,
        key: str | None = None,
        question_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """What is said of a question, as it is said; the last event is its completion.

        It waits for as long as nobody answers: put `asyncio.timeout` around it. Who stops reading
        has not cancelled the question.

        Args:
            inputs: the program's input fields; a text is short for `{"question": text}`.
            program: default: the service's own default.
            timeout_ms: after which the question expires, wherever it is.
            key: questions of one key are answered one after the other.
            question_id: default: a new one.
            metadata: comes back in the completion.

        Raises:
            ValueError: this is no question.
            PublishError: Kafka did not take it.
            KafkaError: the answers cannot be read any more.
            GatewayError: the gateway refused it, or is away for too long.
        """
        question = _question(
            inputs,
            id=question_id,
            program=program,
            timeout_ms=timeout_ms,
            metadata=metadata,
        )
        return self.events(question, key)

    async def ask(
        self,
        inputs: Inputs,
        *,
        program: str | None = None,
        timeout_ms: float | None = None,
        key: str | None = None,
        question_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Completion:
        """How the question ended. Takes what `stream` takes, and raises what it raises."""
        question = _question(
            inputs,
            id=question_id,
            program=program,
            timeout_ms=timeout_ms,
            metadata=metadata,
            stream=False,
        )
        return await self.completion(question, key)

    async def completion(self, question: Question, key: str | None = None) -> Completion:
        """As `ask`, for a question that is already one."""
        async with aclosing(self.events(question, key)) as events:
            async for event in events:
                if isinstance(event, Completion):
                    return event
        raise AssertionError("the last event is the completion")

    def batch(
        self,
        questions: Iterable[Item] | AsyncIterable[Item],
        *,
        key: str | None = None,
        wait: float | None = None,
        concurrency: int = 256,
    ) -> AsyncGenerator[tuple[Asked[Item], Outcome], None]:
        """Each question with how it ended, in the order in which they end.

        The next question is taken from `questions` when there is room for it. Without token
        events, as nobody would see them.

        Args:
            questions: inputs as of `ask`, or whole questions.
            key: of all of them: then they are answered one after the other.
            wait: seconds for which one without a `timeout_ms` is waited for; one with it is waited
                for so long. Default: for as long as nobody answers.
            concurrency: how many are open at once, 1 or more; one whose outcome was not taken yet
                is open.

        Raises:
            ValueError: there is no such concurrency.
            PenstockError: no question can be asked any more. What concerns one alone is its
                outcome.
        """
        if concurrency < 1:
            raise ValueError(f"concurrency is 1 or more, not {concurrency}")

        def ask(question: Question) -> Awaitable[Completion]:
            return self.completion(question, key)

        return as_they_end(
            questions, lambda index, item: answered(index, item, _asked, ask, wait), concurrency
        )


def _question(inputs: Inputs, **more: Any) -> Question:
    asked = {"question": inputs} if isinstance(inputs, str) else {"inputs": dict(inputs)}
    return Question.model_validate({**asked, **more})


def _asked(item: Inputs | Question) -> Question:
    question = item if isinstance(item, Question) else _question(item)
    return question.model_copy(update={"id": question.id or str(uuid4()), "stream": False})
