"""Commits on a real Kafka: one try, under the generation that the partitions came with."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.structs import OffsetAndMetadata

from penstock.errors import CommitError, LostPartitionsError
from penstock.kafka.commit import commit
from penstock.kafka.membership import membership
from tests.support.kafka import Topics
from tests.support.operating import Operator, operating

PATIENCE_S = 15.0
PLACE = 0


@dataclass(eq=False)
class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # untyped base
    """Tells how often partitions were given."""

    times: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, _: Iterable[TopicPartition]) -> None:
        self.times += 1
        async with self.news:
            self.news.notify_all()

    async def until(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(lambda: self.times >= times)


@asynccontextmanager
async def _member(
    operator: Operator, listener: Listener | None = None
) -> AsyncIterator[tuple[AIOKafkaConsumer, Listener]]:
    """Of the group, once it has its share."""
    listening = listener or Listener()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=operator.servers,
        group_id=operator.group,
        enable_auto_commit=False,
        heartbeat_interval_ms=100,
    )
    await consumer.start()
    try:
        consumer.subscribe([operator.topics.name("questions")], listener=listening)
        await listening.until(1)
        yield consumer, listening
    finally:
        await consumer.stop()


def _head(operator: Operator, offset: int, text: str = "") -> dict[TopicPartition, Any]:
    place = TopicPartition(operator.topics.name("questions"), PLACE)
    return {place: OffsetAndMetadata(offset, text)}


async def test_a_commit_with_the_wrong_generation(bootstrap_servers: str, topics: Topics) -> None:
    """The client's own commit would take the generation of now."""
    topics.create("questions", 2)
    async with operating(bootstrap_servers, topics) as operator:
        group = operator.group
        async with _member(operator) as (consumer, listening):
            before = membership(consumer)
            await commit(consumer, group, before, _head(operator, 1, "first"))
            assert await operator.commit(PLACE) == OffsetAndMetadata(1, "first")
            async with _member(operator):
                await listening.until(2)
                now = membership(consumer)
                assert now.generation > before.generation
                with pytest.raises(LostPartitionsError):
                    await commit(consumer, group, before, _head(operator, 2, "late"))
                with pytest.raises(LostPartitionsError):
                    await commit(
                        consumer, group, now._replace(member_id="no"), _head(operator, 2, "late")
                    )
                assert await operator.commit(PLACE) == OffsetAndMetadata(1, "first")
                await commit(consumer, group, now, _head(operator, 3, "in time"))
        assert await operator.commit(PLACE) == OffsetAndMetadata(3, "in time")


async def test_a_commit_of_nobody_is_not_sent(bootstrap_servers: str, topics: Topics) -> None:
    """A group without members would take it."""
    topics.create("questions", 2)
    async with operating(bootstrap_servers, topics) as operator:
        async with _member(operator) as (consumer, _):
            await consumer._coordinator._maybe_leave_group()
            nobody = membership(consumer)
            assert nobody.generation == -1
            with pytest.raises(LostPartitionsError):
                await commit(consumer, operator.group, nobody, _head(operator, 1))
        assert (await operator.commit(PLACE)).offset == -1


async def test_metadata_that_a_broker_does_not_take_names_the_setting(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions")
    async with (
        operating(bootstrap_servers, topics) as operator,
        _member(operator) as (consumer, _),
    ):
        member = membership(consumer)
        await commit(consumer, operator.group, member, _head(operator, 1, "x" * 4_096))
        with pytest.raises(CommitError, match="COMMIT__METADATA_BYTES"):
            await commit(consumer, operator.group, member, _head(operator, 2, "x" * 4_097))
        assert (await operator.commit(PLACE)).offset == 1


async def test_a_commit_to_a_coordinator_that_went_elsewhere_finds_it_the_next_time(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create("questions")
    async with (
        operating(bootstrap_servers, topics) as operator,
        _member(operator) as (consumer, _),
    ):
        member, coordinator = membership(consumer), consumer._coordinator
        asked = coordinator._send_req

        async def elsewhere(request: Any) -> Any:
            answer = await asked(request)
            answer.topics = [(operator.topics.name("questions"), [(PLACE, 16)])]
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(coordinator, "_send_req", elsewhere)
            with pytest.raises(CommitError):
                await commit(consumer, operator.group, member, _head(operator, 1))
        assert coordinator.coordinator_id is None
        await commit(consumer, operator.group, member, _head(operator, 2))
        assert (await operator.commit(PLACE)).offset == 2
