"""Fetch, pause, resume, commit, and what the group says about partitions.

A partition that arrives stays paused: first what is done of it is found out, beside the heartbeats
and the other partitions, and then whoever listens has to say `resume`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.errors import KafkaError as ClientError
from aiokafka.structs import OffsetAndMetadata

from penstock.clock import Clock
from penstock.core.facts import Assigned, Event, Given, Head, Heard, Reading, RecordId
from penstock.errors import CommitError, FencedError, KafkaError, LostPartitionsError
from penstock.kafka import metadata, tolerant
from penstock.kafka.arrivals import Arrivals
from penstock.kafka.codec import Delivery, Raw, raw
from penstock.kafka.commit import commit
from penstock.kafka.follower import Follower
from penstock.kafka.log_ends import LogEnds
from penstock.kafka.membership import Membership, listen, membership
from penstock.kafka.producer import FLIGHT
from penstock.kafka.pulse import Pulse, ended
from penstock.kafka.recovery import Arrival, Recovery
from penstock.kafka.rights import unreadable
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.stopping import stopped
from penstock.kafka.stretch import in_time
from penstock.kafka.token_tail import Said, TokenTail

MAX_BATCH = 100
"""Records decoded in one go: decoding more would hold up the token streams of others."""

PARTITION_BYTES = 256 * 1024
"""Of one partition in one fetch. What a pause throws away was fetched, and is fetched again: of a
deep backlog most of the client's 1 MiB. A batch that is larger comes all the same, one at a time.
"""

RETRY_SECONDS = 1.0
"""Between two tries to fetch."""

ARRIVAL_SECONDS = 0.2
"""Between two looks at whether a partition has arrived that the client wants to fetch from."""

REBALANCE_MS = 30_000
"""How long the group waits for us to join anew. What a revocation takes at most: a lost run may
take 5 s to end, a publish and a commit in flight and the two tries of the last one 2 s each, a
reader 5 s to stop.
"""

LEAVE_SECONDS = 15.0
MAX_POLL_MS = 120_000
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 500
METADATA_MS = 10_000
"""How soon more partitions are noticed, and a topic that was deleted and is there again."""

NOTICE_MS = 1_000
"""How soon a recovery that cannot work is noticed by who fetches."""

_REFUSED = (repr(TopicAuthorizationFailedError()),)
"""What the client makes of it where it looks for the commit of a partition that has just come."""

ASSIGNORS = {
    "roundrobin": RoundRobinPartitionAssignor,
    "range": RangePartitionAssignor,
    "sticky": StickyPartitionAssignor,
}

log = structlog.get_logger("penstock.kafka")

Tell = Callable[[Event], None]
Settled = Callable[[], Awaitable[None]]


class Leaving(Enum):
    """Why partitions are taken from who has them."""

    ASKED = auto()
    """Another member is to have them, and waits."""
    EVICTED = auto()
    """Another member may have had them for long: nothing can be committed."""
    REPLACED = auto()
    """Their log is another one: what could be committed is not true of it."""


class Decoder(Protocol):
    """See `penstock.kafka.codec.Codec`."""

    def decode(self, record: RecordId, raw: Raw, monotonic: float, wall: float) -> Delivery | None:
        """None: nobody wants it answered."""
        ...


OnRevoked = Callable[[frozenset[int], Leaving], Awaitable[None]]


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc] # untyped base
    """The questions topic, read as a member of the group."""

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        group_id: str,
        codec: Decoder,
        clock: Clock,
        recovery: Recovery,
        writer: str,
        assignor: str = "roundrobin",
        instance_id: str | None = None,
        ends: Mapping[int, int] | None = None,
    ) -> None:
        self._client = client
        self._ends = ends
        self._topic = topic
        self._group_id = group_id
        self._recovery = recovery
        self._writer = writer
        self._codec = codec
        self._clock = clock
        self._epochs: dict[int, int] = {}
        self._epoch = 0
        self._committed: dict[int, int] = {}
        self.committed_at: dict[int, float] = {}
        """When the last commit of a partition was acknowledged; before the first of ours, when we
        learnt of another's. Monotonic seconds.
        """
        self._next: dict[int, int] = {}
        """Behind what was fetched, from where fetching goes on."""
        self._given: dict[int, int] = {}
        """Behind what was given to who fetches."""
        self._over: set[int] = set()
        """The partitions that have been read to their end."""
        self._tails: dict[int, TokenTail] = {}
        self._known: frozenset[int] = frozenset()
        """The partitions that were ours before the last rebalance."""
        self._committing = asyncio.Lock()
        self._member = Membership(-1, "")
        self._arrivals = Arrivals(recovery, self._arrived, self._broken)
        self._failure: KafkaError | None = None
        self._undecodable = 0
        self._left = False
        self._static = instance_id
        self._named_at = 0.0
        self._tried_at: float | None = None
        self.joined = False
        """Whether the group has given us our partitions, which may be none."""
        self._tell: Tell | None = None
        self._settled: Settled | None = None
        self._follower: Follower | None = None
        self._on_revoked: OnRevoked | None = None
        self._consumer = AIOKafkaConsumer(
            **client,
            group_id=group_id,
            group_instance_id=instance_id,
            partition_assignment_strategy=_assignors(assignor),
            client_id="penstock",
            enable_auto_commit=False,
            # A log that does not have our offset any more is looked into; see `_out_of_range`.
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            # Records are fetched whether or not questions finish: only a dead loop stops polling.
            max_poll_interval_ms=MAX_POLL_MS,
            metadata_max_age_ms=METADATA_MS,
            fetch_max_wait_ms=250,
            max_partition_fetch_bytes=PARTITION_BYTES,
        )
        self._log_ends = LogEnds(self._consumer)

    async def start(
        self, tell: Tell, on_revoked: OnRevoked, settled: Settled | None = None
    ) -> None:
        """`settled` returns when what we have given up can arrive no more."""
        self._tell = tell
        self._settled = settled
        self._on_revoked = on_revoked
        self._follower = Follower(self._client, self._clock, self._recovery.completions, tell)
        await self._recovery.start()
        await self._consumer.start()
        listen(self._consumer, self._static, self._clock, self)
        self.tries(self._clock.monotonic())
        self._consumer.subscribe([self._topic], listener=self)
        self._log_ends.start()

    async def leave(self) -> None:
        """The group. Everything is released before; what still runs goes on."""
        if not self._left:
            self._left = True
            await self._arrivals.close()
            await self._log_ends.stop()
            if self._settled is not None:
                await self._settled()
            # In the middle of a join it waits for the others; cut short, the group would miss us
            # only a session timeout later.
            await stopped(self._consumer.stop(), LEAVE_SECONDS)

    def pulse(self) -> Pulse | None:
        """None: it is to be no member, not yet or no more."""
        if self._left or self._tried_at is None:
            return None
        return Pulse(ended(self._consumer), self._tried_at)

    @property
    def arriving(self) -> frozenset[int]:
        """The partitions of ours of which it is being found out what is done."""
        return self._arrivals.partitions

    def member_id(self) -> str:
        """As the group knows us, or has known us last; empty before it does."""
        return self._member.member_id

    async def alone(self) -> bool:
        """Whether the group has no other member."""
        return await self._recovery.members() <= 1

    async def stop(self) -> None:
        await self.leave()
        if self._follower is not None:
            await self._follower.stop()
        await stopped(self._recovery.stop())

    async def fetch(self) -> list[Delivery]:
        """Waits for records, for ever.

        Raises:
            KafkaError: reading will not work again without a person, such as for a missing right.
        """
        batches = await self._getmany()
        monotonic, wall = self._clock.monotonic(), self._clock.wall()
        deliveries = []
        for tp, records in batches.items():
            if (epoch := self._epochs.get(tp.partition)) is None:
                continue
            for record in self._within(tp, records):
                place = RecordId(tp.partition, epoch, record.offset)
                if delivery := self._codec.decode(place, raw(record), monotonic, wall):
                    deliveries.append(delivery)
                    self._given[tp.partition] = record.offset + 1
        return deliveries

    def _within(self, tp: TopicPartition, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Those before the end that we go to, if there is one."""
        if self._ends is None:
            return records
        end = self._ends.get(tp.partition, 0)
        if records[-1].offset + 1 >= end:
            # The rest is not fetched for nothing.
            self._over.add(tp.partition)
            self.pause([tp.partition])
        return [record for record in records if record.offset < end]

    def said_before(self, delivery: Delivery) -> Said | None:
        """What a run of the question, which a crash has cut off, had said."""
        record = delivery.record
        tail = self._tails.get(record.partition)
        if tail is None:
            return None
        if record.offset >= tail.below:
            # Whoever has come so far needs it no more.
            del self._tails[record.partition]
        return tail.before(record.offset, delivery.question_id, delivery.timestamp)

    async def said_until(self, delivery: Delivery, since: float) -> Said | None:
        """What another process had said of it, which has not run it since then."""
        return await self._recovery.said_until(delivery, since)

    def follow(self, partitions: Mapping[int, tuple[int, int]]) -> None:
        """See `penstock.core.facts.Follow`."""
        if self._follower is not None:
            self._follower.follow(partitions)

    async def _getmany(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        while True:
            if self._failure is not None:
                raise self._failure
            if self._left:
                # Nothing comes any more, and that is as it should be.
                await asyncio.get_running_loop().create_future()
            try:
                found: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                    timeout_ms=NOTICE_MS, max_records=MAX_BATCH
                )
            except (ClientError, UnicodeDecodeError) as error:
                # Who is fenced is refused with an error of no name.
                if not self._left and self._failure is None:
                    await self._survive(error)
                continue
            self._undecodable = 0
            for tp, records in found.items():
                self._next[tp.partition] = records[-1].offset + 1
            if found:
                return found

    async def _survive(self, error: ClientError | UnicodeDecodeError) -> None:
        """Returns when fetching may be tried again."""
        if isinstance(error, NoOffsetForPartitionError):
            # A partition arrives just now, and where it begins is being found out.
            await asyncio.sleep(ARRIVAL_SECONDS)
            return
        if isinstance(error, OffsetOutOfRangeError):
            for tp, offset in error.args[0].items():
                await self._out_of_range(tp, offset)
            return
        if isinstance(error, UnicodeDecodeError):
            self._undecodable += 1
            # Each partition may hold a batch that the fast parser has begun already.
            if self._undecodable > len(self._epochs) + 1:
                raise KafkaError(f"{self._topic}: cannot be decoded: {error}") from error
            log.warning("a header's name is not UTF-8; reading goes on with a slower parser")
            tolerant.install()
        elif isinstance(error, FORBIDDEN):
            raise KafkaError(unreadable(error, self._topic)) from error
        elif error.args == _REFUSED:
            refused = TopicAuthorizationFailedError(self._topic)
            raise KafkaError(unreadable(refused, self._topic)) from error
        elif error.retriable:
            log.warning("fetching failed and goes on", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            raise KafkaError(f"{self._topic}: {error}") from error
        self._rewind()

    def _rewind(self) -> None:
        """A failed fetch has moved on past records of other partitions that nobody was given."""
        for partition, offset in self._next.items():
            # The partition may leave meanwhile.
            with contextlib.suppress(IllegalStateError):
                self._consumer.seek(TopicPartition(self._topic, partition), offset)

    async def _out_of_range(self, tp: TopicPartition, offset: int) -> None:
        """The log does not have the offset where we are."""
        epoch = self._epochs.get(tp.partition)
        if epoch is None or tp.partition in self._arrivals or not self._mine([tp.partition]):
            return
        try:
            position = await in_time(self._consumer.position(tp))
            begin = (await in_time(self._consumer.beginning_offsets([tp])))[tp]
            end = (await in_time(self._consumer.end_offsets([tp])))[tp]
        except (ClientError, TimeoutError) as error:
            log.warning("fetching failed and goes on", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return
        if self._epochs.get(tp.partition) != epoch or not self._mine([tp.partition]):
            # It has left meanwhile.
            return
        if position != offset or begin <= offset <= end:
            await asyncio.sleep(RETRY_SECONDS)
        elif offset > end:
            # It was truncated, or is another topic by the same name.
            if self._ends is not None:
                self._broken(
                    KafkaError(
                        f"{self._topic}/{tp.partition} ends at {end} and was read up to {offset}: "
                        "it is another log than this was begun on"
                    )
                )
                return
            self._consumer.pause(tp)
            replaced = frozenset({tp.partition})
            leaving = partial(self._take, replaced, Leaving.REPLACED)
            self._arrivals.begin(replaced, after=leaving, anew=True)
        else:
            self._recovery.retention_took(tp.partition, begin - offset)
            self._next[tp.partition] = begin
            self._rewind()

    def pause(self, partitions: Iterable[int]) -> None:
        self._consumer.pause(*self._mine(partitions))

    def resume(self, partitions: Iterable[int]) -> None:
        self._consumer.resume(*self._mine(set(partitions) - self._over))

    async def commit(self, heads: Mapping[int, Head]) -> None:
        """One at a time, in the order asked for, under the generation that gave the partitions.

        Raises:
            LostPartitionsError: the group has given them to others.
            CommitError: nothing, or not everything, was committed, or nobody knows.
        """
        async with self._committing:
            if lost := heads.keys() - self._epochs.keys():
                # The group itself would take it from any of its members.
                raise LostPartitionsError(f"{self._topic}/{min(lost)} went to another member")
            member = self._member
            try:
                async with asyncio.timeout(FLIGHT):
                    said = {
                        TopicPartition(self._topic, partition): OffsetAndMetadata(
                            await self._committable(partition, head),
                            metadata.write(head, self._writer, self._clock.monotonic()),
                        )
                        for partition, head in heads.items()
                    }
                    await commit(self._consumer, self._group_id, member, said)
            except TimeoutError as error:
                raise CommitError(f"no answer within {FLIGHT:g} s") from error
            self._committed.update({tp.partition: head.offset for tp, head in said.items()})
            self.committed_at.update(dict.fromkeys(heads, self._clock.monotonic()))

    async def _committable(self, partition: int, head: Head) -> int:
        """The offset, or where all is done that was read, the end: behind the last record there
        may be a transaction's marker, which nobody is ever given.
        """
        if head.done or head.runs:
            # They count from here.
            return head.offset
        end = self._committed.get(partition, 0)
        if head.offset == self._given.get(partition) and self._mine([partition]):
            end = await self._consumer.position(TopicPartition(self._topic, partition))
            if self._ends is not None:
                end = min(end, self._ends.get(partition, 0))
        return max(head.offset, end)

    def lag(self) -> dict[int, int]:
        """Records between our last commit and the end of the log as last seen, per partition."""
        ends = {tp.partition: self._log_ends.end(tp) for tp in self._consumer.assignment()}
        return {
            partition: max(0, end - self._committed[partition])
            for partition, end in ends.items()
            if end is not None and partition in self._committed
        }

    def readings(self) -> dict[int, Reading]:
        """Those that are known by now, per partition."""
        found = {}
        for tp in self._mine(self._epochs):
            partition, end = tp.partition, self._log_ends.readable(tp)
            position = self._log_ends.position(tp)
            if end is not None and position is not None:
                if self._ends is not None:
                    end = min(end, self._ends.get(partition, 0))
                given = self._given[partition]
                found[partition] = Reading(self._epochs[partition], given, position, end)
        return found

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._arrivals.stop()
        # What has not arrived nobody was told of, and its last commit stands.
        told = frozenset(tp.partition for tp in revoked) & self._epochs.keys()
        evicted = membership(self._consumer).generation != self._member.generation
        await self._take(told, Leaving.EVICTED if evicted else Leaving.ASKED)
        self._known = told

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._member = membership(self._consumer)
        self._consumer.pause(*assigned)
        self.joined = self.joined or not assigned
        numbers = frozenset(tp.partition for tp in assigned)
        if self._tell is not None:
            self._tell(Given(numbers))
        # Of those that stay all is known at once; they do not wait for the others.
        ended = self._predecessor_has_ended
        self._arrivals.begin(numbers & self._known, after=ended, known=True)
        self._arrivals.begin(numbers - self._known, after=ended)

    async def _predecessor_has_ended(self) -> None:
        """A static member takes over at once from a process that may still run. Until then the
        group may have answered that one, which says nothing more a margin before one session
        timeout has passed.
        """
        if self._static is not None:
            left = self._named_at + SESSION_TIMEOUT_MS / 1000 - self._clock.monotonic()
            if left > 0:
                log.info("waiting for whoever was this static member before", seconds=round(left))
                await asyncio.sleep(left)

    def named(self, at: float) -> None:
        self._named_at = at

    def heard(self, sent_at: float, *, rebalancing: bool) -> None:
        if self._tell is not None:
            self._tell(Heard(sent_at, rebalancing))

    def fenced(self) -> None:
        self._broken(
            FencedError(
                f"another process is the static member {self._static!r} now; give every replica a "
                "KAFKA__GROUP_INSTANCE_ID of its own"
            )
        )

    def tries(self, at: float) -> None:
        self._tried_at = at

    def joins(self) -> bool:
        """Not who is fenced: to join anew would fence the other in turn."""
        return not isinstance(self._failure, FencedError)

    async def _take(self, partitions: frozenset[int], why: Leaving) -> None:
        """From who has them now."""
        if partitions and self._on_revoked is not None:
            await self._on_revoked(partitions, why)
            if self._settled is not None:
                await self._settled()
        for partition in partitions:
            del self._epochs[partition], self._next[partition], self._given[partition]
            self._over.discard(partition)
            self._committed.pop(partition, None)
            self.committed_at.pop(partition, None)
            self._log_ends.forget(TopicPartition(self._topic, partition))
            self._tails.pop(partition, None)
            self._recovery.forget(partition)

    def _arrived(self, found: dict[int, Arrival]) -> None:
        self._epoch += 1
        self.joined = True
        for partition, arrival in found.items():
            offset = arrival.recovered.done.committed
            self._consumer.seek(TopicPartition(self._topic, partition), offset)
            self._next[partition] = self._given[partition] = offset
            if self._ends is not None and offset >= self._ends.get(partition, 0):
                self._over.add(partition)
            self._epochs[partition] = self._epoch
            self.committed_at[partition] = self._clock.monotonic()
            self._tails[partition] = arrival.tail
        if self._tell is not None:
            epochs = dict.fromkeys(found, self._epoch)
            recovered = {partition: arrival.recovered for partition, arrival in found.items()}
            self._tell(Assigned(epochs, recovered))

    def _broken(self, failure: KafkaError) -> None:
        self._failure = failure

    def _mine(self, partitions: Iterable[int]) -> set[TopicPartition]:
        wanted = {TopicPartition(self._topic, partition) for partition in partitions}
        return wanted.intersection(self._consumer.assignment())


def _assignors(wanted: str) -> list[type]:
    """One: of several, the client joins with the first, then anew with the first two."""
    return [ASSIGNORS[wanted]]
