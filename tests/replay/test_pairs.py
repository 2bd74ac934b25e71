"""Each question with how it ended, as it stands in real topics."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.kafka.scope import CLOCK_SKEW
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import Stretch, reader
from penstock.replay.pairs import AHEAD, Answers, Pair, first_moment, pairs
from tests.support.kafka import Topics
from tests.support.operating import operating
from tests.support.recorded import Where, recording

COMPACTION = {
    "cleanup.policy": "compact",
    "segment.ms": "1",
    "max.compaction.lag.ms": "1",
    "min.cleanable.dirty.ratio": "0.0",
}
PATIENCE_S = 45.0
"""A broker that is not of ours looks every 15 s whether there is something to compact."""


class Asker:
    """Asks for pairs of this test's topics."""

    def __init__(self, servers: str, topics: Topics) -> None:
        self.client = client_arguments(servers, {})
        self.topics = topics

    async def ends(self, partitions: int) -> dict[TopicPartition, Stretch]:
        name = self.topics.name("questions")
        async with reader(self.client, Clock()) as topics:
            return await topics.whole([TopicPartition(name, n) for n in range(partitions)])

    async def pairs(
        self, stretches: Mapping[int, Stretch], replay: str | None = None
    ) -> list[Pair]:
        group, name = self.topics.name("group"), self.topics.name("questions")
        group = group if replay is None else f"{group}.replay.{replay}"
        answers = Answers(self.topics.name("completions"), name, group, replay)
        places = {TopicPartition(name, number): some for number, some in stretches.items()}
        return [pair async for pair in pairs(self.client, Clock(), answers, places)]


def answers(found: list[Pair]) -> dict[tuple[int, int], Any]:
    """By partition and offset, each once; None is a question that nobody has answered."""
    by_place = {
        (pair.question.partition, pair.question.offset): (pair.completion or {}).get("outputs")
        for pair in found
    }
    assert len(by_place) == len(found)
    return by_place


async def test_each_question_with_its_first_completion_or_with_none(
    bootstrap_servers: str, topics: Topics
) -> None:
    """The completions' topic has another number of partitions, was given one more on the way, and
    holds what is about other questions, other groups and replays, and what is none at all.
    """
    topics.create("questions", 3)
    topics.create("completions", 1)
    ask = Asker(bootstrap_servers, topics)
    async with recording(bootstrap_servers, topics) as record:
        asked = [await record.question(f"{n}", n % 3) for n in range(30)]
        ahead = Where(2, 10, asked[0].timestamp)
        await record.completion(ahead, {"a": "said before it was asked"}, partition=0)
        for where in asked[:15]:
            await record.completion(where, {"a": f"{where.partition}"}, partition=0)
        await record.completion(asked[0], {"a": "second"}, partition=0)
    async with operating(bootstrap_servers, topics) as operator:
        await operator.add_partitions("completions", 2)
    async with recording(bootstrap_servers, topics) as record:
        for where in reversed(asked[15:27]):
            await record.completion(where, {"a": f"{where.partition}"}, partition=where[0] % 2)
        await record.completion(asked[28], {"a": "replayed"}, replay="r", partition=0)
        for junk in (b"", b"{", b"[]", b'{"type": "completion", "source": 7}'):
            await record.producer.send(topics.name("completions"), junk, partition=0)
        await record.question("asked at last", 2)

    found = answers(await ask.pairs(dict.fromkeys(range(3), Stretch(0, 10))))
    assert set(found) == {(where.partition, where.offset) for where in asked}
    for where in asked[:27]:
        assert found[where.partition, where.offset] == {"a": f"{where.partition}"}
    assert [found[where.partition, where.offset] for where in asked[27:]] == [None] * 3

    # One partition alone, whose completions stand where the topic's first count put them, too.
    assert answers(await ask.pairs({1: Stretch(2, 5)})) == {
        (1, offset): {"a": "1"} for offset in (2, 3, 4)
    }
    assert answers(await ask.pairs({2: Stretch(9, 11)})) == {
        (2, 9): None,
        (2, 10): {"a": "said before it was asked"},
    }
    assert answers(await ask.pairs({1: Stretch(9, 10)}, "r")) == {(1, 9): {"a": "replayed"}}
    assert not await ask.pairs({0: Stretch(4, 4), 1: Stretch(0, 0)})


async def test_transactions_leave_gaps_and_markers_and_nobody_waits_for_them(
    bootstrap_servers: str, topics: Topics
) -> None:
    for topic in ("questions", "completions"):
        topics.create(topic)
    ask = Asker(bootstrap_servers, topics)
    async with recording(bootstrap_servers, topics, topics.name("producer")) as record:
        producer = record.producer

        async def transaction(*texts: str, commit: bool) -> None:
            await producer.begin_transaction()
            asked = [await record.question(text) for text in texts]
            for where in asked:
                await record.completion(where, {"a": str(where.offset)})
            await producer.flush()
            await (producer.commit_transaction() if commit else producer.abort_transaction())

        await transaction("aborted", "aborted too", commit=False)
        await transaction("a", "b", commit=True)
        await transaction("aborted", commit=False)
    [whole] = (await ask.ends(1)).values()
    assert whole == Stretch(0, 8)
    expected = {(0, 3): {"a": "3"}, (0, 4): {"a": "4"}}
    assert answers(await ask.pairs({0: whole})) == expected
    assert not await ask.pairs({0: Stretch(5, 8)})
    assert not await ask.pairs({0: Stretch(0, 3)})


async def test_the_gaps_of_a_compacted_topic(bootstrap_servers: str, topics: Topics) -> None:
    topics.create("questions", 1, COMPACTION)
    topics.create("completions")
    ask = Asker(bootstrap_servers, topics)
    async with recording(bootstrap_servers, topics) as record:
        keys = ["kept", "again", "again", "kept too", "again"]
        asked = [await record.question(f"{n}", key=key) for n, key in enumerate(keys)]
        for where in asked:
            await record.completion(where, {"a": str(where.offset)})
        # What is written last stands in the open segment, which is never compacted.
        await record.question("last", key="last")
    left = {(0, offset): {"a": str(offset)} for offset in (0, 3, 4)} | {(0, 5): None}
    async with asyncio.timeout(PATIENCE_S):
        # Polled, as the state waited for is another process's.
        while len(found := await ask.pairs({0: Stretch(0, 6)})) > len(left):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert answers(found) == left
    assert not await ask.pairs({0: Stretch(1, 3)})
    async with reader(ask.client, Clock()) as read:
        place, now = TopicPartition(topics.name("questions"), 0), Clock().wall()
        assert await first_moment(read, {place: Stretch(0, 6)}, now) == asked[0].timestamp / 1000
        assert await first_moment(read, {place: Stretch(1, 6)}, now) == 0.0


async def test_only_completions_of_the_time_are_read(
    bootstrap_servers: str, topics: Topics
) -> None:
    """The clock of whoever asked may be ahead by an hour, and ours behind, and no more."""
    for topic in ("questions", "completions"):
        topics.create(topic)
    ask = Asker(bootstrap_servers, topics)
    now = int(Clock().wall() * 1000)
    async with recording(bootstrap_servers, topics) as record:
        where = await record.question("?", timestamp=now)
        skew = int((AHEAD + CLOCK_SKEW) * 1000)
        for age, text in ((skew + 1000, "too old"), (skew - 1000, "by a fast clock")):
            await record.completion(where, {"a": text}, timestamp=now - age)
    assert answers(await ask.pairs({0: Stretch(0, 1)})) == {(0, 0): {"a": "by a fast clock"}}


async def test_a_question_of_a_clock_that_is_ahead_hides_no_completion(
    bootstrap_servers: str, topics: Topics
) -> None:
    """Unanswered it would be asked and paid for again."""
    for topic in ("questions", "completions"):
        topics.create(topic)
    ask = Asker(bootstrap_servers, topics)
    now = int(Clock().wall() * 1000)
    async with recording(bootstrap_servers, topics) as record:
        for timestamp in (now + 3_600_000, now):
            where = await record.question("?", timestamp=timestamp)
            await record.completion(where, {"a": str(where.offset)}, timestamp=now)
    found = answers(await ask.pairs({0: Stretch(0, 2)}))
    assert found == {(0, 0): {"a": "0"}, (0, 1): {"a": "1"}}


async def test_where_there_is_no_topic_that_is_said(bootstrap_servers: str, topics: Topics) -> None:
    topics.create("questions")
    ask = Asker(bootstrap_servers, topics)
    async with recording(bootstrap_servers, topics) as record:
        await record.question("?")
    with pytest.raises(
        ConfigurationError, match=f"there is no topic '{topics.name('completions')}'"
    ):
        await ask.pairs({0: Stretch(0, 1)})
