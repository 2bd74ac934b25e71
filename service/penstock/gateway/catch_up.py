"""What stands in the topics already, for those who are behind, or came late? Read by a consumer of
its own, one stretch of a partition at a time, for all who wait for something in it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import aclosing

import orjson
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError as ClientError

from penstock.errors import KafkaError
from penstock.events.again import replay_id
from penstock.gateway.index import Place
from penstock.gateway.stream import Said, Stream
from penstock.kafka.stretch import Stretch
from penstock.kafka.tailing import Tail

STRETCH = 10_000
"""Offsets read in one go: who is far behind lets the others have a turn."""

log = structlog.get_logger("penstock.gateway")


def said(record: ConsumerRecord) -> tuple[str, Said] | None:
    """The question's id and what is said of it; None: readers skip what they do not know, and a
    replay says it of another run.
    """
    if replay_id(record.headers) is not None:
        return None
    try:
        body = orjson.loads(record.value)
        question_id, kind, sequence = body["question_id"], body["type"], body["sequence"]
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return None
    if not (isinstance(question_id, str) and isinstance(kind, str) and type(sequence) is int):
        return None
    return question_id, Said(record.partition, record.offset, sequence, kind, record.value)


class CatchUp:
    """Args:
    late: what stands, and nobody else's to read.
    tokens: the topic of token events.
    completions: the topic of completions.
    live: up to which offset of a partition of the tokens the live streams have been told.
    """

    def __init__(
        self, late: Tail, tokens: str, completions: str, live: Callable[[int], int]
    ) -> None:
        self._late = late
        self._tokens = tokens
        self._completions = completions
        self._live = live
        self._behind: deque[Stream] = deque()
        self._wanted: deque[tuple[Place, asyncio.Future[bytes]]] = deque()
        self._something = asyncio.Event()

    def lap(self, stream: Stream) -> None:
        """It has a turn when those before it had theirs."""
        self._behind.append(stream)
        self._something.set()

    async def completion(self, place: Place) -> bytes:
        """Raises KafkaError: it cannot be read, or stands there no more."""
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wanted.append((place, found))
        self._something.set()
        return await found

    def leave(self, stream: Stream) -> None:
        """Nobody reads it any more."""
        stream.leave()
        if stream in self._behind:
            self._behind.remove(stream)

    async def run(self) -> None:
        """For ever. What fails, fails for those who wait for it."""
        while True:
            if self._wanted:
                await self._fetch()
            elif self._behind:
                await self._read_a_stretch()
            else:
                self._something.clear()
                await self._something.wait()

    async def _fetch(self) -> None:
        """One of them of each partition."""
        batch: dict[int, tuple[int, asyncio.Future[bytes]]] = {}
        later: deque[tuple[Place, asyncio.Future[bytes]]] = deque()
        for place, found in self._wanted:
            if found.done():
                continue
            if place.partition in batch:
                later.append((place, found))
            else:
                batch[place.partition] = (place.offset, found)
        self._wanted = later
        stretches = {
            TopicPartition(self._completions, partition): Stretch(offset, offset + 1)
            for partition, (offset, _) in batch.items()
        }
        why = KafkaError("the completion stands in its topic no more")
        try:
            async for record in self._late.read(stretches):
                _, found = batch[record.partition]
                if not found.done():
                    found.set_result(record.value)
        except (ClientError, KafkaError, TimeoutError) as error:
            why = KafkaError(f"the completion cannot be read: {str(error) or type(error).__name__}")
        for _, found in batch.values():
            if not found.done():
                found.set_exception(why)

    async def _read_a_stretch(self) -> None:
        first = self._behind[0]
        partition, start = first.partition, first.next
        live = self._live(partition)
        end = min(start + STRETCH, live)
        riders = [s for s in self._behind if s.partition == partition and s.next >= start]
        taken = [stream for stream in riders if end == live or stream.next < end]
        on_board = {id(stream) for stream in taken}
        self._behind = deque(s for s in self._behind if id(s) not in on_board)
        by_id: dict[str, list[Stream]] = {}
        for stream in taken:
            stream.begin_lap(last=end == live)
            by_id.setdefault(stream.question_id, []).append(stream)
        place = TopicPartition(self._tokens, partition)
        try:
            if start < end:
                await self._feed({place: Stretch(start, end)}, by_id)
        except (ClientError, KafkaError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            log.warning("what was said before cannot be read", partition=partition, reason=why)
            failure = KafkaError(f"what was said before cannot be read: {why}")
            for streams in by_id.values():
                for stream in streams:
                    stream.fail(failure)
            return
        for streams in by_id.values():
            for stream in streams:
                stream.end_lap(end)

    async def _feed(
        self, stretch: Mapping[TopicPartition, Stretch], by_id: dict[str, list[Stream]]
    ) -> None:
        """Who has no more room, or is done, leaves."""
        async with aclosing(self._late.read(stretch)) as records:
            async for record in records:
                found = said(record)
                if found is None or found[0] not in by_id:
                    continue
                for stream in list(by_id[found[0]]):
                    if not stream.fill(found[1]):
                        by_id[found[0]].remove(stream)
                        stream.end_lap(record.offset + 1)
                if not any(by_id.values()):
                    return
