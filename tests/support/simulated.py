"""Kafka in memory, as far as the service sees it: topics, a consumer group, a source and a sink.

The contract suite runs over these and over the real ones, so that what is learnt with them holds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.facts import Assigned, Head, RecordId, Recovered
from penstock.core.failure import Failure
from penstock.core.offset_map import decode
from penstock.errors import LostPartitionsError, TooLargeError
from penstock.events import envelope
from penstock.events.completion import Completion
from penstock.events.dead_letter import Cause, Tried, dead_letter_headers
from penstock.events.envelope import Headers
from penstock.kafka.codec import Codec, Delivery, Raw
from penstock.kafka.sink import Target, TokenSender, _key
from penstock.kafka.source import MAX_BATCH, Leaving, OnRevoked, Tell


class SimulatedLog:
    """Partitions of topics: lists of records, whose places in them are their offsets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: defaultdict[tuple[str, int], list[Raw]] = defaultdict(list)
        self._grown = asyncio.Event()

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> Raw:
        records = self._records[topic, partition]
        at = int(self._clock.wall() * 1000)
        records.append(Raw(topic, partition, len(records), at, key, value, tuple(headers)))
        self.stir()
        return records[-1]

    def read(self, topic: str, partition: int, offset: int = 0, most: int = MAX_BATCH) -> list[Raw]:
        return self._records[topic, partition][offset : offset + most]

    def stir(self) -> None:
        """Wakes who waits, to look again."""
        self._grown.set()
        self._grown = asyncio.Event()

    async def stirred(self) -> None:
        await self._grown.wait()


class SimulatedGroup:
    """Gives partitions to members: all are taken from all of them first, then dealt anew."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.generation = 0
        self.heads: dict[int, Head] = {}
        self._members: list[SimulatedSource] = []
        self._rebalancing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, member: "SimulatedSource") -> None:
        self._members.append(member)
        self._spawn(self._rebalance())

    def leave(self, member: "SimulatedSource") -> None:
        self._members.remove(member)
        self._spawn(self._rebalance())

    def commit(self, member: "SimulatedSource", heads: Mapping[int, Head]) -> None:
        if member.generation != self.generation or not heads.keys() <= member.positions.keys():
            raise LostPartitionsError("the partitions went to another member")
        self.heads.update(heads)

    async def _rebalance(self) -> None:
        async with self._rebalancing:
            members = list(self._members)
            await asyncio.gather(*(member.revoke() for member in members))
            self.generation += 1
            for number, member in enumerate(members):
                member.assign(range(number, self.partitions, len(members)))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class SimulatedSource:
    """A member of the group; the methods of `KafkaSource`."""

    def __init__(
        self, log: SimulatedLog, topic: str, group: SimulatedGroup, codec: Codec, clock: Clock
    ) -> None:
        self.generation = -1
        self.positions: dict[int, int] = {}
        """Of the partitions it has, the offset it reads next."""
        self._log = log
        self._topic = topic
        self._group = group
        self._codec = codec
        self._clock = clock
        self._paused: set[int] = set()
        self._left = False
        self._tell: Tell | None = None
        self._on_revoked: OnRevoked | None = None

    async def start(self, tell: Tell, on_revoked: OnRevoked) -> None:
        self._tell, self._on_revoked = tell, on_revoked
        self._group.join(self)

    async def leave(self) -> None:
        if not self._left:
            self._left = True
            self._group.leave(self)
            self.positions = {}

    async def stop(self) -> None:
        await self.leave()

    def follow(self, partitions: Mapping[int, tuple[int, int]]) -> None:
        """Nothing runs elsewhere: a head that says so is none of this group's."""

    async def fetch(self) -> list[Delivery]:
        while not (found := self._take()):
            await self._log.stirred()
        monotonic, wall = self._clock.monotonic(), self._clock.wall()
        return [
            self._codec.decode(
                RecordId(raw.partition, self.generation, raw.offset), raw, monotonic, wall
            )
            for raw in found
        ]

    def pause(self, partitions: Iterable[int]) -> None:
        self._paused |= self.positions.keys() & set(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self._paused -= set(partitions)
        self._log.stir()

    async def commit(self, heads: Mapping[int, Head]) -> None:
        self._group.commit(self, heads)

    async def revoke(self) -> None:
        if self.positions and self._on_revoked is not None:
            await self._on_revoked(frozenset(self.positions), Leaving.ASKED)
        self.positions = {}
        self._paused = set()

    def assign(self, partitions: Iterable[int]) -> None:
        self.generation = self._group.generation
        nothing = Head(0, "", Bookmark(0, self._group.partitions))
        heads = {partition: self._group.heads.get(partition, nothing) for partition in partitions}
        self.positions = {partition: head.offset for partition, head in heads.items()}
        self._paused = set(self.positions)
        if self._tell is not None:
            recovered = {
                partition: Recovered(
                    decode(head.offset, head.done),
                    Claims(head.offset),
                    head.bookmark,
                    head.bookmark,
                )
                for partition, head in heads.items()
            }
            epochs = dict.fromkeys(self.positions, self.generation)
            self._tell(Assigned(epochs, recovered))
        self._log.stir()

    def _take(self) -> list[Raw]:
        found: list[Raw] = []
        for partition in self.positions.keys() - self._paused:
            offset, room = self.positions[partition], MAX_BATCH - len(found)
            records = self._log.read(self._topic, partition, offset, room)
            self.positions[partition] = offset + len(records)
            found += records
        return found


@dataclass
class SimulatedSink:
    """The methods of `KafkaSink`. All is acknowledged at once."""

    log: SimulatedLog
    group_id: str
    tokens: Target
    completions: Target
    dead_letters: Target
    clock: Clock
    source: str = "/penstock/simulated"

    def token_sender(self, delivery: Delivery) -> TokenSender:
        async def send(value: bytes, sequence: int) -> "asyncio.Future[Raw]":
            headers = self._headers(envelope.TOKEN, f"{sequence}", delivery)
            done: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
            done.set_result(self._put(self.tokens, delivery, _key(delivery), value, headers))
            return done

        return send

    async def completion(self, delivery: Delivery, completion: Completion) -> int | None:
        value = completion.model_dump_json().encode()
        headers = self._headers(envelope.COMPLETION, "completion", delivery)
        return self._put(self.completions, delivery, _key(delivery), value, headers).offset

    async def dead_letter(
        self, delivery: Delivery, failure: Failure, attempts: int, tried: Sequence[Tried] = ()
    ) -> int | None:
        raw = delivery.raw
        cause = Cause(
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            timestamp=raw.timestamp_ms,
            group=self.group_id,
            attempts=attempts,
            kind=failure.kind,
            code=failure.code,
            stage=failure.stage,
            message=failure.message,
            at=envelope.rfc3339(self.clock.wall()),
            tried=tried,
        )
        headers = dead_letter_headers(raw.headers, cause)
        return self._put(self.dead_letters, delivery, raw.key, raw.value, tuple(headers)).offset

    def _headers(self, type_: str, name: str, delivery: Delivery) -> Headers:
        raw = delivery.raw
        event_id = f"{raw.topic}/{raw.partition}/{raw.offset}/{name}"
        forwarded = delivery.forwarded
        return tuple(envelope.headers(type_, event_id, self.source, self.clock.wall(), forwarded))

    def _put(
        self,
        target: Target,
        delivery: Delivery,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> Raw:
        said = (key, value, *(part for name, body in headers for part in (name, body)))
        if sum(len(part or b"") for part in said) > target.limit:
            raise TooLargeError(f"{target.topic}: the record is larger than {target.limit} bytes")
        partition = delivery.raw.partition % target.partitions
        return self.log.append(target.topic, partition, key, value, headers)
