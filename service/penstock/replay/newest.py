"""Which records are the newest? Read from the ends of the partitions backwards, a page at a time.

A page begins where the one before has ended, whatever comes meanwhile. Between partitions the order
is that of the timestamps, within one it is that of the log.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Generic, NamedTuple, TypeVar

from aiokafka import ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.kafka.stretch import Reader, Stretch

T = TypeVar("T")

AT_ONCE = 500
"""Records of one partition that are read in one go, at most."""


class Bounds(NamedTuple):
    """Of a page.

    Args:
        found: that are given, at most.
        read: that are read for it, at most, and some more.
        seconds: that it may take, and a little longer.
    """

    found: int
    read: int
    seconds: float


class Page(NamedTuple, Generic[T]):
    """Args:
    found: the newest first.
    ends: by partition, where the next page begins: before it. Empty: there is none.
    """

    found: list[T]
    ends: Mapping[int, int]


async def newest(
    topics: Reader,
    whole: Mapping[TopicPartition, Stretch],
    ends: Mapping[int, int] | None,
    take: Callable[[ConsumerRecord], T | None],
    bounds: Bounds,
    clock: Clock,
) -> Page[T]:
    """Where few of the records are wanted a page may have less than it could, and not be the last.

    Args:
        topics: what reads.
        whole: the partitions.
        ends: what the page before has given; None: this is the first.
        take: what is kept of a record; None: it is not wanted.
        bounds: of the page.
        clock: of the reading.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    first = max(1, -(-bounds.found // max(1, len(whole))))
    logs = [
        _Log[T](place, log.start, end, first)
        for place, log in whole.items()
        if (end := _end(place, log, ends)) > log.start
    ]
    found: list[T] = []
    read, until = 0, clock.monotonic() + bounds.seconds
    while len(found) < bounds.found:
        if hollow := [log for log in logs if log.hollow]:
            if read >= bounds.read or clock.monotonic() >= until:
                break
            read += await _fill(topics, hollow, take)
        elif heads := [log for log in logs if log.rows]:
            found.append(max(heads, key=_Log.order).rows.pop().kept)
        else:
            break
    return Page(found, {log.place.partition: log.end for log in logs if log.more})


class _Row(NamedTuple, Generic[T]):
    timestamp: int
    offset: int
    kept: T


class _Log(Generic[T]):
    """One partition. `rows`: read and not given, the newest last; `unread`: all before it."""

    def __init__(self, place: TopicPartition, start: int, end: int, at_once: int) -> None:
        self.place = place
        self.start = start
        self.unread = end
        self.rows: list[_Row[T]] = []
        self._at_once = at_once

    @property
    def hollow(self) -> bool:
        """It has to be read before it is known what is next."""
        return not self.rows and self.unread > self.start

    @property
    def more(self) -> bool:
        return bool(self.rows) or self.unread > self.start

    @property
    def end(self) -> int:
        """Before which stands what was not given."""
        return self.rows[-1].offset + 1 if self.rows else self.unread

    def order(self) -> tuple[int, int]:
        return self.rows[-1].timestamp, self.place.partition

    def back(self) -> Stretch:
        """What is to be read next: more every time."""
        stretch = Stretch(max(self.start, self.unread - self._at_once), self.unread)
        self.unread = stretch.start
        self._at_once = min(2 * self._at_once, AT_ONCE)
        return stretch


def _end(place: TopicPartition, log: Stretch, ends: Mapping[int, int] | None) -> int:
    if ends is None:
        return log.end
    # Of a partition that the page before does not name it had all.
    return min(log.end, ends.get(place.partition, log.start))


async def _fill(
    topics: Reader, logs: Iterable[_Log[T]], take: Callable[[ConsumerRecord], T | None]
) -> int:
    """How many records were read."""
    by_place = {log.place: log for log in logs}
    stretches = {place: log.back() for place, log in by_place.items()}
    async with aclosing(topics.read("dead letters", stretches)) as records:
        async for record in records:
            if (kept := take(record)) is not None:
                log = by_place[TopicPartition(record.topic, record.partition)]
                log.rows.append(_Row(record.timestamp, record.offset, kept))
    return sum(stretch.end - stretch.start for stretch in stretches.values())
