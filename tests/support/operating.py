"""What an operator does to topics and to the group, and what the group remembers.

async with operating(bootstrap_servers, topics) as operator:
    await operator.recreate("questions")
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

from penstock.core.facts import Head
from penstock.kafka.source import KafkaSource
from tests.support.kafka import READY_SECONDS, Topics, led

PATIENCE_S = 10.0


@dataclass
class Operator:
    """Topics by their short names; the group is the one of `tests.support.service`."""

    servers: str
    topics: Topics
    admin: AIOKafkaAdminClient

    @property
    def group(self) -> str:
        return self.topics.name("group")

    async def commit(self, partition: int = 0) -> OffsetAndMetadata:
        """The last one; -1 is none."""
        place = TopicPartition(self.topics.name("questions"), partition)
        found = await self.admin.list_consumer_group_offsets(self.group, partitions=[place])
        return found[place]

    async def reset(self, offset: int, metadata: str = "", partition: int = 0) -> None:
        """As `kafka-consumer-groups --reset-offsets` does; the group must have no members."""
        place = TopicPartition(self.topics.name("questions"), partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=self.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.commit({place: OffsetAndMetadata(offset, metadata)})
        finally:
            await consumer.stop()

    async def forget_group(self, name: str | None = None) -> None:
        """As `kafka-consumer-groups --delete` does; the group must have no members."""
        group = name or self.group
        coordinator = await self.admin.find_coordinator(group)
        answer = await self.admin._send_request(DeleteGroupsRequest([group]), coordinator)
        [(_, error)] = answer.results
        assert not error

    async def remove_member(self, member_id: str) -> None:
        """As if it had left the group itself, which it does not know."""
        coordinator = await self.admin.find_coordinator(self.group)
        request = LeaveGroupRequest(self.group, member_id)
        answer = await self.admin._send_request(request, coordinator)
        assert not answer.error_code

    async def delete_records(self, topic: str, before: int, partition: int = 0) -> None:
        """As the retention does, sooner."""
        place = TopicPartition(self.topics.name(topic), partition)
        await self.admin.delete_records({place: RecordsToDelete(before)})

    async def add_partitions(self, topic: str, total: int) -> None:
        name = self.topics.name(topic)
        await self.admin.create_partitions({name: NewPartitions(total)})
        await self._led(name, total)

    async def recreate(self, topic: str) -> None:
        """Another topic of one partition by the same name."""
        await self.delete(topic)
        await self.create(topic)

    async def delete(self, topic: str) -> None:
        await self.admin.delete_topics([self.topics.name(topic)])

    async def create(self, topic: str) -> None:
        name = self.topics.name(topic)
        new = NewTopic(name, 1, 1)
        async with asyncio.timeout(READY_SECONDS):
            # The name is free again when all brokers know, and nobody tells when that is.
            while (await self.admin.create_topics([new])).topic_errors[0][1]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await self._led(name, 1)

    async def _led(self, name: str, partitions: int) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while not led(await self.admin.describe_topics([name]), partitions):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def operating(bootstrap_servers: str, topics: Topics) -> AsyncIterator[Operator]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield Operator(bootstrap_servers, topics, admin)
    finally:
        await admin.close()


@dataclass
class Commits:
    """What sources of this process have committed, acknowledged, in order."""

    heads: list[Mapping[int, Head]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, reached: Callable[[Head], bool], partition: int = 0) -> Head:
        """The last commit of the partition, once it is as wanted."""

        def look() -> Head | None:
            found = [heads[partition] for heads in self.heads if partition in heads]
            return found[-1] if found and reached(found[-1]) else None

        async with asyncio.timeout(PATIENCE_S), self._news:
            while (head := look()) is None:
                await self._news.wait()
        return head

    async def add(self, heads: Mapping[int, Head]) -> None:
        self.heads.append(heads)
        async with self._news:
            self._news.notify_all()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    seen = Commits()
    commit = KafkaSource.commit

    async def committed(source: KafkaSource, heads: Mapping[int, Head]) -> None:
        await commit(source, heads)
        await seen.add(heads)

    monkeypatch.setattr(KafkaSource, "commit", committed)
    return seen
