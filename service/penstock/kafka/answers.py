"""What is being said about the questions asked here? Tokens and completions, read without a group.

One consumer reads both topics from their ends on and hands every event to whoever listens for its
question.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError as ClientError

from penstock.errors import KafkaError
from penstock.events.completion import Completion
from penstock.events.said import Event, read
from penstock.events.token import End, Progress, Restart, Token

BACKLOG = 4096
"""Events of one question that may wait for their reader."""


class Inbox:
    """Events about one question that its reader has not yet taken, with their partitions.

    A reader far behind must neither fill the memory nor hold up the others, who share the
    consumer: it loses its token events, is told so by a `Restart`, and still gets the completion.
    """

    def __init__(self) -> None:
        self._events: deque[tuple[int, Event]] = deque()
        self._something = asyncio.Event()
        self._too_late = False
        self._failure: KafkaError | None = None

    def put(self, partition: int, event: Event) -> None:
        if not isinstance(event, Completion | End):
            if self._too_late:
                return
            if len(self._events) >= BACKLOG:
                event = self._give_up(event)
        self._events.append((partition, event))
        self._something.set()

    def fail(self, failure: KafkaError) -> None:
        self._failure = failure
        self._something.set()

    async def get(self) -> tuple[int, Event]:
        """Waits for the next event.

        Raises:
            KafkaError: there will be none.
        """
        while not self._events:
            if self._failure is not None:
                raise self._failure
            self._something.clear()
            await self._something.wait()
        return self._events.popleft()

    def _give_up(self, event: Token | Restart | Progress) -> Restart:
        self._too_late = True
        ends = [item for item in self._events if isinstance(item[1], Completion | End)]
        self._events = deque(ends)
        return Restart(
            question_id=event.question_id,
            sequence=event.sequence,
            attempt=event.attempt,
            reason="the reader fell too far behind; the completion has the whole answer",
        )


class Answers:
    """The two topics of answers. `partitions` has the number of partitions of each."""

    def __init__(
        self,
        client: Mapping[str, Any],
        tokens: str,
        completions: str,
        partitions: Mapping[str, int],
    ) -> None:
        self._completions = completions
        self._assigned = [
            TopicPartition(topic, partition)
            for topic in (tokens, completions)
            for partition in range(partitions[topic])
        ]
        self._inboxes: dict[str, list[Inbox]] = {}
        self._failure: KafkaError | None = None
        self._reading: asyncio.Task[None] | None = None
        self._consumer = AIOKafkaConsumer(
            **client,
            client_id="penstock-client",
            enable_auto_commit=False,
            isolation_level="read_committed",
            # Only for what retention removes while we read: go on with what is left.
            auto_offset_reset="earliest",
        )

    async def start(self) -> None:
        """From now on nothing that is said is missed."""
        await self._consumer.start()
        self._consumer.assign(self._assigned)
        if not await self._consumer.seek_to_end(*self._assigned):
            raise KafkaError("the brokers do not tell where the answers' topics end")
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._consumer.stop()

    @contextmanager
    def listen(self, question_id: str) -> Iterator[Inbox]:
        """Several may listen for the same id."""
        inbox = Inbox()
        if self._failure is not None:
            inbox.fail(self._failure)
        inboxes = self._inboxes.setdefault(question_id, [])
        inboxes.append(inbox)
        try:
            yield inbox
        finally:
            inboxes.remove(inbox)
            if not inboxes:
                del self._inboxes[question_id]

    async def _read(self) -> None:
        try:
            while True:
                for records in (await self._consumer.getmany(timeout_ms=60_000)).values():
                    self._dispatch(records)
        except ClientError as error:
            self._failure = KafkaError(f"reading the answers failed: {error}")
            for inboxes in self._inboxes.values():
                for inbox in inboxes:
                    inbox.fail(self._failure)

    def _dispatch(self, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            try:
                inboxes = self._inboxes.get(orjson.loads(record.value)["question_id"])
            except (KeyError, TypeError, orjson.JSONDecodeError):
                # Readers skip what they do not know.
                continue
            if not inboxes:
                continue
            event = read(record.value, completion=record.topic == self._completions)
            if event is None:
                continue
            for inbox in inboxes:
                inbox.put(record.partition, event)
