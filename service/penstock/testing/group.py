"""Who reads which partition? A consumer group and its members, in memory, as the service sees them.

The contract suite runs over these and over the real ones, so that what is learnt with them holds.
"""

import asyncio
import math
from collections.abc import Awaitable, Iterable, Mapping

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.facts import Assigned, Head, Heard, RecordId, Recovered
from penstock.core.offset_map import decode
from penstock.errors import LostPartitionsError
from penstock.kafka.codec import Codec, Delivery, Raw
from penstock.kafka.source import MAX_BATCH, Leaving, OnRevoked, Tell
from penstock.kafka.token_tail import Said
from penstock.testing.log import SimulatedLog


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

    def said_before(self, delivery: Delivery) -> Said | None:
        """No run of this group was ever cut off."""

    async def said_until(self, delivery: Delivery, since: float) -> Said | None:
        """As above."""

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
            # This group gives away nothing without asking.
            self._tell(Heard(math.inf))
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
