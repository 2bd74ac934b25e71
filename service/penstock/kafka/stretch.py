"""What stands in a stretch of some partitions? Read without a group, to an end known before."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.kafka import tolerant
from penstock.kafka.stopping import cancelled, started, stopped

T = TypeVar("T")

ANSWER_SECONDS = 5.0
"""A broker that says nothing for so long is asked again, by whoever wanted to know."""

STALLED_SECONDS = 30.0
AT_ONCE = 100
"""Records decoded in one go: decoding more would hold up the token streams."""

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

    async def partitions(self, topic: str) -> int:
        """Raises ConfigurationError where there is no such topic."""
        # Of all topics: to ask for one by its name creates it, where the brokers are set so.
        cluster = await in_time(
            self._consumer._client.fetch_all_metadata()  # noqa: SLF001 - there is no public way
        )
        found = cluster.partitions_for_topic(topic)
        if not found:
            raise ConfigurationError(f"there is no topic {topic!r}; see TOPICS in the settings")
        return len(found)

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
        self, what: str, stretches: Mapping[TopicPartition, Stretch], *, by_time: bool = False
    ) -> AsyncGenerator[ConsumerRecord, None]:
        """The records, in order within a partition; `what` they are, for the log.

        By time: the partition that lags behind the others by its timestamps comes first, so that
        no partition is far ahead of another.

        Raises:
            KafkaError: nothing more comes.
            aiokafka.errors.KafkaError: reading failed; what was read may not be all.
        """
        left = {place: found for place, found in stretches.items() if found.start < found.end}
        progress = _Progress(what, sum(found.end - found.start for found in left.values()))
        self._consumer.assign(list(left))
        for place, found in left.items():
            self._consumer.seek(place, found.start)
        moved = self._clock.monotonic()
        reached = dict.fromkeys(left, -1)
        while left:
            next_ = [min(left, key=reached.__getitem__)] if by_time else []
            batches = await self._some(*next_)
            now = self._clock.monotonic()
            if not batches and now - moved > STALLED_SECONDS:
                place = min(left)
                raise KafkaError(
                    f"{what} cannot be read: nothing comes of {place.topic} [{place.partition}]"
                )
            for place, records in batches.items():
                progress.more(len(records), now)
                reached[place] = records[-1].timestamp
                for record in records:
                    if record.offset < stretches[place].end:
                        yield record
            if batches:
                # Whoever takes the records may take their time.
                moved = self._clock.monotonic()
            await self._leave_what_is_read(left)
        progress.over()

    async def follow(
        self, starts: Mapping[TopicPartition, int]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """What stands and comes from these offsets on, without an end; nothing where for a moment
        nothing has come.

        Raises:
            KafkaError, aiokafka.errors.KafkaError: reading failed; it has to begin anew.
        """
        self._consumer.assign(list(starts))
        for place, start in starts.items():
            self._consumer.seek(place, start)
        while True:
            batches = await self._some()
            yield [record for records in batches.values() for record in records]

    def leader(self, place: TopicPartition) -> int:
        """The broker that records come from; -1 where that is not known."""
        cluster = self._consumer._client.cluster  # noqa: SLF001 - there is no public way
        found: int | None = cluster.leader_for_partition(place)
        return -1 if found is None else found

    async def _some(self, *places: TopicPartition) -> dict[TopicPartition, list[ConsumerRecord]]:
        # What is fetched comes without waiting: token streams want a turn in between.
        await asyncio.sleep(0)
        try:
            found: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                *places, timeout_ms=200, max_records=AT_ONCE
            )
        except UnicodeDecodeError as error:
            tolerant.install()
            raise KafkaError("a header's name is not UTF-8; read again, it can be") from error
        return found

    async def _leave_what_is_read(self, left: dict[TopicPartition, Stretch]) -> None:
        for place, stretch in list(left.items()):
            # Not the last record but the position: a transaction's marker may end a log.
            if await self._consumer.position(place) >= stretch.end:
                del left[place]
                self._consumer.pause(place)


class _Progress:
    """Says how far a long reading has come."""

    def __init__(self, what: str, of: int) -> None:
        self._log = log.bind(topic=what, of=of)
        self._long = of > LONG
        self._read = 0
        self._said: float | None = None

    def more(self, records: int, now: float) -> None:
        self._read += records
        if self._long and (self._said is None or now - self._said > PROGRESS_SECONDS):
            self._said = now
            self._log.info("finding out what is done", read=self._read)

    def over(self) -> None:
        if self._long:
            self._log.info("found out what is done", read=self._read)


@asynccontextmanager
async def reader(
    client: Mapping[str, Any], clock: Clock, wait_ms: int = 100
) -> AsyncIterator[Reader]:
    """Connected while the block runs. `wait_ms`: a broker that has nothing new says so after so
    long; what is new it sends at once.
    """
    consumer = AIOKafkaConsumer(
        **client,
        client_id="penstock-recovery",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=wait_ms,
    )
    try:
        await in_time(started(consumer.start()))
        yield Reader(consumer, clock)
    except asyncio.CancelledError as error:
        if cancelled():
            raise
        raise KafkaError("the client gave up") from error
    finally:
        await stopped(consumer.stop())


async def in_time(answer: Awaitable[T]) -> T:
    """Raises TimeoutError where the broker says nothing."""
    async with asyncio.timeout(ANSWER_SECONDS):
        return await answer
