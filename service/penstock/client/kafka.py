"""How is a question asked over Kafka? As any other producer and reader does."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from penstock.client.asking import Client
from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError, PublishError, TooLargeError
from penstock.events import envelope
from penstock.events.completion import Completion, Source
from penstock.events.control import CANCEL, Cancel
from penstock.events.question import Question
from penstock.events.said import Event
from penstock.kafka.admin import admin, require
from penstock.kafka.answers import Answers
from penstock.kafka.rights import Operation
from penstock.kafka.security import client_arguments
from penstock.telemetry.tracing.asking import sending

SOURCE = "/penstock/client"

TAIL_SECONDS = 5.0
"""How long a completion waits for the last token events: its topic is read independently."""


class KafkaClient(Client):
    """Args:
        bootstrap_servers: host:port, with commas between.
        client: how to connect, by librdkafka's names, such as `{"security.protocol": "SSL"}`.
        questions: the topic to ask on.
        tokens: the topic of token events.
        completions: the topic where every question ends.
        control: the topic on which questions are cancelled.

    Raises:
        ConfigurationError: see `penstock.kafka.security.client_arguments`.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        client: Mapping[str, str] | None = None,
        *,
        questions: str = "penstock.questions",
        tokens: str = "penstock.tokens",
        completions: str = "penstock.completions",
        control: str = "penstock.control",
    ) -> None:
        self._arguments = client_arguments(bootstrap_servers, client or {})
        self._questions = questions
        self._tokens = tokens
        self._completions = completions
        self._control = control
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

    async def events(
        self, question: Question, key: str | bytes | None = None
    ) -> AsyncGenerator[Event, None]:
        """See `Client.events`; the key may be bytes as well."""
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

    async def cancel(self, question_id: str) -> None:
        """See `Client.cancel`. All members are asked; nobody says whether there is such a question.

        Raises:
            ConfigurationError: there is no such topic, or no right to write to it.
            PublishError: Kafka did not take it.
        """
        if self._control not in self._partitions:
            await self._find({self._control: [Operation.WRITE]})
        name = f"{CANCEL}{question_id}"
        value = Cancel(question_id=question_id).model_dump_json().encode()
        headers = envelope.headers(envelope.CONTROL, name, SOURCE, self._clock.wall())
        await self._acknowledged(self._control, value, name.encode(), headers, partition=0)

    async def _send(self, question: Question, key: str | bytes | None) -> Any:
        assert question.id is not None
        now = self._clock.wall()
        with sending(self._questions) as trace:
            return await self._acknowledged(
                self._questions,
                question.model_dump_json(exclude_defaults=True).encode(),
                key.encode() if isinstance(key, str) else key,
                envelope.headers(envelope.QUESTION, question.id, SOURCE, now, trace),
            )

    async def _acknowledged(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> Any:
        try:
            return await self._producer.send_and_wait(topic, value, key, partition, headers=headers)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLargeError(f"{topic}: {error}") from error
        except ClientError as error:
            raise PublishError(f"{topic}: {error}") from error

    async def _connect(self, stack: AsyncExitStack) -> None:
        read, write = Operation.READ, Operation.WRITE
        await self._find(
            {self._questions: [write], self._tokens: [read], self._completions: [read]}
        )
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

    async def _find(self, topics: Mapping[str, list[Operation]]) -> None:
        async with admin(self._arguments) as connection:
            user = self._arguments.get("sasl_plain_username")
            found = await require(connection, topics, user)
        self._partitions |= {name: topic.partitions for name, topic in found.items()}


def _last_sequence(completion: Completion) -> int:
    return -1 if completion.last_sequence is None else completion.last_sequence


def _same_record(source: Source, sent: Any) -> bool:
    asked = (sent.topic, sent.partition, sent.offset)
    return (source.topic, source.partition, source.offset) == asked
