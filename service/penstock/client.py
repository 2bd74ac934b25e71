"""How does another Python program ask? Over Kafka, as any other producer and reader.

    async with Client(client_arguments("localhost:9092", {})) as client:
        async for event in client.ask("Why is the sky blue?"):
            ...  # Token, Restart, Progress, End, and last the Completion
        completion = await client.answer({"question": "And at night?"}, timeout_ms=30_000)

One consumer without a group serves all questions that are asked at the same time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any, Self
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from pydantic import ValidationError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError, PublishError, TooLargeError
from penstock.events import envelope
from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.events.token import End, Progress, Restart, Token, TokenEvent
from penstock.kafka.admin import admin

Event = Token | Restart | Progress | End | Completion

BACKLOG = 4096
"""Events of one question that may wait for their reader; see `_Ask`."""

TAIL_SECONDS = 5.0
"""How long a completion waits for the last token events: the two topics are read independently."""


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
        self._partitions: dict[str, int] = {}
        self._asks: dict[str, list[_Ask]] = {}
        self._died: KafkaError | None = None
        self._stack = AsyncExitStack()
        self._producer: Any = None
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            ConfigurationError: there is no Kafka, or one of the topics is missing.
        """
        try:
            await self._connect()
        except ClientError as error:
            await self._stack.aclose()
            raise ConfigurationError(f"cannot ask over Kafka: {error}") from error
        except BaseException:
            await self._stack.aclose()
            raise
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
            ValueError: what is asked is no question.
            PublishError: Kafka did not take the question.
        """
        text = isinstance(inputs, str)
        question = Question(
            id=question_id,
            question=inputs if isinstance(inputs, str) else None,
            inputs=None if text else dict(inputs),  # type: ignore[arg-type] # text is a str
            program=program,
            timeout_ms=timeout_ms,
            metadata=metadata,
            stream=stream,
        )
        return self.events(question, key)

    async def answer(
        self, inputs: str | Mapping[str, Any], *, stream: bool = False, **more: Any
    ) -> Completion:
        """How it ended; takes what `ask` takes."""
        async with aclosing(self.ask(inputs, stream=stream, **more)) as events:
            async for event in events:
                if isinstance(event, Completion):
                    return event
        raise AssertionError("the last event is the completion")

    async def events(
        self, question: Question, key: str | bytes | None = None
    ) -> AsyncGenerator[Event, None]:
        """As `ask`, for a question that is already one."""
        question_id = question.id or str(uuid4())
        ask = _Ask(question_id)
        self._asks.setdefault(question_id, []).append(ask)
        try:
            sent = await self._send(question.model_copy(update={"id": question_id}), key)
            async for event in self._about(ask, sent):
                yield event
        finally:
            self._asks[question_id].remove(ask)
            if not self._asks[question_id]:
                del self._asks[question_id]

    async def _about(self, ask: "_Ask", sent: Any) -> AsyncGenerator[Event, None]:
        """What is said about this record, not about another one of the same id."""
        tokens_partition = sent.partition % self._partitions[self._tokens]
        completion: Completion | None = None
        last = -1
        deadline = None
        while completion is None or (completion.last_sequence or 0) > last:
            try:
                async with asyncio.timeout_at(deadline):
                    partition, event = await ask.get(self._died)
            except TimeoutError:
                break
            if isinstance(event, Completion):
                source = event.source
                if (source.topic, source.partition, source.offset) != (
                    self._questions,
                    sent.partition,
                    sent.offset,
                ):
                    continue
                completion = event
                last = last if event.last_sequence is not None else 0
                deadline = asyncio.get_running_loop().time() + TAIL_SECONDS
            elif partition in {tokens_partition, None}:
                last = event.sequence
                yield event
        assert completion is not None
        yield completion

    async def _send(self, question: Question, key: str | bytes | None) -> Any:
        assert question.id is not None
        value = question.model_dump_json(exclude_defaults=True).encode()
        headers = envelope.headers(
            envelope.QUESTION, question.id, "/penstock/client", self._clock.wall()
        )
        try:
            return await self._producer.send_and_wait(
                self._questions,
                value,
                key.encode() if isinstance(key, str) else key,
                headers=headers,
            )
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLargeError(f"{self._questions}: {error}") from error
        except ClientError as error:
            raise PublishError(f"{self._questions}: {error}") from error

    # --- connecting and reading -----------------------------------------------------------------

    async def _connect(self) -> None:
        self._partitions = await self._look_up()
        self._consumer = AIOKafkaConsumer(
            **self._arguments,
            client_id="penstock-client",
            enable_auto_commit=False,
            isolation_level="read_committed",
            # Only for what retention removes while we read: go on with what is left.
            auto_offset_reset="earliest",
        )
        self._stack.push_async_callback(self._consumer.stop)
        await self._consumer.start()
        assigned = [
            TopicPartition(topic, partition)
            for topic in (self._tokens, self._completions)
            for partition in range(self._partitions[topic])
        ]
        self._consumer.assign(assigned)
        # Before the first question: its answer cannot come before the end of today.
        if not await self._consumer.seek_to_end(*assigned):
            raise ConfigurationError("cannot ask over Kafka: the ends of the topics are not known")
        self._producer = AIOKafkaProducer(
            **self._arguments,
            client_id="penstock-client",
            acks="all",
            enable_idempotence=True,
            # The brokers know the topic's limit; ours would only hide it.
            max_request_size=2**30,
        )
        self._stack.push_async_callback(self._producer.stop)
        await self._producer.start()
        reading = asyncio.create_task(self._read())
        self._stack.push_async_callback(_end, reading)

    async def _look_up(self) -> dict[str, int]:
        """The number of partitions of each topic."""
        async with admin(self._arguments) as connection:
            # Of all topics: to ask for one by name creates it, where the broker is set so.
            described = await connection.describe_topics()
        found = {topic["topic"]: len(topic["partitions"]) for topic in described}
        wanted = (self._questions, self._tokens, self._completions)
        if missing := [topic for topic in wanted if topic not in found]:
            raise ConfigurationError(
                f"topic {missing[0]!r} is missing; start `penstock serve`, which creates it"
            )
        return {topic: found[topic] for topic in wanted}

    async def _read(self) -> None:
        try:
            while True:
                for records in (await self._consumer.getmany(timeout_ms=60_000)).values():
                    self._dispatch(records)
        except ClientError as error:
            self._died = KafkaError(f"reading the answers failed: {error}")
            for asks in self._asks.values():
                for ask in asks:
                    ask.wake()

    def _dispatch(self, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            try:
                asks = self._asks.get(orjson.loads(record.value)["question_id"])
                if not asks:
                    continue
                event = _event(record.topic == self._completions, record.value)
            except (KeyError, TypeError, ValidationError, orjson.JSONDecodeError):
                # Of a later version, or not ours: readers skip what they do not know.
                continue
            for ask in asks:
                ask.put(record.partition, event)


class _Ask:
    """What has come for one question and its reader has not yet taken.

    A reader far behind must neither fill the memory nor hold up the others, who share the
    consumer: it loses its token events, is told so by a `Restart`, and still gets the completion.
    """

    def __init__(self, question_id: str) -> None:
        self._question_id = question_id
        self._events: deque[tuple[int | None, Event]] = deque()
        self._something = asyncio.Event()
        self._too_late = False

    def put(self, partition: int | None, event: Event) -> None:
        if not isinstance(event, Completion | End):
            if self._too_late:
                return
            if len(self._events) >= BACKLOG:
                self._too_late = True
                self._events.clear()
                partition = None
                event = Restart(
                    question_id=self._question_id,
                    sequence=event.sequence,
                    attempt=event.attempt,
                    reason="the reader fell too far behind; the completion has the whole answer",
                )
        self._events.append((partition, event))
        self.wake()

    def wake(self) -> None:
        self._something.set()

    async def get(self, died: KafkaError | None) -> tuple[int | None, Event]:
        raise NotImplementedError
