"""Which offsets a range means, on real partitions."""

import pytest
from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import reader
from penstock.replay.bounds import EVERYTHING, At, Beginning, End, Last, Range, Since
from penstock.replay.ranges import Resolved, partitions, resolve
from tests.support.kafka import Topics
from tests.support.operating import operating
from tests.support.recorded import recording

NOON = 1_764_331_200
"""The first of the records, in Unix seconds; one every minute."""
NOW = NOON + 3_600.0


def stretches(found: Resolved) -> list[tuple[int, int]]:
    return [(some.start, some.end) for _, some in sorted(found.stretches.items())]


async def test_what_is_meant_and_what_is_said_of_it(bootstrap_servers: str, topics: Topics) -> None:
    """Three partitions: ten records of which the retention took three, four records, and none."""
    name = topics.create("questions", 3, {"retention.ms": "-1"})
    places = [TopicPartition(name, number) for number in range(3)]
    async with recording(bootstrap_servers, topics) as record:
        for partition, count in enumerate((10, 4, 0)):
            for minute in range(count):
                await record.question("?", partition, timestamp=(NOON + minute * 60) * 1000)
    async with operating(bootstrap_servers, topics) as operator:
        await operator.delete_records("questions", before=3)

    async with reader(client_arguments(bootstrap_servers, {}), Clock()) as read:

        async def of(wanted: Range) -> Resolved:
            return await resolve(read, places, wanted, NOW)

        everything = await of(EVERYTHING)
        assert stretches(everything) == [(3, 10), (0, 4), (0, 0)]
        assert (everything.records, everything.notes) == (11, ())

        assert stretches(await of(Range(Last(2)))) == [(8, 10), (2, 4), (0, 0)]
        assert stretches(await of(Range(Last(99)))) == [(3, 10), (0, 4), (0, 0)]
        assert stretches(await of(Range(Last(3), Last(1)))) == [(7, 9), (1, 3), (0, 0)]
        assert stretches(await of(Range(End()))) == [(10, 10), (4, 4), (0, 0)]

        some = await of(Range(At(2), At(6)))
        assert stretches(some) == [(3, 6), (2, 4), (0, 0)]
        assert some.notes == (
            "partition 2 ends before offset 2: nothing is meant there",
            "of partition 0 the records before offset 3 are gone",
            "partitions 1, 2 end before offset 6: up to there",
        )
        with pytest.raises(ConfigurationError, match=r"offset 11 is beyond the end of .*0: 10, 1:"):
            await of(Range(At(11)))
        assert stretches(await of(Range(At(10)))) == [(10, 10), (4, 4), (0, 0)]

        then = await of(Range(Since(NOON + 90), Since(NOON + 240)))
        assert stretches(then) == [(3, 4), (2, 4), (0, 0)]
        assert then.notes == ()
        early = await of(Range(Since(NOON - 60)))
        assert stretches(early) == [(3, 10), (0, 4), (0, 0)]
        assert early.notes == (
            "nothing is there of before 2025-11-28T11:59:00.000Z: from the first records on",
        )
        assert stretches(await of(Range(Since(NOON + 3000)))) == [(10, 10), (4, 4), (0, 0)]
        late = await of(Range(Beginning(), Since(NOW + 60)))
        assert stretches(late) == [(3, 10), (0, 4), (0, 0)]
        assert late.notes == (
            "2025-11-28T13:01:00.000Z is in the future: up to the end as it is now",
        )

        # From an offset to a time before it: nothing.
        assert stretches(await of(Range(At(9), Since(NOON)))) == [(9, 9), (4, 4), (0, 0)]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Range(Since(NOW + 1)), "in the future; it is"),
        (Range(At(5), At(5)), "ends before it begins"),
        (Range(Last(5), Last(6)), "ends before it begins"),
        (Range(Since(NOON), Since(NOON - 1)), "ends before it begins"),
    ],
)
async def test_what_cannot_be_meant(
    bootstrap_servers: str, topics: Topics, wanted: Range, says: str
) -> None:
    async with reader(client_arguments(bootstrap_servers, {}), Clock()) as read:
        with pytest.raises(ConfigurationError, match=says):
            await resolve(read, [], wanted, NOW)


def test_partitions() -> None:
    assert partitions("q", 3, []) == [TopicPartition("q", number) for number in range(3)]
    assert partitions("q", 3, [2, 0, 2]) == [TopicPartition("q", 0), TopicPartition("q", 2)]
    with pytest.raises(ConfigurationError, match="--partition 3: q has the partitions 0 to 2"):
        partitions("q", 3, [3])
