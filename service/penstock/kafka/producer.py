"""A producer that says nothing of what is no longer ours to say.

The client sends a queued batch again and again, for hours if need be, and after the process was
stopped in the middle. So whose record it is, is looked at three times: before it is queued, at the
very moment it is written to a socket, and for as long as nobody has acknowledged it.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.produce import ProduceRequest

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.errors import PublishError, UnknownOutcomeError
from penstock.kafka.stopping import cancelled

FLIGHT = 2.0
"""Seconds a request of ours may stay on its way."""

MARGIN = 3.0
"""Seconds after which nothing arrives of what was to be there before; more than `FLIGHT`."""

LOOK = 0.05
"""Seconds between two looks at whether what waits may be said, or may not any more."""

REQUEST_MS = 10_000
NEVER_MS = 10**9
STOP_SECONDS = 5.0
"""The client itself would wait for ever for brokers that are away."""
AGAIN_SECONDS = 1.0

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""

SpeaksUntil = Callable[[RecordId], float | None]
"""Monotonic seconds; None: nothing may be said of it any more."""

log = structlog.get_logger("penstock.kafka")


class Producer:
    """Idempotent, and replaced when it has to forget what it has queued."""

    def __init__(
        self, client: Mapping[str, Any], batch_bytes: int, clock: Clock, speaks_until: SpeaksUntil
    ) -> None:
        self._options = {
            **client,
            "client_id": "penstock",
            "acks": "all",
            "enable_idempotence": True,
            "request_timeout_ms": REQUEST_MS,
            # Topics have their limits, which are looked at before; this would only hide them.
            "max_request_size": 2**30,
            "max_batch_size": batch_bytes,
        }
        self._clock = clock
        self._speaks_until = speaks_until
        self._unheard: dict[TopicPartition, dict[asyncio.Future[Any], RecordId]] = {}
        self._waiting: dict[asyncio.Future[None], RecordId] = {}
        self._meeting: set[asyncio.Future[Any]] = set()
        """What waits for the client to know a topic."""
        self._lapsed: set[TopicPartition] = set()
        self._up = asyncio.Event()
        self._killed_at = -math.inf
        self._stopped = False
        self._replacing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._client = self._made()

    async def start(self) -> None:
        await self._client.start()
        self._up.set()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Everything that matters is acknowledged before. The rest must not arrive any more, when
        somebody else may answer: the client's own `stop` would send it now.
        """
        self._stopped = True
        for task in (self._watching, self._replacing):
            if task is not None:
                task.cancel()
        await _dead(self._abort())

    async def send(
        self, record: RecordId, tp: TopicPartition, said: Record
    ) -> "asyncio.Future[Any]":
        """Hands over what is said of a question; the future is its acknowledgement, or an
        `UnknownOutcomeError`.

        Raises:
            PublishError: it is not ours to say any more.
            aiokafka.errors.KafkaError: it was refused.
        """
        while True:
            while not (self._up.is_set() and self._may_be_queued(record)):
                await self._turn(record)
            if self._client.client.cluster.partitions_for_topic(tp.topic) is not None:
                break
            await self._meet(tp.topic)
        key, value, headers = said
        sent: asyncio.Future[Any] = await self._client.send(
            tp.topic, value, key, tp.partition, headers=headers
        )
        unheard = self._unheard.setdefault(tp, {})
        unheard[sent] = record
        sent.add_done_callback(partial(self._heard, unheard))
        return sent

    def _heard(
        self, unheard: dict[asyncio.Future[Any], RecordId], sent: "asyncio.Future[Any]"
    ) -> None:
        unheard.pop(sent, None)
        error = None if sent.cancelled() else sent.exception()
        if error is not None and not isinstance(error, UnknownOutcomeError):
            # It leaves a gap in the producer's numbers, for which all that follow are refused.
            log.warning("Kafka has refused a record", error=str(error))
            self._replace()

    def forget(self, record: RecordId) -> None:
        """Nothing that is queued of it may arrive any more."""
        if any(record in unheard.values() for unheard in self._unheard.values()):
            log.warning(
                "what was on its way to Kafka is given up: another member has the question",
                partition=record.partition,
                offset=record.offset,
            )
            self._replace()

    async def settled(self) -> None:
        """Returns when nothing is on its way any more of what was given up."""
        await asyncio.sleep(max(0.0, self._killed_at + FLIGHT - self._clock.monotonic()))

    def healthy(self) -> bool:
        """False when nobody lets go on any more who waits."""
        replacing = self._replacing is not None and not self._replacing.done()
        watching = self._watching is not None and not self._watching.done()
        return watching and (self._up.is_set() or replacing)

    async def reaches_kafka(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return bool(await self._client.client.force_metadata_update())
        except (ClientError, TimeoutError):
            return False

    # --- what may be said -----------------------------------------------------------------------

    def _may_be_queued(self, record: RecordId) -> bool:
        """With the time it may take to arrive."""
        until = self._speaks_until(record)
        if until is None:
            raise PublishError("another member has the question")
        return self._clock.monotonic() + FLIGHT <= until

    def _covered(self, tp: TopicPartition) -> bool:
        """Whether all that is queued for this partition may arrive now."""
        now = self._clock.monotonic()
        for record in self._unheard.get(tp, {}).values():
            until = self._speaks_until(record)
            if until is None or until <= now:
                return False
        return True

    async def _turn(self, record: RecordId) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = record
        try:
            await turn
        finally:
            del self._waiting[turn]

    async def _meet(self, topic: str) -> None:
        """The client itself would wait for ever once it is given up."""
        client = self._client
        meeting = asyncio.ensure_future(client.client._wait_on_metadata(topic))  # noqa: SLF001
        self._meeting.add(meeting)
        try:
            await meeting
        except asyncio.CancelledError:
            if cancelled():
                raise
            raise _given_up() from None
        finally:
            self._meeting.discard(meeting)

    async def _watch(self) -> None:
        """Looks often: who is frozen and wakes has missed the moment."""
        while True:
            await asyncio.sleep(LOOK)
            sender = self._client._sender.sender_task  # noqa: SLF001 - no public way to ask
            if self._up.is_set() and sender.done():
                log.warning("the producer has died; another one takes its place")
                self._replace()
                await asyncio.sleep(AGAIN_SECONDS)
            for turn, record in list(self._waiting.items()):
                self._look(turn, record)
            self._give_up_what_has_lapsed()

    def _give_up_what_has_lapsed(self) -> None:
        """It may lie in a buffer, and would leave when nobody expects it. Queued it stays."""
        lapsed = {tp for tp, unheard in self._unheard.items() if unheard and not self._covered(tp)}
        if lapsed - self._lapsed:
            _abort_connections(self._client)
        self._lapsed = lapsed

    def _look(self, turn: "asyncio.Future[None]", record: RecordId) -> None:
        try:
            if not turn.done() and self._up.is_set() and self._may_be_queued(record):
                turn.set_result(None)
        except PublishError as error:
            turn.set_exception(error)

    # --- one client after the other -------------------------------------------------------------

    def _made(self) -> AIOKafkaProducer:
        made = AIOKafkaProducer(**self._options)
        send = made.client.send

        async def send_if_covered(
            node_id: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
        ) -> Any:
            if isinstance(request, ProduceRequest):
                topics = request._topics  # noqa: SLF001 - there is no public way
                tps = [TopicPartition(t, number) for t, parts in topics for number, _ in parts]
                while True:
                    if self._stopped or made is not self._client:
                        raise NodeNotReadyError("given up")
                    if all(map(self._covered, tps)):
                        if not await made.client.ready(node_id, group=group):
                            raise NodeNotReadyError(f"node {node_id}")
                        # Connected, nothing comes between this look and the socket but the
                        # time to write the request down, and whatever stops the process in it.
                        current = made is self._client and not self._stopped
                        if current and all(map(self._covered, tps)):
                            connection = made.client._conns[node_id, group]  # noqa: SLF001
                            self._look_again(connection._writer, tps)  # noqa: SLF001
                            break
                    await asyncio.sleep(LOOK)
            return await send(node_id, request, group=group)

        made.client.send = send_if_covered
        # What is queued waits as long as the brokers are away, and so does who waits for room: a
        # batch that is given up leaves a gap in the producer's numbers, for which all that follow
        # are refused.
        made._request_timeout_ms = NEVER_MS  # noqa: SLF001
        made._message_accumulator._batch_ttl = NEVER_MS  # noqa: SLF001
        return made

    def _look_again(self, writer: Any, tps: Iterable[TopicPartition]) -> None:
        """As the very last thing before the next request leaves."""

        def write(request: bytes) -> None:
            del writer.write
            if not all(map(self._covered, tps)):
                # The client sends it again on another connection, when it may.
                raise OSError("it is not ours to say any more")
            writer.write(request)

        writer.write = write

    def _replace(self) -> None:
        """What was queued is lost, and of what was on its way nobody knows."""
        if self._stopped:
            return
        self._killed_at = self._clock.monotonic()
        if self._replacing is None or self._replacing.done():
            old = self._abort()
            self._client = self._made()
            self._replacing = asyncio.create_task(self._start_another(old))

    def _abort(self) -> AIOKafkaProducer:
        old = self._client
        self._up.clear()
        old._closed = True  # noqa: SLF001 - there is no public way
        if (metadata := old.client._sync_task) is not None:  # noqa: SLF001
            # Else it would connect anew, and leave that connection open when it is cancelled then.
            metadata.cancel()
        sender = old._sender.sender_task  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        # When we stop, nobody is to look for it any more.
        lost = PublishError("the producer has stopped") if self._stopped else _given_up()
        old._message_accumulator.fail_all(lost)  # noqa: SLF001
        # What waits is behind what was queued, and must not overtake it when that is sent again.
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(lost)
        for meeting in self._meeting:
            meeting.cancel()
        _abort_connections(old)
        return old

    async def _start_another(self, old: AIOKafkaProducer) -> None:
        await _dead(old)
        while True:
            try:
                await self._client.start()
                break
            except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
                if cancelled():
                    raise
                log.warning("Kafka does not answer", error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)
        self._up.set()


def _given_up() -> UnknownOutcomeError:
    return UnknownOutcomeError("the producer has given it up")


async def _dead(client: AIOKafkaProducer) -> None:
    sender = client._sender.sender_task  # noqa: SLF001
    with contextlib.suppress(Exception):
        async with asyncio.timeout(STOP_SECONDS):
            await client.client.close()
    if sender is not None:
        # Cancelled once, it waits for requests that nobody answers any more.
        sender.cancel()
        await asyncio.wait({sender}, timeout=STOP_SECONDS)


def _abort_connections(client: AIOKafkaProducer) -> None:
    for connection in list(client.client._conns.values()):  # noqa: SLF001
        writer = connection._writer  # noqa: SLF001
        if writer is not None:
            writer.transport.abort()
        connection.close()
