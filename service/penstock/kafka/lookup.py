"""Has it arrived? What the producer has given up is looked for in its topic.

Where nobody knows of one record, nobody knows of many: all who ask before a reading begins share
it.
"""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.events import envelope
from penstock.events.dead_letter import origin
from penstock.kafka.codec import Raw
from penstock.kafka.completed import Completions, Ended, json_object
from penstock.kafka.scope import CLOCK_SKEW, Scope
from penstock.kafka.sink import Target
from penstock.kafka.stretch import Stretch, reader

Note = tuple[Hashable, int]
"""What a record is about, and the number wanted of it."""


class Lookup:
    """What was sent since a moment in Unix seconds. Whatever a method raises, nobody knows."""

    def __init__(
        self,
        client: Mapping[str, Any],
        clock: Clock,
        scope: Scope,
        completions: Completions,
        dead_letters: Target,
    ) -> None:
        self._scope = scope
        self._completions = completions
        self._dead_letters = dead_letters
        self._completed = _Topic(client, clock, "completions", self._completes)
        self._dead = _Topic(client, clock, "dead letters", _was)
        self._said = _Topic(client, clock, "tokens", _says, last=True)

    async def completion(self, question: Raw, since: float) -> int | None:
        """Where the first completion of the question is."""
        wanted = Ended(question.partition, question.offset, question.timestamp_ms)
        place = self._completions.place(question.partition)
        return await self._completed.find(place, wanted, since)

    async def dead_letter(self, question: Raw, since: float) -> int | None:
        """Where the first dead letter of the question is."""
        wanted = (question.topic, str(question.partition), str(question.offset), self._scope.group)
        place = _place(self._dead_letters, question.partition)
        return await self._dead.find(place, wanted, since)

    async def last_said(self, partition: int, stream: str, since: float) -> int | None:
        """The last sequence of a token stream, by the beginning of its events' ids."""
        return await self._said.find(_place(self._scope.tokens, partition), stream, since)

    def _completes(self, record: ConsumerRecord) -> Note | None:
        ended = self._completions.answers(json_object(record.value))
        return ended and (ended, record.offset)


@dataclass
class _Reading:
    since: float
    places: set[TopicPartition] = field(default_factory=set)
    wanted: set[Hashable] = field(default_factory=set)
    found: dict[Hashable, int] = field(default_factory=dict)
    error: Exception | None = None
    over: bool = False


class _Topic:
    """One reading after the other, each for all who wait for it.

    Args:
        client: its arguments.
        clock: of the service.
        what: the records are, for the log.
        note: what is to be known of one.
        last: wanted is the last one about something, not the first.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        clock: Clock,
        what: str,
        note: Callable[[ConsumerRecord], Note | None],
        *,
        last: bool = False,
    ) -> None:
        self._client = client
        self._clock = clock
        self._what = what
        self._note = note
        self._last = last
        self._next: _Reading | None = None
        self._one_by_one = asyncio.Lock()

    async def find(self, place: TopicPartition, wanted: Hashable, since: float) -> int | None:
        reading = self._next = self._next or _Reading(since)
        reading.since = min(reading.since, since)
        reading.places.add(place)
        reading.wanted.add(wanted)
        async with self._one_by_one:
            # Where whoever began it was cancelled, the next of them begins it anew.
            if not reading.over:
                await self._read(reading)
        if reading.error is not None:
            raise KafkaError(f"{self._what} cannot be read: {reading.error}") from reading.error
        return reading.found.get(wanted)

    async def _read(self, reading: _Reading) -> None:
        if self._next is reading:
            # It ends where the topic ends now, which may be too soon for who asks from now on.
            self._next = None
        try:
            await self._read_on(reading)
        except Exception as error:  # noqa: BLE001 - told to all who wait for it
            reading.error = error
        reading.over = True

    async def _read_on(self, reading: _Reading) -> None:
        async with reader(self._client, self._clock) as topics:
            whole = await topics.whole(sorted(reading.places))
            starts = await topics.since(whole, reading.since - CLOCK_SKEW)
            stretches = {place: Stretch(starts[place], whole[place].end) for place in whole}
            async for record in topics.read(self._what, stretches):
                about, number = self._note(record) or (None, 0)
                if about in reading.wanted and (self._last or about not in reading.found):
                    reading.found[about] = number


def _was(record: ConsumerRecord) -> Note:
    return origin(record.headers), record.offset


def _says(record: ConsumerRecord) -> Note | None:
    stream, _, sequence = (envelope.text_header(record.headers, "ce_id") or "").rpartition("/")
    return (stream, int(sequence)) if sequence.isdecimal() else None


def _place(target: Target, partition: int) -> TopicPartition:
    return TopicPartition(target.topic, partition % target.partitions)
