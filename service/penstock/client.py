"""How does another Python program ask? Over Kafka, as any other producer and reader.

    async with Client(client_arguments("localhost:9092", {})) as client:
        async for event in client.ask("Why is the sky blue?"):
            ...  # Token, Restart, Progress, End, and last the Completion
        completion = await client.answer("And at night?", timeout_ms=30_000)

One client asks any number of questions at the same time. `penstock.events.texts.Texts` folds the
events into the text of each field.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any, Self
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError, PublishError, TooLargeError
from penstock.events import envelope
from penstock.events.completion import Completion, Source
from penstock.events.question import Question
from penstock.kafka.admin import admin, require
from penstock.kafka.answers import Answers, Event
from penstock.kafka.rights import Operation

__all__ = ["Client", "Event"]

TAIL_SECONDS = 5.0
"""How long a completion waits for the last token events: its topic is read independently."""


class Client:
    """Asks questions and reads what is said about them.

    Args:
        client_arguments: the connection, from `penstock.kafka.security.client_arguments`.
        questions: the topic to ask on.
        tokens: the topic of token events.
        completions: the topic where every question ends.
    """

    def __init__(
        self,
        client_arguments: Mapping[str, Any],
        *,
        questions: str = "penstock.questions",
        tokens: str = "penstock.tokens",
        completions: str = "penstock.completions",
    ) -> None:
        self._arguments = dict(client_arguments)
        self._questions = questions
        self._tokens = tokens
        self._completions = completions
        self._clock = Clock()
        self._stack = AsyncExitStack()
        self._partitions: dict[str, int] = {}
        self._answers: Answers
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            ConfigurationError: there is no Kafka, or one of the topics is missing, or a right.
        """
        async with AsyncExitStack() as stack:
            try:
                await self._connect(stack)
            except (ClientError, KafkaError) as error:
                raise ConfigurationError(f"cannot ask over Kafka: {error}") from error
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def ask(
        self,
        inputs: str | Mapping[str, Any],
        *,
        program: str | None = None,
        timeout_ms: float | None = None,
        key: str | bytes | None = None,
        question_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        stream: bool = True,
    ) -> AsyncGenerator[Event, None]:
        """What is said about a question, as it is said; the last event is its completion.

        It waits for as long as nobody answers: put `asyncio.timeout` around it.

        Args:
            inputs: the program's input fields; a text is short for `{"question": text}`.
            program: default: the service's own default.
            timeout_ms: after which the question expires, wherever it is.
            key: questions of one key are answered one after the other.
            question_id: default: a new one.
            metadata: comes back in the completion.
            stream: without it only the completion comes.

        Raises:
            ValueError: this is no question.
            PublishError: Kafka did not take it.
            KafkaError: the answers cannot be read any more.
        """
        asked = {"question": inputs} if isinstance(inputs, str) else {"inputs": dict(inputs)}
        question = {
            **asked,
            "id": question_id,
            "program": program,
            "timeout_ms": timeout_ms,
            "metadata": metadata,
            "stream": stream,
        }
        return self.events(Question.model_validate(question), key)

    async def answer(
        self, inputs: str | Mapping[str, Any], *, stream: bool = False, **more: Any
    ) -> Completion:
        """How the question ended. Takes what `ask` takes, and raises what it raises."""
        return await last(self.ask(inputs, stream=stream, **more))

    async def events(
        self, question: Question, key: str | bytes | None = None
    ) -> AsyncGenerator[Event, None]:
        """As `ask`, for a question that is already one."""
        question_id = question.id or str(uuid4())
        with self._answers.listen(question_id) as inbox:
            sent = await self._send(question.model_copy(update={"id": question_id}), key)
            tokens_partition = sent.partition % self._partitions[self._tokens]
            heard = -1
            completion: Completion | None = None
            deadline: float | None = None
            while completion is None or heard < _last_sequence(completion):
                try:
                    async with asyncio.timeout_at(deadline):
                        partition, event = await inbox.get()
                except TimeoutError:
                    break
                # Somebody else may have asked something under the same id.
                if isinstance(event, Completion):
                    if _same_record(event.source, sent):
                        completion = event
                        deadline = asyncio.get_running_loop().time() + TAIL_SECONDS
                elif partition == tokens_partition:
                    heard = event.sequence
                    yield event
        assert completion is not None, "only a completion sets a deadline"
        yield completion

    async def _send(self, question: Question, key: str | bytes | None) -> Any:
        assert question.id is not None
        try:
            return await self._producer.send_and_wait(
                self._questions,
                question.model_dump_json(exclude_defaults=True).encode(),
                key.encode() if isinstance(key, str) else key,
                headers=envelope.headers(
                    envelope.QUESTION, question.id, "/penstock/client", self._clock.wall()
                ),
            )
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLargeError(f"{self._questions}: {error}") from error
        except ClientError as error:
            raise PublishError(f"{self._questions}: {error}") from error

    async def _connect(self, stack: AsyncExitStack) -> None:
        read, write = Operation.READ, Operation.WRITE
        wanted = {self._questions: [write], self._tokens: [read], self._completions: [read]}
        async with admin(self._arguments) as connection:
            user = self._arguments.get("sasl_plain_username")
            topics = await require(connection, wanted, user)
        self._partitions = {name: topic.partitions for name, topic in topics.items()}
        self._answers = Answers(self._arguments, self._tokens, self._completions, self._partitions)
        stack.push_async_callback(self._answers.stop)
        # Before the first question: nothing that is said about it can be missed.
        await self._answers.start()
        self._producer = AIOKafkaProducer(
            **self._arguments,
            client_id="penstock-client",
            acks="all",
            enable_idempotence=True,
            # The brokers know the topic's limit; ours would only hide it.
            max_request_size=2**30,
        )
        stack.push_async_callback(self._producer.stop)
        await self._producer.start()


async def last(events: AsyncGenerator[Event, None]) -> Completion:
    """Reads to the end."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Completion):
                return event
    raise AssertionError("the last event is the completion")


def _last_sequence(completion: Completion) -> int:
    return -1 if completion.last_sequence is None else completion.last_sequence


def _same_record(source: Source, sent: Any) -> bool:
    asked = (sent.topic, sent.partition, sent.offset)
    return (source.topic, source.partition, source.offset) == asked
