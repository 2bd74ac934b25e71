"""Which offsets does a range mean, on these partitions, now?"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from penstock.errors import ConfigurationError
from penstock.events.envelope import rfc3339
from penstock.kafka.stretch import Reader, Stretch
from penstock.replay.bounds import At, Beginning, Bound, End, Last, Range, Since


@dataclass(frozen=True, slots=True)
class Resolved:
    """Args:
    stretches: of every partition asked for; some may be empty.
    notes: what whoever asked may not expect.
    """

    stretches: Mapping[TopicPartition, Stretch]
    notes: tuple[str, ...] = ()

    @property
    def records(self) -> int:
        """At most: gaps and markers count."""
        return sum(stretch.end - stretch.start for stretch in self.stretches.values())


async def resolve(
    topics: Reader, places: Iterable[TopicPartition], wanted: Range, now: float
) -> Resolved:
    """`now`: Unix seconds.

    Raises:
        ConfigurationError: no partition can have it: an offset beyond the end, a time to come, an
            end before the start.
        aiokafka.errors.KafkaError, TimeoutError: the brokers do not say.
    """
    _possible(wanted, now)
    whole = await topics.whole(places)
    starts = await _offsets(topics, whole, wanted.start)
    ends = await _offsets(topics, whole, wanted.end)
    notes = [*_beyond(whole, wanted), *await _before_the_first(topics, whole, wanted)]
    if isinstance(wanted.end, Since) and wanted.end.moment > now:
        notes.append(f"{rfc3339(wanted.end.moment)} is in the future: up to the end as it is now")
    stretches = {
        place: Stretch(
            min(max(starts[place], log.start), log.end), max(min(ends[place], log.end), log.start)
        )
        for place, log in whole.items()
    }
    return Resolved(
        {place: Stretch(s.start, max(s.start, s.end)) for place, s in stretches.items()},
        tuple(notes),
    )


def partitions(topic: str, count: int, wanted: Iterable[int]) -> list[TopicPartition]:
    """Those wanted, or all.

    Raises:
        ConfigurationError: the topic has no such partition.
    """
    numbers = sorted(set(wanted)) or range(count)
    for number in numbers:
        if not 0 <= number < count:
            raise ConfigurationError(
                f"--partition {number}: {topic} has the partitions 0 to {count - 1}"
            )
    return [TopicPartition(topic, number) for number in numbers]


def _possible(wanted: Range, now: float) -> None:
    start, end = wanted
    if isinstance(start, Since) and start.moment > now:
        raise ConfigurationError(
            f"the range begins at {rfc3339(start.moment)}, which is in the future; "
            f"it is {rfc3339(now)} now"
        )
    backwards = (
        (isinstance(start, Since) and isinstance(end, Since) and end.moment <= start.moment)
        or (isinstance(start, At) and isinstance(end, At) and end.offset <= start.offset)
        or (isinstance(start, Last) and isinstance(end, Last) and end.records >= start.records)
    )
    if backwards:
        raise ConfigurationError("the range ends before it begins")


async def _offsets(
    topics: Reader, whole: Mapping[TopicPartition, Stretch], bound: Bound
) -> dict[TopicPartition, int]:
    if isinstance(bound, Since):
        return await topics.since(whole, bound.moment)
    found = {}
    for place, log in whole.items():
        match bound:
            case Beginning():
                found[place] = log.start
            case End():
                found[place] = log.end
            case At(offset):
                found[place] = offset
            case Last(records):
                found[place] = log.end - records
    return found


def _beyond(whole: Mapping[TopicPartition, Stretch], wanted: Range) -> Iterable[str]:
    """Raises ConfigurationError where no partition has it."""
    start, end = wanted
    if isinstance(start, At):
        beyond = [place for place, log in whole.items() if start.offset > log.end]
        if beyond and len(beyond) == len(whole):
            ends = ", ".join(f"{p.partition}: {whole[p].end}" for p in beyond[:5])
            raise ConfigurationError(
                f"offset {start.offset} is beyond the end of {beyond[0].topic} "
                f"(partition: end {ends})"
            )
        if beyond:
            yield f"{_ending(beyond)} before offset {start.offset}: nothing is meant there"
        gone = [place for place, log in whole.items() if start.offset < log.start]
        if gone:
            first = min(whole[place].start for place in gone)
            yield f"of {_named(gone)} the records before offset {first} are gone"
    if isinstance(end, At) and (short := [p for p, log in whole.items() if end.offset > log.end]):
        yield f"{_ending(short)} before offset {end.offset}: up to there"


async def _before_the_first(
    topics: Reader, whole: Mapping[TopicPartition, Stretch], wanted: Range
) -> list[str]:
    start = wanted.start
    if not isinstance(start, Since):
        return []
    filled = {place: log for place, log in whole.items() if log.start < log.end}
    found = await topics.since(filled, start.moment)
    if filled and all(found[place] == log.start for place, log in filled.items()):
        return [f"nothing is there of before {rfc3339(start.moment)}: from the first records on"]
    return []


def _ending(places: Collection[TopicPartition]) -> str:
    return f"{_named(places)} {'ends' if len(places) == 1 else 'end'}"


def _named(places: Iterable[TopicPartition]) -> str:
    numbers = sorted(place.partition for place in places)
    return f"partition{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
