"""What the loop may expect of a source: one suite, over the real Kafka and the simulated one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaProducer

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Assigned, Event, Head, Recovered
from penstock.core.offset_map import DoneBeyond, encode
from penstock.errors import LostPartitionsError
from penstock.kafka.codec import Delivery
from penstock.kafka.recovery import Recovery
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import Target
from penstock.kafka.source import MAX_BATCH, KafkaSource, Leaving, OnRevoked, Tell
from penstock.loop import Source
from penstock.testing.group import SimulatedGroup, SimulatedSource
from penstock.testing.log import SimulatedLog
from tests.support.decoding import codec
from tests.support.kafka import Topics

PATIENCE_S = 20.0
QUESTION = b'{"question": "?"}'
PARTITIONS = 2


def head(offset: int, done: str = "") -> Head:
    return Head(offset, done, Bookmark(0, PARTITIONS))


class Member(Source[Delivery], Protocol):
    """A source that can come and go."""

    async def start(self, tell: Tell, on_revoked: OnRevoked) -> None: ...
    async def stop(self) -> None: ...


class World(Protocol):
    """A questions topic of two partitions and a group that reads it."""

    def member(self) -> Member: ...
    async def ask(self, partition: int, count: int) -> None: ...


@dataclass
class SimulatedWorld:
    log: SimulatedLog
    group: SimulatedGroup

    def member(self) -> Member:
        return SimulatedSource(self.log, "questions", self.group, codec(), Clock())

    async def ask(self, partition: int, count: int) -> None:
        for _ in range(count):
            self.log.append("questions", partition, None, QUESTION)


@dataclass
class KafkaWorld:
    servers: str
    topic: str
    completions: str
    tokens: str
    producer: AIOKafkaProducer

    def member(self) -> Member:
        client, group, clock = client_arguments(self.servers, {}), f"{self.topic}-group", Clock()
        completions = Target(self.completions, PARTITIONS, 2**20)
        tokens = Target(self.tokens, PARTITIONS, 2**20)
        scope = Scope(self.topic, group, completions, tokens, 0, 10.0, 5.0)
        recovery = Recovery(client, scope, clock, "writer")
        return KafkaSource(client, self.topic, group, codec(), clock, recovery, "writer")

    async def ask(self, partition: int, count: int) -> None:
        sent = [
            await self.producer.send(self.topic, QUESTION, partition=partition)
            for _ in range(count)
        ]
        await asyncio.gather(*sent)


@asynccontextmanager
async def _simulated() -> AsyncIterator[World]:
    yield SimulatedWorld(SimulatedLog(Clock()), SimulatedGroup(PARTITIONS))


@asynccontextmanager
async def _kafka(servers: str, topics: Topics) -> AsyncIterator[World]:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        questions, completions, tokens = (
            topics.create(name, PARTITIONS) for name in ("questions", "completions", "tokens")
        )
        yield KafkaWorld(servers, questions, completions, tokens, producer)


Worlds = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(params=["simulated", "kafka"])
def worlds(request: pytest.FixtureRequest) -> Worlds:
    if request.param == "simulated":
        return _simulated
    # Only now: the simulated world needs no broker.
    servers, topics = (request.getfixturevalue(name) for name in ("bootstrap_servers", "topics"))
    return lambda: _kafka(servers, topics)


@dataclass
class Reader:
    """Fetches for ever, as the loop does, and remembers what it was told."""

    source: Member
    story: list[str] = field(default_factory=list)
    name: str = "reader"
    hold: asyncio.Event | None = None
    """Revoking waits for it."""
    at_revoke: dict[int, Head] | None = None
    """Committed while the partitions are revoked."""
    assignments: list[Mapping[int, int]] = field(default_factory=list)
    recovered: dict[int, Recovered] = field(default_factory=dict)
    fetched: list[Delivery] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def offsets(self, partition: int) -> list[int]:
        return [d.record.offset for d in self.fetched if d.record.partition == partition]

    @property
    def partitions(self) -> set[int]:
        return set(self.assignments[-1]) if self.assignments else set()

    async def until(self, reached: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(reached)

    async def has(self, partition: int, count: int) -> None:
        await self.until(lambda: len(self.offsets(partition)) >= count)

    async def listen(self) -> None:
        while True:
            self.fetched += await self.source.fetch()
            await self._tell()

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    resumes: bool = True
    """What arrives, as the loop does after its first commit."""

    def told(self, event: Event) -> None:
        if not isinstance(event, Assigned):
            return
        epochs, recovered = event.epochs, event.recovered
        if self.resumes:
            self.source.resume(epochs)
        self.recovered = dict(recovered)
        self.story.append(f"{self.name} assigned")
        self.assignments.append(dict(epochs))
        self._told = asyncio.ensure_future(self._tell())

    async def revoked(self, _: frozenset[int], why: Leaving) -> None:
        assert why is Leaving.ASKED
        self.story.append(f"{self.name} revoking")
        await self._tell()
        if self.hold is not None:
            await self.hold.wait()
        if self.at_revoke is not None:
            await self.source.commit(self.at_revoke)
        self.story.append(f"{self.name} revoked")


@asynccontextmanager
async def reading(world: World, **how: Any) -> AsyncIterator[Reader]:
    reader = Reader(world.member(), **how)
    await reader.source.start(reader.told, reader.revoked)
    listening = asyncio.create_task(reader.listen())
    try:
        if reader.hold is None:
            await reader.until(lambda: reader.assignments)
        yield reader
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await reader.source.stop()


async def test_records_come_in_order_with_the_epoch_of_the_assignment(worlds: Worlds) -> None:
    async with worlds() as world, reading(world) as reader:
        for partition in range(PARTITIONS):
            await world.ask(partition, 5)
        await world.ask(0, 2 * MAX_BATCH)
        await reader.has(0, 5 + 2 * MAX_BATCH)
        await reader.has(1, 5)

        assert reader.offsets(0) == list(range(5 + 2 * MAX_BATCH))
        assert reader.offsets(1) == list(range(5))
        [epochs] = reader.assignments
        assert {d.record.epoch for d in reader.fetched} == set(epochs.values())
        assert reader.fetched[0].question is not None


async def test_one_fetch_gives_no_more_than_a_batch(worlds: Worlds) -> None:
    async with worlds() as world:
        await world.ask(0, 3 * MAX_BATCH)
        member = world.member()
        await member.start(_resuming(member), _agree)
        try:
            first, second = await member.fetch(), await member.fetch()
        finally:
            await member.stop()

        assert 0 < len(first) <= MAX_BATCH
        assert second[0].record.offset == len(first)


async def test_nothing_of_a_paused_partition_comes_until_it_is_resumed(worlds: Worlds) -> None:
    async with worlds() as world, reading(world) as reader:
        await world.ask(0, 3)
        await reader.has(0, 3)

        reader.source.pause([0])
        await world.ask(0, 2 * MAX_BATCH)
        await world.ask(1, 2 * MAX_BATCH)
        await reader.has(1, 2 * MAX_BATCH)
        assert reader.offsets(0) == [0, 1, 2]

        reader.source.resume([0])
        await reader.has(0, 3 + 2 * MAX_BATCH)
        assert reader.offsets(0) == list(range(3 + 2 * MAX_BATCH))


async def test_a_pause_in_the_middle_of_a_backlog_loses_nothing(worlds: Worlds) -> None:
    async with worlds() as world:
        await world.ask(0, 5 * MAX_BATCH)
        member = world.member()
        await member.start(_resuming(member), _agree)
        try:
            offsets: list[int] = []
            for _ in range(3):
                offsets += [d.record.offset for d in await member.fetch()]
                # What the client has fetched ahead is thrown away here.
                member.pause([0])
                await world.ask(1, 1)
                assert {d.record.partition for d in await member.fetch()} == {1}
                member.resume([0])
            while len(offsets) < 5 * MAX_BATCH:
                offsets += [d.record.offset for d in await member.fetch()]
        finally:
            await member.stop()

        assert offsets == list(range(5 * MAX_BATCH))


async def test_pausing_what_one_does_not_have_is_no_error(worlds: Worlds) -> None:
    async with worlds() as world, reading(world) as reader:
        reader.source.pause([7])
        reader.source.resume([7])
        await world.ask(0, 1)
        await reader.has(0, 1)


async def test_a_restart_begins_after_the_commit(worlds: Worlds) -> None:
    beyond = DoneBeyond(4, ((6, 8), (9, 10)))
    async with worlds() as world:
        async with reading(world) as first:
            await world.ask(0, 10)
            await world.ask(1, 10)
            await first.has(0, 10)
            await first.has(1, 10)
            await first.source.commit({0: head(4, encode(beyond))})

        async with reading(world) as second:
            await second.has(0, 6)
            await second.has(1, 10)

            assert second.offsets(0) == list(range(4, 10))
            assert second.recovered[0].done == beyond
            assert not second.recovered[1].done.ranges
            # Nothing was committed here: from the beginning, not from the end.
            assert second.offsets(1) == list(range(10))


async def test_partitions_move_after_the_callback_has_returned(worlds: Worlds) -> None:
    story: list[str] = []
    hold = asyncio.Event()
    async with worlds() as world, reading(world, name="first", story=story) as first:
        await world.ask(0, 4)
        await world.ask(1, 4)
        await first.has(0, 4)
        await first.has(1, 4)
        first.hold, first.at_revoke = hold, {0: head(3), 1: head(2)}
        async with reading(world, name="second", story=story, hold=hold) as second:
            await first.until(lambda: "first revoking" in story)
            assert not second.assignments
            hold.set()
            await second.until(lambda: second.assignments)
            await first.until(lambda: len(first.assignments) == 2)

            assert story[:3] == ["first assigned", "first revoking", "first revoked"]
            assert sorted(first.partitions | second.partitions) == [0, 1]
            assert not first.partitions & second.partitions
            # What was committed in the callback counts.
            [moved], committed = second.partitions, first.at_revoke
            await second.has(moved, 4 - committed[moved].offset)
            assert second.offsets(moved) == list(range(committed[moved].offset, 4))


async def test_nobody_commits_for_a_partition_that_went_to_another(worlds: Worlds) -> None:
    async with worlds() as world, reading(world) as first:
        await world.ask(0, 4)
        await world.ask(1, 4)
        await first.has(0, 4)
        await first.has(1, 4)
        async with reading(world) as second:
            await first.until(lambda: len(first.assignments) == 2)
            [lost], [kept] = second.partitions, first.partitions

            with pytest.raises(LostPartitionsError):
                await first.source.commit({lost: head(4)})
            await first.source.commit({kept: head(4)})

            await second.has(lost, 4)
            assert second.offsets(lost) == list(range(4))


async def test_epochs_grow_and_pauses_end_with_every_assignment(worlds: Worlds) -> None:
    async with worlds() as world, reading(world) as first:
        first.source.pause([0, 1])
        async with reading(world):
            await first.until(lambda: len(first.assignments) == 2)
        await first.until(lambda: len(first.assignments) >= 3)
        await world.ask(0, 1)
        await world.ask(1, 1)
        await first.has(0, 1)
        await first.has(1, 1)

        epochs = [set(assignment.values()) for assignment in first.assignments]
        assert all(max(a) < min(b) for a, b in pairwise(epochs))
        # One partition has stayed and one has come back: they may arrive one after the other.
        assert {d.record.epoch for d in first.fetched} <= set().union(*epochs[2:])


def _resuming(member: Member) -> Tell:
    def told(event: Event) -> None:
        if isinstance(event, Assigned):
            member.resume(event.epochs)

    return told


async def _agree(_: frozenset[int], __: Leaving) -> None:
    """Nothing is running."""
