"""How do dead letters become questions again: each once, however often one begins anew?"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.events.again import redrives
from penstock.kafka import codec
from penstock.kafka.stretch import Reader, Stretch
from penstock.kafka.transactions import Said, Transactions
from penstock.replay import view, where
from penstock.replay.batch_pace import BatchPace
from penstock.replay.redrive import Elsewhere, Policy, Question, Refused, again
from penstock.replay.where import Condition

AT_ONCE = 500
"""Questions in a transaction, at most, ..."""
BYTES_AT_ONCE = 1024 * 1024
"""... and of their values; one may be larger."""
LETTERS_AT_ONCE = 10_000
"""Letters, wanted or not, after which a long search is not begun anew."""
NAMED = 5
"""Letters that are told one by one: of those that go, and of those that are refused."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters, and what becomes of them."""

    stretches: Mapping[TopicPartition, Stretch]
    conditions: tuple[Condition, ...]
    default_program: str
    policy: Policy


class Named(NamedTuple):
    """A letter, for people."""

    place: str
    id: str
    reason: str = ""


@dataclass(slots=True)
class Tally:
    """How it goes. `read`: records, whether wanted or not."""

    read: int = 0
    redriven: int = 0
    again: int = 0
    """Of these, how many were redriven before."""
    refused: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    first: list[Named] = field(default_factory=list)
    first_refused: list[Named] = field(default_factory=list)

    def add(self, judged: "Judged") -> None:
        self.read += 1
        place = f"{judged.place.partition}/{judged.offset}"
        match judged.verdict:
            case Question(headers=headers):
                self.redriven += 1
                self.again += redrives(headers) > 1
                self.first = [*self.first, Named(place, judged.id)][:NAMED]
            case Refused(reason):
                self.refused[reason] += 1
                self.first_refused = [*self.first_refused, Named(place, judged.id, reason)][:NAMED]
            case Elsewhere(topic):
                self.elsewhere[topic] += 1


class Judged(NamedTuple):
    """A letter that was read. `verdict` is None where it is not wanted."""

    place: TopicPartition
    offset: int
    id: str
    verdict: Question | Refused | Elsewhere | None


async def judged(topics: Reader, wanted: Wanted) -> AsyncGenerator[Judged, None]:
    """All of the stretches.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    async with aclosing(topics.read("dead letters", wanted.stretches)) as records:
        async for record in records:
            letter = codec.raw(record)
            seen = view.of_dead_letter(letter, wanted.default_program)
            verdict = None
            if where.holds(wanted.conditions, seen):
                verdict = again(letter, wanted.policy)
            place = TopicPartition(letter.topic, letter.partition)
            yield Judged(place, letter.offset, seen["id"], verdict)


async def looked_at(topics: Reader, wanted: Wanted) -> Tally:
    """What would go. Raises as `judged` does."""
    tally = Tally()
    async for one in judged(topics, wanted):
        tally.add(one)
    return tally


async def redriven(
    topics: Reader,
    said: Transactions,
    wanted: Wanted,
    pace: BatchPace,
    clock: Clock,
    stop: asyncio.Event,
    tally: Tally,
    told: Callable[[], None],
) -> bool:
    """Whether it has come to the end; or it was stopped, between two transactions.

    Args:
        topics: for the dead letters.
        said: for the questions, and for how far the dead letters are read.
        wanted: which, and what becomes of them.
        pace: of the questions.
        clock: of the pace.
        stop: is set by whoever wants it to end.
        tally: of what is committed, kept up to date.
        told: is called when it has grown.

    Raises:
        KafkaError, ConfigurationError: see `Transactions.say`; what the tally says has gone.
        aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    batch = _Batch(wanted.policy.questions)

    async def say(ends: Mapping[TopicPartition, int]) -> bool:
        """Whether it is said; or it was stopped before."""
        read = {**batch.read, **ends}
        await _unless(stop, pace.waits(clock.monotonic()))
        if stop.is_set():
            return False
        if read:
            await said.say(batch.records, read)
        pace.gone(len(batch.records), clock.monotonic())
        for one in batch.letters:
            tally.add(one)
        batch.clear()
        told()
        return True

    async with aclosing(judged(topics, wanted)) as letters:
        async for one in letters:
            batch.add(one)
            if batch.full(pace.at_once):
                await say({})
            if stop.is_set():
                return False
    # Gaps at an end are read, too.
    return await say({place: s.end for place, s in wanted.stretches.items() if s.start < s.end})


class _Batch:
    """What the next transaction says."""

    def __init__(self, questions: str) -> None:
        self._questions = questions
        self.clear()

    def clear(self) -> None:
        self.letters: list[Judged] = []
        self.records: list[Said] = []
        self.read: dict[TopicPartition, int] = {}
        self._bytes = 0

    def add(self, one: Judged) -> None:
        self.letters.append(one)
        self.read[one.place] = one.offset + 1
        if isinstance(verdict := one.verdict, Question):
            place = TopicPartition(self._questions, verdict.partition)
            self.records.append(Said(place, verdict.key, verdict.value, verdict.headers))
            self._bytes += len(verdict.value or b"")

    def full(self, at_once: int) -> bool:
        too_many = len(self.records) >= at_once or self._bytes >= BYTES_AT_ONCE
        return too_many or len(self.letters) >= LETTERS_AT_ONCE


async def _unless(stop: asyncio.Event, seconds: float) -> None:
    """Waits so long, unless it is stopped."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
