"""The dead letters, as an operator has them before him: the newest first, one whole, one again."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from penstock.errors import ConfigurationError
from penstock.events import dead_letter
from penstock.gateway.problem import ProblemError
from penstock.gateway.reach import Reach, Reached
from penstock.kafka import codec
from penstock.kafka.codec import Raw
from penstock.kafka.rights import READ, WRITE
from penstock.replay import letters, redrive_one, view
from penstock.replay.newest import Bounds, Page, newest
from penstock.replay.redrive import Elsewhere, Refused
from penstock.replay.redrive_one import Before, Meanwhile, Went
from penstock.replay.where import Condition, holds

READ_AT_MOST = 5_000
"""Records for one page: of few that are wanted a page has fewer, and not all at once."""
SECONDS = 5.0

MESSAGE_CHARACTERS = 500
"""Of the message in a list; one letter has it whole."""


class Letter(NamedTuple):
    """`view`: see `penstock.replay.view`."""

    raw: Raw
    view: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """What a list says of it."""
        tried = dead_letter.attempts(self.raw.headers)
        message = dead_letter.message(self.raw.headers)
        return {
            "partition": self.raw.partition,
            "offset": self.raw.offset,
            "at": self.raw.timestamp_ms,
            "question_id": self.view["id"],
            "kind": self.view["kind"],
            "code": self.view["code"],
            "message": None if message is None else message[:MESSAGE_CHARACTERS],
            "attempts": _last(tried),
            "redrives": self.view["redrives"],
            "program": self.view["program"],
        }

    def whole(self) -> dict[str, Any]:
        """All that is known of it; keys, values and headers as bytes where they are no text."""
        headers = self.raw.headers
        return {
            **self.row(),
            "message": dead_letter.message(headers),
            "stage": self.view["stage"],
            "tried": dead_letter.attempts(headers),
            "key": letters.legible(self.raw.key),
            "value": letters.legible(self.raw.value),
            "headers": [(name, letters.legible(value)) for name, value in headers],
            "source": letters.origin(self.raw),
        }


class Letters:
    """Args:
    reach: to Kafka.
    default_program: tells which one answers whoever names none.
    """

    def __init__(self, reach: Reach, default_program: Callable[[], str]) -> None:
        self._reach = reach
        self._default_program = default_program
        self._redriving: set[tuple[int, int]] = set()

    async def newest(
        self, conditions: tuple[Condition, ...], limit: int, ends: Mapping[int, int] | None
    ) -> Page[dict[str, Any]]:
        """A page of rows. `ends`: that the page before has given.

        Raises:
            ProblemError: they cannot be read.
        """

        def take(record: ConsumerRecord) -> dict[str, Any] | None:
            # Values may be large: what is kept is the row alone.
            letter = self._letter(codec.raw(record))
            return letter.row() if holds(conditions, letter.view) else None

        async with self._read() as kafka:
            places = self._places(kafka)
            whole = await kafka.reader.whole(places)
            bounds = Bounds(limit, READ_AT_MOST, SECONDS)
            return await newest(kafka.reader, whole, ends, take, bounds, self._reach.clock)

    async def one(self, partition: int, offset: int) -> dict[str, Any]:
        """Raises ProblemError: there is none (404), or it cannot be read."""
        async with self._read() as kafka:
            return self._letter(await self._at(kafka, partition, offset)).whole()

    async def redrive(self, partition: int, offset: int) -> tuple[Went, str]:
        """Where it is a question again, and the question's id.

        Raises:
            ProblemError: there is no such letter (404); it is none that goes, or has gone before
                (409); it cannot be done now.
        """
        names = self._reach.topics
        wanted = {
            names.dead_letters: [READ],
            names.questions: [READ, WRITE],
            names.control: [READ, WRITE],
        }
        with self._alone(partition, offset):
            async with self._reach.kafka(wanted) as kafka:
                raw = await self._at(kafka, partition, offset)
                outcome = await redrive_one.redriven(
                    kafka.connection,
                    kafka.reader,
                    self._reach.client,
                    names,
                    kafka.topics[names.questions].partitions,
                    await self._reach.control(kafka.reader),
                    raw,
                    self._reach.clock,
                )
            return _gone(outcome), self._letter(raw).view["id"]

    @contextmanager
    def _alone(self, partition: int, offset: int) -> Iterator[None]:
        """Two clicks are one."""
        if (place := (partition, offset)) in self._redriving:
            raise _meanwhile()
        self._redriving.add(place)
        try:
            yield
        finally:
            self._redriving.discard(place)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Reached]:
        async with self._reach.kafka({self._reach.topics.dead_letters: [READ]}) as kafka:
            yield kafka

    def _places(self, kafka: Reached) -> list[TopicPartition]:
        topic = kafka.topics[self._reach.topics.dead_letters]
        return [TopicPartition(topic.name, number) for number in range(topic.partitions)]

    async def _at(self, kafka: Reached, partition: int, offset: int) -> Raw:
        places = self._places(kafka)
        if partition >= len(places):
            raise _unknown(f"the dead letters have the partitions 0 to {len(places) - 1}")
        try:
            return await letters.read(kafka.reader, places[partition], offset)
        except ConfigurationError as error:
            raise _unknown(str(error)) from error

    def _letter(self, raw: Raw) -> Letter:
        return Letter(raw, view.of_dead_letter(raw, self._default_program()))


def _last(tried: list[dict[str, Any]]) -> int:
    """The number of the last attempt."""
    number = tried[-1].get("attempt") if tried else 0
    return number if isinstance(number, int) else len(tried)


def _gone(outcome: Went | Before | Meanwhile | Refused | Elsewhere) -> Went:
    match outcome:
        case Went():
            return outcome
        case Before(went):
            where = "" if went is None else f": it is {went.topic} {went.partition}/{went.offset}"
            raise ProblemError(
                409,
                "redriven_before",
                f"it was put back to the questions before{where}",
                question=None if went is None else went._asdict(),
            )
        case Meanwhile():
            raise _meanwhile()
        case Refused(reason):
            raise ProblemError(409, "not_redrivable", f"it does not go back: {reason}")
        case Elsewhere(topic):
            raise ProblemError(409, "not_redrivable", f"it was a question on {topic}")


def _meanwhile() -> ProblemError:
    return ProblemError(409, "redriven_meanwhile", "somebody else puts it back just now")


def _unknown(why: str) -> ProblemError:
    return ProblemError(404, "unknown_dead_letter", why)
