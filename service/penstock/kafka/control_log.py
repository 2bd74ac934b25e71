"""What counts now, of all that was said on the control topic? Of each key, its last record."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.kafka.stretch import Reader, Stretch, reader


class Stated(NamedTuple):
    """A record that nobody has taken back. `timestamp`: in Unix milliseconds."""

    value: bytes
    timestamp: int
    offset: int


class ControlLog:
    """Reads on from where it has come; `prefixes` of the keys that matter."""

    def __init__(self, topic: str, *prefixes: str) -> None:
        self._place = TopicPartition(topic, 0)
        self._prefixes = prefixes
        self._found: dict[str, Stated] = {}
        self._next = 0

    async def stated(self, topics: Reader) -> Mapping[str, Stated]:
        """By key, as of now.

        Raises:
            KafkaError, aiokafka.errors.KafkaError, TimeoutError: it cannot be read.
        """
        [(start, end)] = (await topics.whole([self._place])).values()
        if end < self._next:
            # It is another topic by the same name.
            self._found, self._next = {}, start
        stretch = Stretch(max(start, self._next), end)
        if stretch.start < stretch.end:
            async for record in topics.read("control", {self._place: stretch}):
                self._next = record.offset + 1
                self._add((record.key or b"").decode(errors="replace"), record)
        self._next = end
        return self._found

    def _add(self, key: str, record: Any) -> None:
        if not key.startswith(self._prefixes):
            return
        self._found.pop(key, None)
        if record.value is not None:
            self._found[key] = Stated(record.value, record.timestamp, record.offset)


async def stated(
    client: Mapping[str, Any], topic: str, prefix: str, clock: Clock
) -> Mapping[str, Stated]:
    """By key, those that begin so, as of now. Raises as `ControlLog.stated` does."""
    async with reader(client, clock) as topics:
        # Of one that is not there nobody says where it begins.
        await topics.partitions(topic)
        return await ControlLog(topic, prefix).stated(topics)
