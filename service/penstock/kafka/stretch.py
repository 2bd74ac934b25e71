"""What stands in a stretch of some partitions? Read without a group, to an end known before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.errors import KafkaError

T = TypeVar("T")

ANSWER_SECONDS = 5.0
"""A broker that says nothing for so long is asked again, by whoever wanted to know."""

STALLED_SECONDS = 30.0
LONG = 10_000
"""Records above which reading them deserves a line in the log, and one again and again."""
PROGRESS_SECONDS = 2.0

log = structlog.get_logger("penstock.kafka")


class Stretch(NamedTuple):
    """Half-open."""

    start: int
    end: int


class Reader:
    """A consumer of its own, which sees only what is committed."""

    def __init__(self, consumer: AIOKafkaConsumer, clock: Clock) -> None:
        self._consumer = consumer
        self._clock = clock

    async def whole(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, Stretch]:
        """From the first record that the retention has left to the last one."""
        wanted = list(places)
        begins = await in_time(self._consumer.beginning_offsets(wanted))
        ends = await in_time(self._consumer.end_offsets(wanted))
        return {place: Stretch(begins[place], ends[place]) for place in wanted}

    async def since(
        self, whole: Mapping[TopicPartition, Stretch], at: float
    ) -> dict[TopicPartition, int]:
        """The first record written then or later, in Unix seconds; the end if there is none."""
        moment = max(0, int(at * 1000))
        found = await in_time(self._consumer.offsets_for_times(dict.fromkeys(whole, moment)))
        return {
            place: stretch.end if found.get(place) is None else found[place].offset
            for place, stretch in whole.items()
        }

    async def read(
        self, what: str, stretches: Mapping[TopicPartition, Stretch]
    ) -> AsyncIterator[ConsumerRecord]:
        """The records, in order within a partition; `what` they are, for the log.

        Raises:
            KafkaError: nothing more comes.
            aiokafka.errors.KafkaError: reading failed; what was read may not be all.
        """
        left = {
            place: stretch for place, stretch in stretches.items() if stretch.start < stretch.end
        }
        of = sum(stretch.end - stretch.start for stretch in left.values())
        read, began = 0, self._clock.monotonic()
        said = moved = began
        self._consumer.assign(list(left))
        for place, stretch in left.items():
            self._consumer.seek(place, stretch.start)
        while left:
            batches = await self._consumer.getmany(timeout_ms=200, max_records=500)
            now = self._clock.monotonic()
            for place, records in batches.items():
                for record in records:
                    if record.offset < stretches[place].end:
                        read += 1
                        yield record
            # Not the last record but the position: what ends a log may be a transaction's marker.
            for place in list(left):
                if await self._consumer.position(place) >= left[place].end:
                    del left[place]
                    self._consumer.pause(place)
            moved = now if batches else moved
            if now - moved > STALLED_SECONDS:
                raise KafkaError(f"{what} cannot be read: nothing comes of {min(left)}")
            if of > LONG and now - said > PROGRESS_SECONDS:
                said = now
                log.info(f"reading {what}", records=read, of=of)
        if of > LONG:
            seconds = round(self._clock.monotonic() - began, 1)
            log.info(f"{what} are read", records=read, seconds=seconds)


@asynccontextmanager
async def reader(client: Mapping[str, Any], clock: Clock) -> AsyncIterator[Reader]:
    """Connected while the block runs."""
    consumer = AIOKafkaConsumer(
        **client,
        client_id="penstock-recovery",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
    )
    try:
        await in_time(consumer.start())
        yield Reader(consumer, clock)
    finally:
        await consumer.stop()


async def in_time(answer: Awaitable[T]) -> T:
    """Raises TimeoutError where the broker says nothing."""
    async with asyncio.timeout(ANSWER_SECONDS):
        return await answer
