"""What counts now, of all that was said on the control topic? Of each key, its last record."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.kafka.stretch import reader


class Stated(NamedTuple):
    """A record that nobody has taken back. `timestamp`: in Unix milliseconds."""

    value: bytes
    timestamp: int
    offset: int


async def stated(
    client: Mapping[str, Any], topic: str, prefix: str, clock: Clock
) -> dict[str, Stated]:
    """By key, those that begin so, as of now.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: it cannot be read.
    """
    found: dict[str, Stated] = {}
    place = TopicPartition(topic, 0)
    async with reader(client, clock) as topics:
        async for record in topics.read("control", await topics.whole([place])):
            key = (record.key or b"").decode(errors="replace")
            if not key.startswith(prefix):
                continue
            found.pop(key, None)
            if record.value is not None:
                found[key] = Stated(record.value, record.timestamp, record.offset)
    return found
