"""Each question of some stretches, with how it ended."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.kafka.completed import ends, json_object
from penstock.kafka.scope import CLOCK_SKEW
from penstock.kafka.stretch import Reader, Stretch, reader
from penstock.replay.join import joined

AHEAD = 3600.0
"""Seconds by which the clock of whoever asked may be before the others: brokers refuse what is from
further in the future (`message.timestamp.after.max.ms`, since 4.0).
"""

Key = tuple[int, int]
"""Partition and offset of a question."""
Said = dict[str, Any]
"""A completion, as it stands in its topic."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Where questions end.

    Args:
        topic: of the completions.
        questions: the topic whose questions end there.
        group: of who has answered them.
        replay: the id of the replay that asked them again, if one did.
    """

    topic: str
    questions: str
    group: str
    replay: str | None = None


class CrowdedError(PenstockError):
    """What waits for its other half takes more room than there is."""


class Room:
    """For what waits for its other half.

    Args:
        size: bytes, as they stand in the topics.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._taken: dict[Key, int] = {}

    def take(self, key: Key, size: int) -> None:
        """Raises CrowdedError: there is none."""
        self._left -= size
        self._taken[key] = self._taken.get(key, 0) + size
        if self._left < 0:
            raise CrowdedError("too much waits for its other half")

    def leave(self, key: Key) -> None:
        """All that this question has taken."""
        self._left += self._taken.pop(key, 0)


class Answered(NamedTuple):
    """`completions`: one for each of those who answer; None where one has not."""

    question: ConsumerRecord
    completions: tuple[Said | None, ...]


class Pair(NamedTuple):
    """`completion` is None where nobody has answered."""

    question: ConsumerRecord
    completion: Said | None


async def pairs(
    client: Mapping[str, Any],
    clock: Clock,
    answers: Answers,
    stretches: Mapping[TopicPartition, Stretch],
) -> AsyncGenerator[Pair, None]:
    """In about the order of the questions, each once; the first completion is the answer.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    async with aclosing(answered(client, clock, [answers], stretches)) as found:
        async for question, (completion,) in found:
            yield Pair(question, completion)


async def answered(
    client: Mapping[str, Any],
    clock: Clock,
    by: Sequence[Answers],
    stretches: Mapping[TopicPartition, Stretch],
    room: Room | None = None,
) -> AsyncGenerator[Answered]:
    """As `pairs`, of some who have answered the same questions.

    Raises:
        CrowdedError: what waits is more than there is room for.
    """
    async with AsyncExitStack() as stack:
        asked, *said = [
            await stack.enter_async_context(reader(client, clock)) for _ in range(1 + len(by))
        ]
        since = await first_moment(asked, stretches, clock.wall())
        found = _keyed(asked, stretches, room)
        for topics, answers in zip(said, by, strict=True):
            found = _with(found, completions_of(topics, answers, stretches, since, room))
        async for key, one in found:
            if room is not None:
                room.leave(key)
            yield one


async def _with(
    found: AsyncIterator[tuple[Key, Answered]], completions: AsyncIterator[tuple[Key, Said]]
) -> AsyncIterator[tuple[Key, Answered]]:
    async for key, one, completion in joined(found, completions):
        yield key, Answered(one.question, (*one.completions, completion))


async def first_moment(
    topics: Reader, stretches: Mapping[TopicPartition, Stretch], now: float
) -> float:
    """No question of these was asked before, in Unix seconds; 0 where that is not known, as where
    somebody's clock is ahead of ours. `now`: the same.
    """
    firsts = {
        place: Stretch(stretch.start, stretch.start + 1)
        for place, stretch in stretches.items()
        if stretch.start < stretch.end
    }
    moments = [record.timestamp / 1000 async for record in topics.read("questions", firsts)]
    known = len(moments) == len(firsts) and all(moment <= now for moment in moments)
    return min(moments) if known and moments else 0.0


async def completions_of(
    topics: Reader,
    answers: Answers,
    stretches: Mapping[TopicPartition, Stretch],
    since: float,
    room: Room | None = None,
) -> AsyncIterator[tuple[Key, Said]]:
    """Of the questions of these stretches, those written since then, in Unix seconds, up to now."""
    now = await topics.partitions(answers.topic)
    # The topic may have been given more partitions since some of them ended.
    numbers = {place.partition % count for place in stretches for count in range(1, now + 1)}
    whole = await topics.whole([TopicPartition(answers.topic, n) for n in sorted(numbers)])
    starts = await topics.since(whole, since - AHEAD - CLOCK_SKEW)
    wanted = {place.partition: stretch for place, stretch in stretches.items()}
    reading = {place: Stretch(starts[place], log.end) for place, log in whole.items()}
    async for record in topics.read("completions", reading, by_time=True):
        said = json_object(record.value)
        ended = ends(said, answers.questions, answers.group, answers.replay)
        if ended is None or (stretch := wanted.get(ended.partition)) is None:
            continue
        if stretch.start <= ended.offset < stretch.end:
            key = (ended.partition, ended.offset)
            if room is not None:
                room.take(key, len(record.value))
            yield key, said


async def _keyed(
    topics: Reader, stretches: Mapping[TopicPartition, Stretch], room: Room | None
) -> AsyncIterator[tuple[Key, Answered]]:
    async for record in topics.read("questions", stretches, by_time=True):
        key = (record.partition, record.offset)
        if room is not None:
            room.take(key, len(record.value or b""))
        yield key, Answered(record, ())
