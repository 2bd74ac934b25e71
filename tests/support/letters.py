"""Dead letters straight into their topic, and what stands on a topic afterwards.

async with morgue(bootstrap_servers, topics) as dead:
    await dead.letter(3, {"id": "q"}, kind="UPSTREAM")
    ended = await dead.dlq("ls")
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from typer.testing import CliRunner

from penstock.cli import app, dlq_open
from penstock.errors import ConfigurationError, KafkaError
from penstock.events.dead_letter import Cause, Style, dead_letter_headers
from tests.support.command import Ended, environment, penstock
from tests.support.kafka import Topics
from tests.support.service import settings_for

QUESTIONS, DEAD = 4, 2
"""Partitions."""
PARTITIONS = {"questions": QUESTIONS, "dead-letters": DEAD, "control": 1}

CAUSE = Cause(
    topic="",
    partition=0,
    offset=0,
    timestamp=1_795_434_000_123,
    group="desk",
    attempts=2,
    kind="UPSTREAM",
    code="model_error",
    stage="running",
    message="the model is away",
    at="2026-11-23T11:40:00.123Z",
)


@dataclass
class Morgue:
    servers: str
    topics: Topics
    producer: AIOKafkaProducer
    env: dict[str, str]
    asked: int = 0
    sent: list[Any] = field(default_factory=list)

    async def letter(
        self,
        partition: int,
        value: Any,
        key: bytes | None = None,
        headers: Sequence[tuple[str, Any]] = (),
        *,
        style: Style = "kafka",
        timestamp_ms: int | None = None,
        **cause: Any,
    ) -> ConsumerRecord:
        """Of a question in this partition. Gives what Kafka says of the record."""
        body = json.dumps(value).encode() if isinstance(value, dict) else value
        said = {"topic": self.topics.name("questions"), "offset": self.asked, **cause}
        why = replace(CAUSE, partition=partition, **said)
        self.asked += 1
        return await self.producer.send_and_wait(
            self.topics.name("dead-letters"),
            body,
            key,
            partition % DEAD,
            timestamp_ms,
            dead_letter_headers(tuple(headers), why, style),
        )

    async def many(self, count: int, **cause: Any) -> None:
        """`q0`, `q1`, ... over all partitions."""
        for number in range(count):
            await self.letter(number % QUESTIONS, {"id": f"q{number}", "question": "?"}, **cause)

    def places(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(self.topics.name(topic), n) for n in range(PARTITIONS[topic])]

    async def marker(self, partition: int) -> None:
        """A record of nobody's and the marker of its transaction, which is none."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.servers, transactional_id=self.topics.prefix
        )
        async with producer, producer.transaction():
            await producer.send_and_wait(
                self.topics.name("dead-letters"), b"foreign", partition=partition
            )

    async def dlq(self, *words: str) -> Ended:
        return await penstock("dlq", *words, env=self.env)

    async def typed(self, *words: str) -> Ended:
        """As `dlq`, in this process, which is quicker; nothing that listens to signals."""
        with pytest.MonkeyPatch.context() as patch:
            # For the whole process, which is the tests'.
            patch.setattr(dlq_open, "settle", lambda: None)
            ended = await asyncio.to_thread(CliRunner().invoke, app, ["dlq", *words], env=self.env)
        match ended.exception:
            case ConfigurationError() | KafkaError() as error:
                code = 2 if isinstance(error, ConfigurationError) else 1
                return Ended(code, ended.stdout, f"{ended.stderr}penstock: {error}\n")
            case None | SystemExit():
                return Ended(ended.exit_code, ended.stdout, ended.stderr)
            case error:
                raise error

    async def read(self, topic: str = "questions") -> list[ConsumerRecord]:
        """All that is committed, partition by partition."""
        async with self.consumer() as consumer:
            places = self.places(topic)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in places}
            for place in places:
                while await consumer.position(place) < ends[place]:
                    for one, records in (await consumer.getmany(timeout_ms=200)).items():
                        found[one] += records
            return [record for place in places for record in found[place]]

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Of what is committed, without a group."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def ends(self) -> dict[TopicPartition, int]:
        """Of all topics, to see that nothing is written."""
        async with self.consumer() as consumer:
            places = [place for topic in PARTITIONS for place in self.places(topic)]
            return dict(await consumer.end_offsets(places))


@asynccontextmanager
async def morgue(
    servers: str, topics: Topics, questions: Mapping[str, str] | None = None
) -> AsyncIterator[Morgue]:
    """`questions`: settings of their topic."""
    for topic, partitions in PARTITIONS.items():
        topics.create(topic, partitions, questions if topic == "questions" else None)
    loaded = settings_for(servers, topics, "openai/ok")
    own = {"PENSTOCK_TOPICS__DEAD_LETTERS": loaded.topics.dead_letters}
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        yield Morgue(servers, topics, producer, environment(loaded) | own)
    finally:
        await producer.stop()
