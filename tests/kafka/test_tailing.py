"""A tail goes on, whatever happens to what it reads, and says so."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.kafka import stretch, tailing
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import Reader, Stretch, reader
from penstock.kafka.tailing import Tail
from tests.support.kafka import Topics
from tests.support.lossy import carries_again, detour
from tests.support.operating import operating
from tests.support.unreadable import NotUTF8, takes_any_name

PATIENCE_S = 20.0


@dataclass
class Tailing:
    """A tail, and who writes what it reads."""

    topic: str
    topics: Reader
    tail: Tail
    producer: AIOKafkaProducer
    told: asyncio.Queue[str]

    async def write(self, *values: bytes, partition: int = 0, **more: Any) -> None:
        for value in values:
            await self.producer.send_and_wait(self.topic, value, partition=partition, **more)

    async def hears(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            return await self.told.get()


@asynccontextmanager
async def tailing_(servers: str, topics: Topics, partitions: int = 1) -> AsyncIterator[Tailing]:
    topic = topics.create("any", partitions)
    client, clock = client_arguments(servers, {}), Clock()
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        async with reader(client, clock) as found:
            told: asyncio.Queue[str] = asyncio.Queue()
            tail = Tail(found, client, clock, told.put_nowait)
            yield Tailing(topic, found, tail, producer, told)
    finally:
        await producer.stop()


async def test_what_the_retention_takes_meanwhile_is_told_and_passed_over(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        tailing_(bootstrap_servers, topics) as on,
        operating(bootstrap_servers, topics) as operator,
    ):
        await on.write(b"0", b"1", b"2", b"3")
        place = TopicPartition(on.topic, 0)
        await operator.delete_records("any", before=2)
        found = [record.value async for record in on.tail.read({place: Stretch(0, 3)})]
        assert found == [b"2"]
        assert await on.hears() == (
            f"{on.topic}, partition 0: the retention took the records 0 to 1"
        )
        coming = on.tail.follow({place: 1})
        assert [(await anext(coming)).value for _ in range(2)] == [b"2", b"3"]
        assert "the records 1 to 1" in await on.hears()

        # Nothing of what was to be read is left.
        await operator.delete_records("any", before=4)
        assert [record async for record in on.tail.read({place: Stretch(2, 4)})] == []


async def test_a_topic_that_was_created_anew_is_followed_from_its_start(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with tailing_(bootstrap_servers, topics) as on:
        place = TopicPartition(on.topic, 0)
        await on.write(b"new")
        coming = on.tail.follow({place: 7})
        assert (await anext(coming)).value == b"new"
        assert "it ends at 1 now, before 7" in await on.hears()


async def test_header_names_that_are_no_text_lose_nothing(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The parser that other tests have installed would not fail.
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    async with tailing_(bootstrap_servers, topics, 4) as on:
        places = [TopicPartition(on.topic, partition) for partition in range(4)]
        for place in places:
            await on.write(b"a", b"b", partition=place.partition)
        with takes_any_name(monkeypatch):
            strange = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
            await strange.start()
            await strange.send_and_wait(
                on.topic, b"strange", partition=2, headers=[(NotUTF8("x"), b"1")]
            )
            await strange.stop()
        whole = await on.topics.whole(places)
        found = [record.value async for record in on.tail.read(whole)]
        assert sorted(found, key=str) == sorted([b"a", b"b"] * 4 + [b"strange"], key=str)
        monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
        coming = on.tail.follow(dict.fromkeys(places, 0))
        assert sorted([(await anext(coming)).value for _ in range(9)]) == sorted(found)
        assert on.told.empty()


async def test_brokers_that_are_away_are_told_of_and_waited_for(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "QUIET_SECONDS", 0.2)
    async with (
        detour(bootstrap_servers, monkeypatch, "penstock-recovery") as network,
        tailing_(bootstrap_servers, topics) as on,
    ):
        monkeypatch.setattr(stretch, "ANSWER_SECONDS", 0.5)
        coming = on.tail.follow({TopicPartition(on.topic, 0): 0})
        await on.write(b"before")
        assert (await anext(coming)).value == b"before"
        later = asyncio.ensure_future(anext(coming))
        network.swallows = True
        assert await on.hears() == "nothing is heard of the topic (TimeoutError); it is tried again"
        await on.write(b"after")
        carries_again(network)
        assert await on.hears() == "Kafka answers again"
        assert (await later).value == b"after"
        assert on.told.empty()


class Breaking:
    """Reads one record, and fails once in the midst of it."""

    def __init__(self) -> None:
        self.begun: list[Mapping[TopicPartition, Any]] = []

    async def read(
        self, _: str, stretches: Mapping[TopicPartition, Stretch], **__: Any
    ) -> AsyncIterator[ConsumerRecord]:
        self.begun.append(stretches)
        yield _record(len(self.begun))
        if len(self.begun) == 1:
            raise KafkaError("once") from UnicodeDecodeError("utf-8", b"", 0, 1, "")

    async def follow(
        self, starts: Mapping[TopicPartition, int]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        async for record in self.read("", {place: Stretch(at, 0) for place, at in starts.items()}):
            yield [record]


def _record(offset: int) -> ConsumerRecord:
    return ConsumerRecord("t", 0, offset, 0, 0, None, None, None, -1, -1, ())


async def test_what_was_read_before_it_failed_is_not_read_again() -> None:
    place, other = TopicPartition("t", 0), TopicPartition("t", 1)
    topics: Any = Breaking()
    tail = Tail(topics, {}, Clock(), print)
    whole = {place: Stretch(0, 9), other: Stretch(3, 9)}
    assert [record.offset async for record in tail.read(whole)] == [1, 2]
    assert topics.begun == [whole, whole | {place: Stretch(2, 9)}]

    topics.begun.clear()
    coming = tail.follow({place: 0, other: 3})
    assert [(await anext(coming)).offset for _ in range(2)] == [1, 2]
    assert topics.begun[1] == {place: Stretch(2, 0), other: Stretch(3, 0)}
