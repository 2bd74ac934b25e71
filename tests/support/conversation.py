"""Asks questions as a producer would, and reads what comes back as a consumer would.

    async with serving(bootstrap_servers, topics, "openai/ok", server.api_base) as (_, talk):
        await talk.ask({"question": "?"}, key=b"k")
        [completion] = await talk.completions(1)

Everything is awaited with a time limit; nothing is read by sleeping.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from penstock import app
from penstock.events.control import CANCEL, Cancel
from penstock.settings import KafkaSettings, TopicSettings
from tests.support.kafka import Topics
from tests.support.service import running_service, settings_for

PATIENCE_S = 30.0

T = TypeVar("T")
# A header without a value is legal in Kafka, and unknown to most of its libraries' types.
Headers = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Record:
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @cached_property
    def body(self) -> dict[str, Any]:
        assert self.value is not None
        body: dict[str, Any] = json.loads(self.value)
        return body

    @property
    def asked(self) -> tuple[int, int]:
        """Of a completion: partition and offset of its question."""
        return self.body["source"]["partition"], self.body["source"]["offset"]

    def header(self, name: str) -> str:
        [value] = [value for key, value in self.headers if key == name]
        return value.decode()


class Conversation:
    def __init__(
        self,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        kafka: KafkaSettings,
        topics: TopicSettings,
    ) -> None:
        self.topics = topics
        self._producer = producer
        self._consumer = consumer
        self.kafka = kafka
        self._read: dict[str, list[Record]] = {
            topic: [] for topic in (topics.tokens, topics.completions, topics.dead_letters)
        }
        self._news = asyncio.Condition()

    async def ask(
        self,
        value: bytes | str | dict[str, Any] | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = 0,
        timestamp_ms: int | None = None,
    ) -> int:
        """The offset of the question."""
        body = json.dumps(value) if isinstance(value, dict) else value
        sent = await self._producer.send_and_wait(
            self.topics.questions,
            body.encode() if isinstance(body, str) else body,
            key,
            partition,
            timestamp_ms,
            list(headers),
        )
        return int(sent.offset)

    async def ask_all(
        self, ids: Sequence[str], key: bytes | None = None, partition: int = 0, **body: Any
    ) -> None:
        """A question per id, in this order, as fast as they can be sent."""
        sent = [
            await self._producer.send(
                self.topics.questions,
                json.dumps({"id": id_, "question": id_, **body}).encode(),
                key,
                partition,
            )
            for id_ in ids
        ]
        await asyncio.gather(*sent)

    async def cancel(self, *question_ids: str) -> None:
        """As `penstock cancel` does, without waiting for any reader of it."""
        for id_ in question_ids:
            said = Cancel(question_id=id_).model_dump_json().encode()
            key = f"{CANCEL}{id_}".encode()
            await self._producer.send_and_wait(self.topics.control, said, key, 0)

    async def completions(self, count: int) -> list[Record]:
        """Waits until there are so many; all there are then."""
        return await self.until(lambda: self.completed, lambda found: len(found) >= count)

    async def completion(self, question_id: str, within: float = PATIENCE_S) -> dict[str, Any]:
        found = await self.until(
            lambda: [r.body for r in self.completed if r.body["question_id"] == question_id],
            bool,
            within,
        )
        return found[0]

    async def dead_letters(self, count: int) -> list[Record]:
        return await self.until(lambda: self.dead, lambda found: len(found) >= count)

    async def ended(self, question_id: str) -> list[dict[str, Any]]:
        """The token events of a question, once its last is there."""
        return await self.until(
            lambda: self.said(question_id), lambda said: bool(said) and said[-1]["type"] == "end"
        )

    @property
    def completed(self) -> list[Record]:
        return self._read[self.topics.completions]

    @property
    def dead(self) -> list[Record]:
        return self._read[self.topics.dead_letters]

    @property
    def tokens(self) -> list[Record]:
        return self._read[self.topics.tokens]

    def said(self, question_id: str) -> list[dict[str, Any]]:
        return [r.body for r in self.tokens if r.body["question_id"] == question_id]

    async def to_the_end(self) -> None:
        """Until all that is in the topics now has been read: what is not there was not written."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        read = self._read
        await self.until(
            lambda: {tp: _next(read[tp.topic], tp.partition) for tp in ends},
            lambda positions: all(positions[tp] >= end for tp, end in ends.items()),
        )

    async def committed(self) -> dict[int, int]:
        """Of the service's group: partition to offset."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self.kafka.group_id)
        finally:
            await admin.close()
        return {tp.partition: at.offset for tp, at in found.items()}

    async def until(
        self, look: Callable[[], T], enough: Callable[[T], bool], within: float = PATIENCE_S
    ) -> T:
        """What `look` sees, once it is enough. Looks again at every record that arrives."""
        seen = look()
        try:
            async with asyncio.timeout(within), self._news:
                while not enough(seen := look()):
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"after {within:.0f} s there is only {seen!r:.2000}") from None
        return seen

    async def listen(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=60_000)
            for tp, records in batches.items():
                self._read[tp.topic] += [
                    Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
                    for r in records
                ]
            async with self._news:
                self._news.notify_all()


@asynccontextmanager
async def conversation(kafka: KafkaSettings, topics: TopicSettings) -> AsyncIterator[Conversation]:
    """The topics have to be there: begin it inside the service's block, or create them before."""
    servers = kafka.bootstrap_servers
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=2**30, acks="all")
    consumer = AIOKafkaConsumer(
        topics.tokens,
        topics.completions,
        topics.dead_letters,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    talk = Conversation(producer, consumer, kafka, topics)
    await producer.start()
    try:
        await consumer.start()
        listening = asyncio.create_task(talk.listen())
        try:
            yield talk
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await consumer.stop()
    finally:
        await producer.stop()


@asynccontextmanager
async def serving(
    bootstrap_servers: str, topics: Topics, model: str, api_base: str, **flags: Any
) -> AsyncIterator[tuple[app.Service, Conversation]]:
    """A service and somebody to talk to it; after the block the service is drained.

    With `drain=False` it is cut off, as `running_service` does it.
    """
    drain = flags.pop("drain", True)
    settings = settings_for(bootstrap_servers, topics, model, api_base, **flags)
    async with (
        running_service(
            bootstrap_servers, topics, model, api_base, drain=drain, **flags
        ) as service,
        conversation(settings.kafka, settings.topics) as talk,
    ):
        yield service, talk


def _next(records: Sequence[Record], partition: int) -> int:
    return max((r.offset + 1 for r in records if r.partition == partition), default=0)
