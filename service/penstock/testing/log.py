"""What is in a topic? Kafka's log, in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from typing import Any

from penstock.clock import Clock
from penstock.kafka.codec import Raw
from penstock.kafka.source import MAX_BATCH


class SimulatedLog:
    """Partitions of topics: lists of records, whose places in them are their offsets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: defaultdict[tuple[str, int], list[Raw]] = defaultdict(list)
        self._grown = asyncio.Event()

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> Raw:
        records = self._records[topic, partition]
        at = int(self._clock.wall() * 1000)
        records.append(Raw(topic, partition, len(records), at, key, value, tuple(headers)))
        self.stir()
        return records[-1]

    def read(self, topic: str, partition: int, offset: int = 0, most: int = MAX_BATCH) -> list[Raw]:
        return self._records[topic, partition][offset : offset + most]

    def stir(self) -> None:
        """Wakes who waits, to look again."""
        self._grown.set()
        self._grown = asyncio.Event()

    def stirred(self) -> Coroutine[Any, Any, object]:
        """The next `stir` after this call: a task that has not begun yet would miss one."""
        return self._grown.wait()
