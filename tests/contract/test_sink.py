"""What a question may expect of a sink: one suite, over the real Kafka and the simulated one."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.core.failure import Failure, Kind
from penstock.errors import TooLargeError
from penstock.events.completion import Completion, Source, Timing
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import KafkaSink, Target, TokenSender
from penstock.testing.log import SimulatedLog
from penstock.testing.sink import SimulatedSink
from tests.support.decoding import codec
from tests.support.kafka import Topics
from tests.support.traceparent import TRACEPARENT

PATIENCE_S = 20.0
LIMIT = 4_096
PARTITIONS = {"tokens": 2, "completions": 3, "dead-letters": 1}


class Sink(Protocol):
    group_id: str
    tokens: Target
    completions: Target
    dead_letters: Target

    def token_sender(self, delivery: Delivery) -> TokenSender: ...
    def fits(self, delivery: Delivery, completion: Completion) -> bool: ...
    async def completion(self, delivery: Delivery, completion: Completion) -> int | None: ...
    async def dead_letter(
        self, delivery: Delivery, failure: Failure, attempts: int
    ) -> int | None: ...


@dataclass
class World:
    """A sink, and what is in a partition of one of its topics."""

    sink: Sink
    read: Callable[[Target, int, int], Awaitable[list[Raw]]]


def _targets(name: Callable[[str], str]) -> list[Target]:
    return [Target(name(topic), count, LIMIT) for topic, count in PARTITIONS.items()]


@asynccontextmanager
async def _simulated() -> AsyncIterator[World]:
    log = SimulatedLog(Clock())
    tokens, completions, dead_letters = _targets(str)

    async def read(target: Target, partition: int, count: int) -> list[Raw]:
        return log.read(target.topic, partition)

    yield World(SimulatedSink(log, "group", tokens, completions, dead_letters, Clock()), read)


@asynccontextmanager
async def _kafka(servers: str, topics: Topics) -> AsyncIterator[World]:
    for topic, count in PARTITIONS.items():
        topics.create(topic, count, {"max.message.bytes": str(LIMIT)})
    tokens, completions, dead_letters = _targets(topics.name)
    client = client_arguments(servers, {})
    sink = KafkaSink(
        client,
        "group",
        tokens,
        completions,
        dead_letters,
        Clock(),
        "writer",
        lambda _: math.inf,
        _nobody_asks,
    )
    await sink.start()
    try:
        async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:

            async def read(target: Target, partition: int, count: int) -> list[Raw]:
                return await _records(consumer, TopicPartition(target.topic, partition), count)

            yield World(sink, read)
    finally:
        await sink.stop()


async def _nobody_asks(*_: Any) -> None:
    raise AssertionError("nothing was given up")


async def _records(consumer: AIOKafkaConsumer, place: TopicPartition, count: int) -> list[Raw]:
    """All there are, once there are so many."""
    consumer.assign([place])
    await consumer.seek_to_beginning(place)
    found: list[Raw] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count or await consumer.position(place) < consumer.highwater(place):
            for r in (await consumer.getmany(place, timeout_ms=1_000)).get(place, []):
                headers = tuple(r.headers)
                raw = Raw(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, headers)
                found.append(raw)
    return found


Worlds = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(params=["simulated", "kafka"])
def worlds(request: pytest.FixtureRequest) -> Worlds:
    if request.param == "simulated":
        return _simulated
    # Only now: the simulated world needs no broker.
    servers, topics = (request.getfixturevalue(name) for name in ("bootstrap_servers", "topics"))
    return lambda: _kafka(servers, topics)


def question(
    partition: int = 0,
    key: bytes | None = b"k",
    value: bytes | None = b'{"id": "q", "question": "?"}',
    headers: tuple[tuple[str, Any], ...] = (),
) -> Delivery:
    raw = Raw("questions", partition, 7, 1_700_000_000_000, key, value, headers)
    return codec().decode(RecordId(partition, 1, 7), raw, 0.0, 1_700_000_000.0)


def completion(delivery: Delivery, answer: str = "an answer") -> Completion:
    raw = delivery.raw
    source = Source(
        topic=raw.topic, partition=raw.partition, offset=raw.offset, timestamp=0, group="group"
    )
    return Completion(
        question_id=delivery.question_id,
        status="completed",
        answer=answer,
        timing=Timing(queued_ms=0),
        source=source,
    )


OURS = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

FAILURE = Failure(Kind.RECORD, "not_json", "the value is not JSON: ä", "decode")


async def test_an_acknowledged_completion_can_be_read(worlds: Worlds) -> None:
    delivery = question(headers=(("ce_correlationid", b"7"), ("other", b"1")))
    async with worlds() as world:
        wanted = completion(delivery)
        position = await world.sink.completion(delivery, wanted)
        [record] = await world.read(world.sink.completions, 0, 1)

        assert position == record.offset

        assert record.value is not None
        assert Completion.model_validate_json(record.value) == wanted
        assert record.key == b"k"
        headers = dict(record.headers)
        assert headers["ce_type"] == b"dev.penstock.completion.v1"
        assert headers["ce_specversion"] == b"1.0"
        assert headers["content-type"] == b"application/json"
        assert headers["ce_correlationid"] == b"7"
        assert {"ce_id", "ce_source", "ce_time"} < headers.keys()
        assert "other" not in headers


@pytest.mark.parametrize(("partition", "found"), [(0, 0), (2, 2), (4, 1), (9, 0)])
async def test_answers_go_to_the_number_of_the_questions_partition(
    worlds: Worlds, partition: int, found: int
) -> None:
    delivery = question(partition)
    async with worlds() as world:
        await world.sink.completion(delivery, completion(delivery))
        await world.sink.dead_letter(delivery, FAILURE, 0)
        await (await world.sink.token_sender(delivery)(b"{}", 0))

        assert len(await world.read(world.sink.completions, found, 1)) == 1
        assert len(await world.read(world.sink.dead_letters, 0, 1)) == 1
        assert len(await world.read(world.sink.tokens, partition % 2, 1)) == 1


@pytest.mark.parametrize(
    ("key", "used"),
    [(None, b"q"), (b"", b""), (b"\xff", b"\xff"), (b"k" * 9_000, b"q")],
    ids=["none", "empty", "bytes", "too long to repeat"],
)
async def test_answers_have_the_questions_key_or_else_its_id(
    worlds: Worlds, key: bytes | None, used: bytes
) -> None:
    delivery = question(key=key)
    async with worlds() as world:
        await world.sink.completion(delivery, completion(delivery))
        await (await world.sink.token_sender(delivery)(b"{}", 0))

        assert [r.key for r in await world.read(world.sink.completions, 0, 1)] == [used]
        assert [r.key for r in await world.read(world.sink.tokens, 0, 1)] == [used]


async def test_token_events_keep_their_order(worlds: Worlds) -> None:
    delivery = question()
    async with worlds() as world:
        send = world.sink.token_sender(delivery)
        acknowledgements = [await send(b"%d" % sequence, sequence) for sequence in range(50)]
        await asyncio.gather(*acknowledgements)
        records = await world.read(world.sink.tokens, 0, 50)

        assert [record.value for record in records] == [b"%d" % n for n in range(50)]
        assert len({dict(record.headers)["ce_id"] for record in records}) == 50


@pytest.mark.parametrize("key", [b"\xff\x00", b""])
@pytest.mark.parametrize("value", [b"\xff\x00", b"", None])
async def test_a_dead_letter_is_the_record_byte_for_byte(
    worlds: Worlds, key: bytes, value: bytes | None
) -> None:
    headers: tuple[tuple[str, Any], ...] = (
        ("a", b"\xff"),
        ("b", b""),
        ("a", b"2"),
        ("none", None),
        ("ce_id", b"x"),
    )
    delivery = question(0, key, value, headers)
    async with worlds() as world:
        position = await world.sink.dead_letter(delivery, FAILURE, 2)
        [record] = await world.read(world.sink.dead_letters, 0, 1)

        assert position == record.offset
        assert (record.key, record.value) == (key, value)
        assert record.headers[: len(headers)] == headers
        said = dict(record.headers[len(headers) :])
        assert said["__dlq.errors.topic"] == b"questions"
        assert said["__dlq.errors.offset"] == b"7"
        assert said["__dlq.errors.delivery.count"] == b"2"
        assert said["__dlq.errors.message"] == FAILURE.message.encode()
        assert said["penstock-error-kind"] == b"RECORD"
        assert said["penstock-error-code"] == b"not_json"
        assert said["penstock-error-stage"] == b"decode"


async def test_a_second_failure_replaces_the_first(worlds: Worlds) -> None:
    headers = (("__dlq.errors.message", b"old"), ("penstock-error-code", b"old"), ("a", b"1"))
    delivery = question(headers=headers)
    async with worlds() as world:
        await world.sink.dead_letter(delivery, FAILURE, 0)
        [record] = await world.read(world.sink.dead_letters, 0, 1)

        names = [name for name, _ in record.headers]
        assert len(names) == len(set(names))
        assert dict(record.headers)["penstock-error-code"] == b"not_json"
        assert record.headers[0] == ("a", b"1")


async def test_all_that_is_said_of_a_question_is_of_its_trace(worlds: Worlds) -> None:
    trace = (("traceparent", TRACEPARENT), ("tracestate", b"vendor=1"))
    of_ours = replace(question(headers=(*trace, ("a", b"1"))), trace=(("traceparent", OURS),))
    as_it_came = question(headers=(("traceparent", b"nonsense"), *trace, ("a", b"1")))
    async with worlds() as world:
        for delivery in (as_it_came, of_ours):
            sender = world.sink.token_sender(delivery)
            await (await sender(b"{}", 0))
            await world.sink.completion(delivery, completion(delivery))
            await world.sink.dead_letter(delivery, FAILURE, 0)
        tokens, completions, letters = [
            await world.read(target, 0, 2)
            for target in (world.sink.tokens, world.sink.completions, world.sink.dead_letters)
        ]

        for records in (tokens, completions):
            assert [_trace(record) for record in records] == [trace, of_ours.trace]
        # As it came, whatever else calls itself a context; ours takes its place.
        assert letters[0].headers[:4] == as_it_came.raw.headers
        assert letters[1].headers[:2] == (("a", b"1"), *of_ours.trace)
        assert _trace(letters[1]) == of_ours.trace
        told = [dict(letter.headers)["penstock-error-trace"] for letter in letters]
        assert told == [TRACEPARENT[3:35], OURS[3:35]]


def _trace(record: Raw) -> tuple[tuple[str, bytes], ...]:
    return tuple(header for header in record.headers if header[0].startswith("trace"))


async def test_what_fits_is_taken(worlds: Worlds) -> None:
    delivery = question()
    async with worlds() as world:
        sizes = range(LIMIT - 1_024, LIMIT)
        fitting = [n for n in sizes if world.sink.fits(delivery, completion(delivery, "x" * n))]

        assert 0 < len(fitting) < len(sizes)
        await world.sink.completion(delivery, completion(delivery, "x" * fitting[-1]))
        assert len(await world.read(world.sink.completions, 0, 1)) == 1


async def test_what_is_too_large_is_refused_and_disturbs_nothing(worlds: Worlds) -> None:
    delivery = question()
    async with worlds() as world:
        send = world.sink.token_sender(delivery)
        first = await send(b"0", 0)
        # The partitions have seen this producer, so a gap in its numbers would be noticed.
        await world.sink.completion(delivery, completion(delivery))
        await world.sink.dead_letter(delivery, FAILURE, 0)
        with pytest.raises(TooLargeError):
            await world.sink.completion(delivery, completion(delivery, "x" * LIMIT))
        second = await send(b"1", 1)
        await world.sink.completion(delivery, completion(delivery))
        with pytest.raises(TooLargeError):
            await world.sink.dead_letter(question(value=b"x" * LIMIT), FAILURE, 0)
        await world.sink.dead_letter(delivery, FAILURE, 0)
        await asyncio.gather(first, second)

        assert len(await world.read(world.sink.completions, 0, 2)) == 2
        assert len(await world.read(world.sink.dead_letters, 0, 2)) == 2
        assert len(await world.read(world.sink.tokens, 0, 2)) == 2
