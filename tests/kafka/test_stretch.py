"""What stands in some partitions, in which order."""

from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import AT_ONCE, reader
from tests.support.kafka import Topics
from tests.support.recorded import recording

SECONDS = 600


async def test_by_time_no_partition_is_far_ahead_of_another(
    bootstrap_servers: str, topics: Topics
) -> None:
    """Of the same time, one has three times as many records as the other, and one has none."""
    name = topics.create("questions", 3, {"retention.ms": "-1"})
    per_second = {0: 3, 1: 1}
    async with recording(bootstrap_servers, topics) as record:
        for second in range(SECONDS):
            for partition, count in per_second.items():
                for _ in range(count):
                    await record.producer.send(
                        name, b"{}", partition=partition, timestamp_ms=second * 1000
                    )
    places = [TopicPartition(name, number) for number in range(3)]
    reached = dict.fromkeys(per_second, 0)
    apart = []
    offsets: dict[int, list[int]] = {0: [], 1: []}
    async with reader(client_arguments(bootstrap_servers, {}), Clock()) as read:
        whole = await read.whole(places)
        async for found in read.read("questions", whole, by_time=True):
            reached[found.partition] = found.timestamp // 1000
            apart.append(abs(reached[0] - reached[1]))
            offsets[found.partition].append(found.offset)
    assert max(apart) <= AT_ONCE
    for partition, count in per_second.items():
        assert offsets[partition] == list(range(SECONDS * count))
