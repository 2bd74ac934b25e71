"""What others complete of our partitions, as it appears in the completions on a real Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import NotLeaderForPartitionError

from penstock.clock import Clock
from penstock.core.facts import Answered, Followed
from penstock.errors import KafkaError
from penstock.kafka import follower as module
from penstock.kafka.follower import Follower
from penstock.kafka.recovery import Recovery
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import Target
from penstock.kafka.stretch import Reader
from tests.support.hearing import hear
from tests.support.kafka import Topics

PATIENCE_S = 15.0
EPOCH = 3


@dataclass
class World:
    """The completions of two partitions of questions, in one."""

    topics: Topics
    producer: AIOKafkaProducer
    told: list[Followed] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)

    async def complete(self, *offsets: int, partition: int = 0, **source: Any) -> int:
        """One past the last of them."""
        for offset in offsets:
            ours = {
                "topic": "questions",
                "partition": partition,
                "offset": offset,
                "timestamp": 1000 + offset,
                "group": "group",
            }
            said = json.dumps({"type": "completion", "source": ours | source}).encode()
            sent = await self.producer.send_and_wait(self.topics.name("completions"), said)
        return int(sent.offset) + 1

    def tell(self, event: Followed) -> None:
        self.told.append(event)
        task = asyncio.ensure_future(self._tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(enough)

    async def read_to(self, position: int, partition: int = 0) -> None:
        await self.until(
            lambda: any(e.position >= position for e in self.told if e.partition == partition)
        )

    def answered(self, partition: int = 0) -> list[int]:
        told = [event for event in self.told if event.partition == partition]
        for answer in (answer for event in told for answer in event.answered):
            assert answer == Answered(answer.offset, 1000 + answer.offset)
        return [answer.offset for event in told for answer in event.answered]


@asynccontextmanager
async def _follower(
    bootstrap_servers: str, topics: Topics
) -> AsyncIterator[tuple[World, Follower]]:
    completions = Target(topics.create("completions"), 1, 2**20)
    client, clock = client_arguments(bootstrap_servers, {}), Clock()
    scope = Scope("questions", "group", completions, completions, 0, 10.0, 5.0)
    recovery = Recovery(client, scope, clock, "writer")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        world = World(topics, producer)
        follower = Follower(client, clock, recovery.completions, world.tell)
        try:
            yield world, follower
        finally:
            await follower.stop()


async def test_what_appears_is_told_in_order_and_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with _follower(bootstrap_servers, topics) as (world, follower):
        known = await world.complete(1, 2)
        follower.follow({0: (EPOCH, known)})
        await world.read_to(known)
        assert not world.answered()
        assert world.told[0].epoch == EPOCH

        began = Clock().monotonic()
        end = await world.complete(9, 3, 7)
        await world.complete(4, group="another")
        end = await world.complete(5, partition=1)
        await world.read_to(end)
        assert world.answered() == [9, 3, 7]
        assert not world.answered(partition=1)
        # The end was looked for after that, and the next time begins from there.
        positions = [event.position for event in world.told]
        assert positions == sorted(positions)
        times = [event.as_of for event in world.told]
        assert times == sorted(times)
        assert began <= times[-1] <= Clock().monotonic()


async def test_as_of_is_before_what_was_the_end(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is completed while it looks may be behind the position."""
    looked: list[float] = []
    whole = Reader.whole

    async def looks(reader: Reader, places: Any) -> Any:
        looked.append(Clock().monotonic())
        found = await whole(reader, places)
        looked.append(Clock().monotonic())
        return found

    monkeypatch.setattr(Reader, "whole", looks)
    async with _follower(bootstrap_servers, topics) as (world, follower):
        follower.follow({0: (EPOCH, 0)})
        await world.until(lambda: len(world.told) >= 2)
        for event, before in zip(world.told, looked[::2], strict=False):
            assert event.as_of <= before


async def test_two_partitions_are_told_of_what_is_theirs(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with _follower(bootstrap_servers, topics) as (world, follower):
        await world.complete(1, partition=0)
        known = await world.complete(2, partition=1)
        end = await world.complete(3, 4, partition=1)
        # One of them has been read further.
        follower.follow({0: (EPOCH, 0), 1: (EPOCH, known)})
        for partition in (0, 1):
            await world.read_to(end, partition)
        assert world.answered(0) == [1]
        # Whoever listens may be told twice.
        assert world.answered(1)[-2:] == [3, 4]


@pytest.mark.parametrize("error", [NotLeaderForPartitionError(), KafkaError("no"), TimeoutError()])
async def test_after_an_error_it_goes_on_where_it_was(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    heard = hear(monkeypatch, module)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    errors: list[Exception] = []
    read = Reader.read

    async def reads(reader: Reader, *arguments: Any) -> AsyncIterator[Any]:
        if errors:
            raise errors.pop()
        async for record in read(reader, *arguments):
            yield record

    monkeypatch.setattr(Reader, "read", reads)
    async with _follower(bootstrap_servers, topics) as (world, follower):
        follower.follow({0: (EPOCH, 0)})
        await world.read_to(await world.complete(1))
        errors.append(error)
        await heard.until("the completions of others cannot be read yet")
        await world.read_to(await world.complete(2))
        assert world.answered() == [1, 2]


async def test_it_ends_when_nothing_is_followed_and_begins_again(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with _follower(bootstrap_servers, topics) as (world, follower):
        follower.follow({0: (EPOCH, 0)})
        end = await world.complete(1)
        await world.read_to(end)
        # The same assignment goes on where it is.
        follower.follow({0: (EPOCH, 0)})
        end = await world.complete(2)
        await world.read_to(end)
        assert world.answered() == [1, 2]

        follower.follow({})
        assert follower._task is not None
        async with asyncio.timeout(PATIENCE_S):
            await follower._task
        told = len(world.told)
        await world.complete(3)
        assert len(world.told) == told

        # Another one knows better how far it has been read.
        follower.follow({0: (EPOCH + 1, end)})
        await world.until(lambda: world.told[-1].epoch == EPOCH + 1)
        assert world.answered() == [1, 2, 3]
