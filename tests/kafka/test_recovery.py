"""What is found out about a partition: from a commit, completions and tokens on a real Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotLeaderForPartitionError

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Head, Recovered
from penstock.core.offset_map import DoneBeyond, encode
from penstock.errors import KafkaError
from penstock.events import envelope
from penstock.kafka import metadata, recovery, stretch
from penstock.kafka.recovery import Arrival, Recovery
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import Target
from penstock.kafka.token_tail import UNKNOWN, Said
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.operating import Operator, operating

WINDOW_MS = 600_000
LONGEST = 30.0
NOW_MS = int(time.time() * 1000)
HOUR_MS = 3_600_000


@dataclass
class World:
    """Topics of one partition, if nothing else is said, and what stands in them."""

    servers: str
    topics: Topics
    producer: AIOKafkaProducer
    operator: Operator
    recovery: Recovery
    asked: dict[int, int] = field(default_factory=dict)
    """Offset to timestamp."""

    async def ask(self, count: int, timestamp: int = NOW_MS, partition: int = 0) -> None:
        for _ in range(count):
            sent = await self.producer.send_and_wait(
                self.topics.name("questions"), b"?", partition=partition, timestamp_ms=timestamp
            )
            self.asked[sent.offset] = sent.timestamp

    def completion(self, offset: int, **source: Any) -> dict[str, Any]:
        ours = {
            "topic": self.topics.name("questions"),
            "partition": 0,
            "offset": offset,
            "timestamp": self.asked.get(offset, NOW_MS),
            "group": self.topics.name("group"),
        }
        return {
            "type": "completion",
            "question_id": f"q{offset}",
            "status": "completed",
            "attempts": 1,
            "source": ours | source,
        }

    async def say(
        self,
        topic: str,
        *said: Any,
        timestamp: int | None = None,
        group: str = "group",
        partition: int = 0,
    ) -> None:
        name = self.topics.name(topic)
        headers = [("ce_source", envelope.source(self.topics.name(group)).encode())]
        sent = [
            await self.producer.send(
                name,
                value if isinstance(value, bytes | None) else orjson.dumps(value),
                key=b"k",
                partition=partition,
                timestamp_ms=timestamp,
                headers=headers,
            )
            for value in said
        ]
        await asyncio.gather(*sent)

    async def say_tokens(self, question_id: str, count: int, **more: Any) -> None:
        said = [
            {"type": "token", "question_id": question_id, "sequence": n, "attempt": 1}
            for n in range(count)
        ]
        await self.say("tokens", *said, **more)

    async def commit(
        self,
        offset: int,
        done: str = "",
        position: int = 0,
        partition: int = 0,
        *,
        clean: bool = False,
    ) -> None:
        head = Head(offset, done, Bookmark(position, 1), clean)
        await self.operator.reset(offset, metadata.write(head, "somebody", 0.0), partition)

    async def arrival(self) -> Arrival:
        return (await self.recovery.recover([0]))[0]

    async def recovered(self) -> Recovered:
        return (await self.arrival()).recovered

    async def done(self) -> list[int]:
        """The offsets that completions call done."""
        claims = (await self.recovered()).claims
        return [offset for offset, at in self.asked.items() if claims.hold(offset, at)]


@asynccontextmanager
async def world(bootstrap_servers: str, topics: Topics, **scope: Any) -> AsyncIterator[World]:
    client = client_arguments(bootstrap_servers, {})
    for name in ("questions", "completions", "tokens"):
        topics.create(name)
    whole: dict[str, Any] = {
        "questions": topics.name("questions"),
        "group": topics.name("group"),
        "completions": Target(topics.name("completions"), 1, 2**20),
        "tokens": Target(topics.name("tokens"), 1, 2**20),
        "window_ms": WINDOW_MS,
        "longest_run": LONGEST,
        "hold": 0.0,
    }
    found = Recovery(client, Scope(**(whole | scope)), Clock(), "ourselves")
    await found.start()
    try:
        async with (
            AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer,
            operating(bootstrap_servers, topics) as operator,
        ):
            yield World(bootstrap_servers, topics, producer, operator, found)
    finally:
        await found.stop()


async def test_only_completions_of_these_very_records_make_them_done(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(8)
        await kafka.say(
            "completions",
            kafka.completion(0),
            kafka.completion(1, group="other"),
            kafka.completion(2, topic="other"),
            kafka.completion(3, partition=1),
            kafka.completion(4, timestamp=NOW_MS - 1),
            kafka.completion(5) | {"replay": {"id": "r"}},
            kafka.completion(6) | {"type": "of a later release"},
            kafka.completion(7) | {"status": "duplicate"},
        )
        assert await kafka.done() == [0, 7]


STRANGE: list[Callable[[dict[str, Any]], Any]] = [
    lambda _: None,
    lambda _: b"",
    lambda _: b"\xff",
    lambda _: b"7",
    lambda said: said | {"source": None},
    lambda said: said | {"source": {**said["source"], "offset": "x"}},
    lambda said: said | {"source": {**said["source"], "offset": 2**62}},
    lambda said: said | {"source": {**said["source"], "offset": -1}},
    lambda said: said | {"source": {**said["source"], "timestamp": 2**63}},
    lambda said: said | {"source": {**said["source"], "timestamp": 1e300}},
    lambda said: {
        name: value for name, value in said.items() if name not in {"status", "attempts"}
    },
    lambda said: said | {"question_id": None},
    lambda said: said | {"error": "none"},
]


@pytest.mark.parametrize("committed", [0, 1])
async def test_whatever_stands_in_the_completions_holds_nobody_up(
    bootstrap_servers: str, topics: Topics, committed: int
) -> None:
    """Before and behind the commit: what was asked before is looked at with other eyes."""
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(2)
        await kafka.commit(committed)
        strange = [spoilt(kafka.completion(0)) for spoilt in STRANGE]
        await kafka.say("completions", *strange, kafka.completion(1))
        assert 1 in await kafka.done()


async def test_what_lies_before_the_bookmark_is_not_read_again(
    bootstrap_servers: str, topics: Topics
) -> None:
    """A bookmark is what lets an operator have things done again."""
    async with world(bootstrap_servers, topics, window_ms=0) as kafka:
        await kafka.ask(3)
        await kafka.say("completions", kafka.completion(1), kafka.completion(2))
        await kafka.commit(1, position=1)
        found = await kafka.recovered()
        assert found.bookmark == Bookmark(1, 1)
        assert found.end == Bookmark(2, 1)
        assert await kafka.done() == [2]


@pytest.mark.parametrize("ours", [1, 2])
async def test_completions_count_where_the_topic_had_fewer_partitions_and_where_it_has_more(
    bootstrap_servers: str, topics: Topics, ours: int
) -> None:
    """Whether we have noticed or not: others may have."""
    completions = Target(topics.name("completions"), ours, 2**20)
    async with world(bootstrap_servers, topics, completions=completions) as kafka:
        await kafka.operator.add_partitions("questions", 2)
        await kafka.ask(3, partition=1)
        await kafka.commit(0, partition=1)
        await kafka.say("completions", kafka.completion(0, partition=1))
        await kafka.operator.add_partitions("completions", 2)
        await kafka.producer.client.force_metadata_update()
        await kafka.say("completions", kafka.completion(1, partition=1), partition=1)
        found = (await kafka.recovery.recover([1]))[1].recovered
        held = [found.claims.hold(offset, at) for offset, at in kafka.asked.items()]
        assert held == [True, True, False]
        assert found.bookmark == Bookmark(0, 1)
        assert found.end == Bookmark(1, ours)


@pytest.mark.parametrize(("offset", "done"), [(3, ""), (0, encode(DoneBeyond(0, ((2, 3),))))])
async def test_a_commit_that_goes_beyond_the_log_is_about_another(
    bootstrap_servers: str, topics: Topics, offset: int, done: str
) -> None:
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(2)
        await kafka.say("completions", kafka.completion(1))
        await kafka.commit(offset, done, position=1)
        assert (await kafka.recovered()).done == DoneBeyond(0)
        assert +kafka.recovery.resets == {"truncated": 1}
        # What is said of this log counts, wherever it stands.
        assert await kafka.done() == [1]


async def test_only_what_nobody_has_done_was_lost_to_the_retention(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, recovery)
    beyond = encode(DoneBeyond(1, ((2, 3), (4, 6))))
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(8)
        await kafka.commit(1, beyond)
        await kafka.operator.delete_records("questions", before=5)
        found = await kafka.recovered()
        assert found.done == DoneBeyond(5, ((5, 6),))
        [line] = heard.said("the retention took questions")
        assert line["offsets"] == len({1, 3})
        assert +kafka.recovery.resets == {"retention": 1}


async def test_long_readings_say_how_far_they_are(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, stretch)
    monkeypatch.setattr(stretch, "LONG", 1_000)
    monkeypatch.setattr(stretch, "PROGRESS_SECONDS", 0.0)
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(1)
        await kafka.say("completions", *[kafka.completion(0)] * 1_000)
        await kafka.recovered()
        assert not heard.lines
        await kafka.say("completions", kafka.completion(0))
        assert await kafka.done() == [0]

        *progress, last = heard.lines
        assert {line["event"] for line in progress} == {"finding out what is done"}
        assert [line["read"] for line in progress] == sorted({line["read"] for line in progress})
        assert len(progress) > 1
        assert (last["event"], last["read"]) == ("found out what is done", 1_001)
        assert {(line["of"], line["topic"]) for line in heard.lines} == {(1_001, "completions")}


async def test_an_error_is_not_an_empty_commit(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(2)
        await kafka.commit(2, clean=True)
        admin, errors = kafka.recovery._admin, [GroupCoordinatorNotAvailableError()]
        look = admin.list_consumer_group_offsets

        async def first_error(*arguments: Any, **named: Any) -> Any:
            if errors:
                raise errors.pop()
            return await look(*arguments, **named)

        monkeypatch.setattr(admin, "list_consumer_group_offsets", first_error)
        with pytest.raises(GroupCoordinatorNotAvailableError):
            await kafka.recovered()
        assert (await kafka.recovered()).done.committed == 2


async def test_silence_of_the_admin_client_is_not_an_empty_commit(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a group is being loaded the client says that it has no partitions at all."""
    async with world(bootstrap_servers, topics) as kafka:

        async def nothing(*_: Any, **__: Any) -> dict[str, Any]:
            return {}

        monkeypatch.setattr(kafka.recovery._admin, "list_consumer_group_offsets", nothing)
        with pytest.raises(KafkaError, match="cannot be read"):
            await kafka.recovered()


async def test_completions_that_cannot_be_read_are_not_absent(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [NotLeaderForPartitionError()]
    getmany = AIOKafkaConsumer.getmany

    async def first_error(*arguments: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return await getmany(*arguments, **named)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", first_error)
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(1)
        await kafka.say("completions", kafka.completion(0))
        with pytest.raises(NotLeaderForPartitionError):
            await kafka.recovered()
        assert await kafka.done() == [0]


async def test_ids_asked_before_the_commit_are_known(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(5)
        undecodable = {"status": "failed", "attempts": 0, "error": {"kind": "RECORD"}}
        await kafka.say(
            "completions",
            kafka.completion(0),
            kafka.completion(1) | {"status": "duplicate"},
            kafka.completion(2) | {"redrive": {"by": "somebody"}},
            kafka.completion(3) | undecodable,
            kafka.completion(4),
        )
        await kafka.commit(4)
        assert [asked[0] for asked in (await kafka.recovered()).asked or ()] == ["q0"]


async def test_the_window_is_between_records_however_long_nobody_read_them(
    bootstrap_servers: str, topics: Topics
) -> None:
    long_ago = NOW_MS - HOUR_MS
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(1, long_ago - WINDOW_MS - 60_000)
        await kafka.ask(1, long_ago - WINDOW_MS + 60_000)
        await kafka.say("completions", kafka.completion(0), timestamp=kafka.asked[0])
        await kafka.say("completions", kafka.completion(1), timestamp=kafka.asked[1])
        await kafka.ask(1, long_ago)
        await kafka.commit(2)
        assert [asked[0] for asked in (await kafka.recovered()).asked or ()] == ["q1"]


async def test_how_far_streams_had_come(bootstrap_servers: str, topics: Topics) -> None:
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(3)
        await kafka.commit(0)
        await kafka.say_tokens("q0", 3)
        await kafka.say_tokens("q0", 9, group="other")
        await kafka.say_tokens("q1", 9, group="other")
        await kafka.say("tokens", b"strange", None, {"question_id": "q1"})
        tail = (await kafka.arrival()).tail
        assert tail.before(0, "q0") == Said(2, 1)
        assert tail.before(1, "q1") is None
        assert tail.before(3, "q0") is None


async def test_where_no_run_was_cut_off_no_tokens_are_read(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(1)
        await kafka.say_tokens("q0", 3)
        await kafka.commit(0, clean=True)
        tail = (await kafka.arrival()).tail
        assert (tail.below, tail.before(0, "q0")) == (0, None)


async def test_streams_that_may_have_begun_before_what_was_read_begin_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service was away for longer than a question runs."""
    async with world(bootstrap_servers, topics) as kafka:
        await kafka.ask(3, NOW_MS - HOUR_MS)
        await kafka.commit(0)
        await kafka.say_tokens("q0", 3, timestamp=NOW_MS - HOUR_MS)
        await kafka.say_tokens("q1", 2)
        tail = (await kafka.arrival()).tail
        assert tail.before(0, "q0", NOW_MS - HOUR_MS) == UNKNOWN
        assert tail.before(1, "q1", NOW_MS - HOUR_MS) == Said(1, 1)
        # Asked when the first of these events was there already.
        assert tail.before(2, "q2", NOW_MS + HOUR_MS) is None
