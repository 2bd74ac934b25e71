"""Fetch, pause, resume, commit, and what the group says about partitions."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    OffsetMetadataTooLargeError,
)
from aiokafka.errors import KafkaError as ClientError
from aiokafka.structs import OffsetAndMetadata

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.core.offset_map import DoneBeyond
from penstock.errors import CommitError, KafkaError
from penstock.kafka import metadata, tolerant
from penstock.kafka.codec import Codec, Delivery, Raw

MAX_BATCH = 100
"""Records decoded in one go: decoding more would hold up the token streams of others."""

COMMIT_TIMEOUT = 10.0
LEAVE_TIMEOUT = 5.0
RETRY_SECONDS = 1.0
ANSWER_SECONDS = 2.0
RECOVERY_SECONDS = 7.0
RECOVERY_BACKOFF = 0.2
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 500

log = structlog.get_logger("penstock.kafka")

OnAssigned = Callable[[Mapping[int, int], Mapping[int, DoneBeyond]], None]
OnRevoked = Callable[[frozenset[int]], Awaitable[None]]


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc] # untyped base
    """The questions topic, read as a member of the group."""

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        group_id: str,
        codec: Codec,
        clock: Clock,
        drain: float,
    ) -> None:
        self._topic = topic
        self._group_id = group_id
        self._admin = AIOKafkaAdminClient(**client, client_id="penstock")
        self._codec = codec
        self._clock = clock
        self._epochs: dict[int, int] = {}
        self._epoch = 0
        self._committed: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._committing = asyncio.Lock()
        self._stopping = False
        self.joined = False
        """Whether the group has given us our partitions, which may be none."""
        self._on_assigned: OnAssigned | None = None
        self._on_revoked: OnRevoked | None = None
        self._consumer = AIOKafkaConsumer(
            **client,
            group_id=group_id,
            client_id="penstock",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            # The revoke callback lets running work finish; the group waits for it that long.
            rebalance_timeout_ms=int((drain + 10) * 1000),
            # Records are fetched whether or not questions finish: only a dead loop stops polling.
            max_poll_interval_ms=int((drain + 60) * 1000),
            fetch_max_wait_ms=250,
        )

    async def start(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        await self._admin.start()
        await self._consumer.start()
        self._consumer.subscribe([self._topic], listener=self)

    async def stop(self) -> None:
        """Leaves the group. Everything is released before."""
        self._stopping = True
        await _ended(self._consumer.stop())
        await _ended(self._admin.close())

    async def fetch(self) -> list[Delivery]:
        """Waits for records, for ever.

        Raises:
            KafkaError: reading will not work again without a person, such as for a missing right.
        """
        batches = await self._getmany()
        monotonic, wall = self._clock.monotonic(), self._clock.wall()
        return [
            self._codec.decode(
                RecordId(tp.partition, self._epochs[tp.partition], record.offset),
                _raw(record),
                monotonic,
                wall,
            )
            for tp, records in batches.items()
            if tp.partition in self._epochs
            for record in records
        ]

    async def _getmany(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        undecodable = 0
        rewind = False
        while True:
            try:
                if rewind:
                    await self._rewind()
                    rewind = False
                found: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                    timeout_ms=60_000, max_records=MAX_BATCH
                )
            except UnicodeDecodeError as error:
                undecodable += 1
                # Each partition may hold a batch that the fast parser has begun already.
                if undecodable > len(self._epochs) + 1:
                    raise KafkaError(f"{self._topic}: cannot be decoded: {error}") from error
                log.warning("a header's name is not UTF-8; reading goes on with a slower parser")
                tolerant.install()
            except ClientError as error:
                if not error.retriable:
                    raise KafkaError(f"{self._topic}: {error}") from error
                log.warning("fetching failed and goes on", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                for tp, records in found.items():
                    self._next[tp.partition] = records[-1].offset + 1
                return found
            rewind = True

    async def _rewind(self) -> None:
        """A failed fetch has moved on past records of other partitions that nobody was given."""
        for tp in self._consumer.assignment():
            # The partition may leave meanwhile.
            with contextlib.suppress(IllegalStateError):
                if (offset := self._next.get(tp.partition)) is not None:
                    self._consumer.seek(tp, offset)
                else:
                    await self._consumer.seek_to_beginning(tp)

    def pause(self, partitions: Iterable[int]) -> None:
        self._consumer.pause(*self._mine(partitions))

    def resume(self, partitions: Iterable[int]) -> None:
        self._consumer.resume(*self._mine(partitions))

    async def commit(self, offsets: Mapping[int, int], done: Mapping[int, str]) -> None:
        """One at a time, in the order asked for.

        Args:
            offsets: partition to the next offset to read.
            done: partition to the offset map of what is done beyond.

        Raises:
            CommitError: nothing, or not everything, was committed.
        """
        heads = {
            TopicPartition(self._topic, p): self._head(p, offset, done.get(p, ""))
            for p, offset in offsets.items()
        }
        async with self._committing:
            try:
                async with asyncio.timeout(COMMIT_TIMEOUT):
                    await self._commit(heads)
                    self._committed.update(offsets)
            except (CommitFailedError, IllegalStateError) as error:
                raise CommitError(f"the partitions went to another member: {error}") from error
            except (ClientError, TimeoutError) as error:
                raise CommitError(str(error) or type(error).__name__) from error

    async def _commit(self, heads: dict[TopicPartition, OffsetAndMetadata]) -> None:
        try:
            await self._consumer.commit(heads)
        except OffsetMetadataTooLargeError:
            log.warning("the brokers take less metadata with a commit; offsets alone are committed")
            alone = {tp: OffsetAndMetadata(head.offset, "") for tp, head in heads.items()}
            await self._consumer.commit(alone)

    def _head(self, partition: int, offset: int, done: str) -> OffsetAndMetadata:
        written = metadata.write(done)
        if done and not written:
            log.warning(
                "too much is done beyond the commit to be noted in it; a restart would repeat it",
                partition=partition,
                offset=offset,
            )
        return OffsetAndMetadata(offset, written)

    def lag(self) -> dict[int, int]:
        """Records between our last commit and the end of the log as last seen, per partition."""
        ends = {tp.partition: self._consumer.highwater(tp) for tp in self._consumer.assignment()}
        return {
            partition: max(0, end - self._committed[partition])
            for partition, end in ends.items()
            if end is not None and partition in self._committed
        }

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        partitions = frozenset(tp.partition for tp in revoked)
        if partitions and self._on_revoked is not None:
            await self._on_revoked(partitions)
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._committed.pop(partition, None)
            self._next.pop(partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        partitions = frozenset(assigned)
        # Nothing is fetched before the engine knows what of it is done.
        self._consumer.pause(*partitions)
        recovered = await self._recovered(partitions)
        if recovered is None:
            # Without a heartbeat there is no more time; the group may ask somebody else.
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001 - it has no other door
            return
        for tp in partitions:
            # The client takes some errors for "nothing committed" and would begin anew.
            if (offset := recovered[tp.partition].committed) >= 0:
                self._consumer.seek(tp, offset)
                self._next[tp.partition] = offset
        self.joined = True
        self._epoch += 1
        self._epochs = {tp.partition: self._epoch for tp in partitions}
        if self._on_assigned is not None:
            self._on_assigned(self._epochs, recovered)
        self.resume(self._epochs)

    async def _recovered(
        self, partitions: frozenset[TopicPartition]
    ) -> dict[int, DoneBeyond] | None:
        """What the last commits say is done beyond them; read after the generation began.

        Not to know is not to have nothing: what is done must not be done again. None when it
        cannot be read within the session timeout: nobody sends heartbeats meanwhile.
        """
        until = self._clock.monotonic() + RECOVERY_SECONDS
        while not self._stopping and self._clock.monotonic() < until:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    found = await self._admin.list_consumer_group_offsets(
                        self._group_id, partitions=list(partitions)
                    )
                # The client is silent about some errors; a partition without a commit is named.
                if partitions <= found.keys():
                    return {tp.partition: _done_beyond(tp, found[tp]) for tp in partitions}
                reason = "the answer names not every partition"
            except Exception as error:  # noqa: BLE001 - the client would swallow it, and we stall
                reason = str(error) or type(error).__name__
            log.warning("the last commits cannot be read yet", reason=reason)
            await asyncio.sleep(RECOVERY_BACKOFF)
        return None

    def _mine(self, partitions: Iterable[int]) -> set[TopicPartition]:
        wanted = {TopicPartition(self._topic, partition) for partition in partitions}
        return wanted.intersection(self._consumer.assignment())


async def _ended(stopping: Coroutine[Any, Any, None]) -> None:
    """Waits a while, whatever happens in it: the client lets its own cancellations out."""
    task = asyncio.ensure_future(stopping)
    await asyncio.wait({task}, timeout=LEAVE_TIMEOUT)
    if not task.done():
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("leaving Kafka", error=str(error))


def _done_beyond(tp: TopicPartition, head: OffsetAndMetadata) -> DoneBeyond:
    try:
        return metadata.read(head.offset, head.metadata)
    except ValueError as error:
        log.warning(
            "the last commit's metadata is not ours: nothing beyond its offset counts as done",
            partition=tp.partition,
            reason=str(error),
        )
        return DoneBeyond(head.offset)


def _raw(record: ConsumerRecord) -> Raw:
    return Raw(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )
