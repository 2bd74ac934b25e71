"""Topics of a scenario's own: put questions on them, and read what came of them."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.events.control import CANCEL, Cancel
from penstock.kafka.admin import admin, prepare
from penstock.kafka.security import client_arguments
from penstock.settings import TopicSettings
from tests.support.service import needing

Asked = asyncio.Future[Any]

ASK_SECONDS = 300
"""Brokers may be away for that long."""


@dataclass(frozen=True)
class World:
    """Where one scenario asks and is answered. `topics`: by their names in the settings."""

    servers: str
    group: str
    partitions: int
    topics: dict[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """A record of the tokens, the completions or the dead letters topic."""

    timestamp: int
    partition: int
    offset: int
    body: dict[str, Any]
    headers: dict[str, bytes]

    @property
    def question_id(self) -> str:
        # A dead letter is the question itself.
        found: str = self.body["question_id"] if "question_id" in self.body else self.body["id"]
        return found


@asynccontextmanager
async def world(servers: str, name: str, partitions: int = 6) -> AsyncIterator[World]:
    """Topics as the service itself would create them, so that there can be a backlog before it."""
    prefix = f"{name}-{secrets.token_hex(4)}"
    kinds = ("questions", "tokens", "completions", "dead_letters", "control")
    topics = {kind: f"{prefix}.{kind.replace('_', '-')}" for kind in kinds}
    arguments = client_arguments(servers, {})
    await prepare(arguments, needing(TopicSettings(**topics, partitions=partitions)))
    try:
        yield World(servers, prefix, partitions, topics)
    finally:
        async with admin(arguments) as connection:
            await connection.delete_topics(list(topics.values()))


class Asker:
    """Questions without a key go to the partitions in turn."""

    def __init__(self, world: World, producer: AIOKafkaProducer) -> None:
        self._world = world
        self._producer = producer
        self._asked = 0

    async def ask(self, question_id: str, *, key: str | None = None, **more: Any) -> Asked:
        """`more` goes into the question. The future is its acknowledgement, with its record."""
        body = {"id": question_id, "question": f"Why does water find its level? {question_id}"}
        partition = None if key is not None else self._asked % self._world.partitions
        self._asked += 1
        acknowledgement: Asked = await self._producer.send(
            self._world.topics["questions"],
            orjson.dumps(body | more),
            key=None if key is None else key.encode(),
            partition=partition,
        )
        return acknowledgement

    async def cancel(self, question_id: str) -> Asked:
        """As `penstock cancel` does. The future is its acknowledgement, with its record."""
        said = Cancel(question_id=question_id).model_dump_json().encode()
        acknowledgement: Asked = await self._producer.send(
            self._world.topics["control"], said, key=f"{CANCEL}{question_id}".encode(), partition=0
        )
        return acknowledgement

    async def ask_all(
        self, question_ids: Iterable[str], key: Callable[[int], str | None] = lambda _: None
    ) -> None:
        """Returns when all are acknowledged."""
        for number, question_id in enumerate(question_ids):
            await self.ask(question_id, key=key(number))
        await self._producer.flush()


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[Asker]:
    producer = AIOKafkaProducer(
        bootstrap_servers=world.servers,
        acks="all",
        # What is sent again because an answer was lost must not be a question of its own.
        enable_idempotence=True,
        # A batch that is given up leaves a gap in the numbers, and none after it is taken.
        request_timeout_ms=ASK_SECONDS * 1000,
    )
    await producer.start()
    try:
        yield Asker(world, producer)
    finally:
        await producer.stop()


class Reader:
    """One topic from its beginning, each record once."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.seen: set[str] = set()
        """The questions that something was read about."""
        self.ended: set[tuple[int, int]] = set()
        """Partition and offset of those whose completion was read: two may have one id."""
        self._consumer = consumer
        self._fetched: deque[Event] = deque()

    async def until(self, questions: int) -> None:
        """Until something was read about so many questions."""
        while len(self.seen) < questions:
            await self._next()

    async def until_ended(self, questions: int) -> None:
        """Until the completions of so many questions were read."""
        while len(self.ended) < questions:
            await self._next()

    async def until_about(self, *question_ids: str) -> None:
        """Until something was read about all of these."""
        while not self.seen.issuperset(question_ids):
            await self._next()

    async def about(
        self, *question_ids: str, such: Callable[[Event], bool] = lambda _: True
    ) -> list[Event]:
        """The next such record about each of these questions."""
        wanted, found = set(question_ids), dict[str, Event]()
        while len(found) < len(wanted):
            event = await self._next()
            if event.question_id in wanted and such(event):
                found.setdefault(event.question_id, event)
        return [found[question_id] for question_id in question_ids]

    async def rest(self) -> list[Event]:
        """Whatever was not yet read, to the end of today."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                await self._fetch()
        return [await self._next() for _ in range(len(self._fetched))]

    async def skip(self) -> None:
        """Whatever has come by now is not read. Kafka is not asked: it may take its time."""
        self._fetched.clear()
        await self._consumer.getmany(timeout_ms=0)

    async def written(self) -> int:
        """The number of records in the topic."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        return sum(ends.values())

    async def _next(self) -> Event:
        while not self._fetched:
            await self._fetch()
        event = self._fetched.popleft()
        self.seen.add(event.question_id)
        if (source := event.body.get("source")) is not None:
            self.ended.add((source["partition"], source["offset"]))
        return event

    async def _fetch(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=1_000)
        self._fetched += [
            Event(
                record.timestamp,
                record.partition,
                record.offset,
                orjson.loads(record.value),
                dict(record.headers),
            )
            for records in fetched.values()
            for record in records
        ]


@asynccontextmanager
async def reading(world: World, kind: str) -> AsyncIterator[Reader]:
    consumer = AIOKafkaConsumer(bootstrap_servers=world.servers, enable_auto_commit=False)
    topic = world.topics[kind]
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(world.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        yield Reader(consumer)
    finally:
        await consumer.stop()


async def everything(world: World, kind: str) -> list[Event]:
    """All records of a topic, partition by partition in order."""
    async with reading(world, kind) as reader:
        return await reader.rest()
