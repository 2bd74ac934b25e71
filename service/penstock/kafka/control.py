"""What does somebody ask of all members? The control topic, read by every member for itself."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError as ClientError

from penstock.clock import Clock
from penstock.core.facts import CancelRequested, GateOpened, Halted, HaltLifted
from penstock.core.halts import EVERYTHING, Scope
from penstock.errors import KafkaError, PublishError
from penstock.events import control, envelope
from penstock.kafka.admin import admin, require
from penstock.kafka.pauses import Pauses
from penstock.kafka.rights import Operation, unreadable
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.stopping import cancelled, started, stopped
from penstock.kafka.stretch import in_time

AGAIN_SECONDS = 1.0
POLL_MS = 500

log = structlog.get_logger("penstock.kafka")


async def pause(
    client: Mapping[str, Any],
    topic: str,
    scopes: Iterable[Scope],
    reason: str | None,
    clock: Clock,
) -> None:
    """Nothing new starts in these. Raises as `say` does."""
    value = control.Pause(reason=reason).model_dump_json(exclude_none=True).encode()
    await say(client, topic, {f"{control.PAUSE}{scope}": value for scope in scopes}, clock)


async def resume(
    client: Mapping[str, Any], topic: str, scopes: Iterable[Scope], clock: Clock
) -> None:
    """What was paused starts again, whether it was or not. Raises as `say` does."""
    await say(client, topic, {f"{control.PAUSE}{scope}": None for scope in scopes}, clock)


async def say(
    client: Mapping[str, Any], topic: str, records: Mapping[str, bytes | None], clock: Clock
) -> None:
    """Asks it of all members, by key; None takes it back.

    Raises:
        ConfigurationError: there is no such topic, no right to write to it, or no Kafka.
        PublishError: Kafka did not take it.
    """
    async with admin(client) as connection:
        await require(connection, {topic: [Operation.WRITE]}, client.get("sasl_plain_username"))
    producer = AIOKafkaProducer(**client, client_id="penstock-client", acks="all")
    try:
        await producer.start()
        for key, value in records.items():
            headers = envelope.headers(envelope.CONTROL, key, "/penstock/client", clock.wall())
            await producer.send_and_wait(topic, value, key.encode(), 0, headers=headers)
    except ClientError as error:
        raise PublishError(f"{topic}: {error}") from error
    finally:
        await producer.stop()


Tell = Callable[[CancelRequested | GateOpened | Halted | HaltLifted], None]


class Control:
    """Tells of what counts now, then of what comes.

    Args:
        client: the connection.
        topic: of one partition.
        longest: seconds for which a question may still be asked that is cancelled already.
        clock: of the service.
        tell: in the order of the topic.
        since: Unix milliseconds; what was cancelled before counts no more.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        longest: float,
        clock: Clock,
        tell: Tell,
        since: int = 0,
    ) -> None:
        self._client = client
        self._place = TopicPartition(topic, 0)
        self._longest = longest
        self._clock = clock
        self._tell = tell
        self._since = since
        self._pauses = Pauses()
        self._next: int | None = None
        self._caught_up = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._fails = False

    async def start(self) -> None:
        """Returns when all is told that was there: what is cancelled or paused must not start.

        Raises:
            KafkaError: it cannot be read.
        """
        self._following = asyncio.create_task(self._follow())
        caught_up = asyncio.create_task(self._caught_up.wait())
        await asyncio.wait({caught_up, self._following}, return_when=asyncio.FIRST_COMPLETED)
        if self._following.done():
            caught_up.cancel()
            self._following.result()

    @property
    def following(self) -> "asyncio.Task[None]":
        """Ends with a KafkaError where the topic must not be read any more."""
        assert self._following is not None
        return self._following

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def _follow(self) -> None:
        while True:
            try:
                await self._read_on()
            except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
                if cancelled():
                    raise
                topic = self._place.topic
                if isinstance(error, FORBIDDEN):
                    raise KafkaError(unreadable(error, topic)) from error
                why = str(error) or type(error).__name__
                if self._is_hopeless(error):
                    raise KafkaError(f"topic {topic!r} cannot be read: {why}") from error
                if not self._fails:
                    log.warning("the control topic cannot be read; it is tried again", error=why)
                self._fails = True
                await asyncio.sleep(AGAIN_SECONDS)

    def _is_hopeless(self, error: BaseException) -> bool:
        """At the start it is better to say what is wrong than to wait for what never comes."""
        lasts = isinstance(error, ClientError) and not error.retriable
        return lasts and not self._caught_up.is_set()

    async def _read_on(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._client,
            client_id="penstock-control",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_MS,
        )
        try:
            await in_time(started(consumer.start()))
            consumer.assign([self._place])
            if self._next is not None:
                consumer.seek(self._place, self._next)
            end = (await in_time(consumer.end_offsets([self._place])))[self._place]
            while True:
                caught_up = self._caught_up.is_set()
                if not caught_up and await in_time(consumer.position(self._place)) >= end:
                    self._catch_up()
                found = await consumer.getmany(timeout_ms=POLL_MS)
                self._fails = False
                for record in found.get(self._place, ()):
                    self._next = record.offset + 1
                    self._read(record)
        finally:
            await stopped(consumer.stop())

    def _read(self, record: ConsumerRecord) -> None:
        key = (record.key or b"").decode(errors="replace")
        if key.startswith(control.CANCEL) and record.value is not None:
            if record.timestamp < self._since:
                return
            old = max(0.0, self._clock.wall() - record.timestamp / 1000)
            until = self._clock.monotonic() + self._longest - old
            question_id = key.removeprefix(control.CANCEL)
            self._tell(CancelRequested(question_id, record.timestamp, until))
        elif key.startswith(control.PAUSE):
            self._read_pause(key, record.value)

    def _read_pause(self, key: str, value: bytes | None) -> None:
        changed = self._pauses.read(key, value)
        if not self._caught_up.is_set():
            # What has been taken back since needs no telling; and nothing of ours was shut then.
            return
        if changed is not None:
            self._tell_of(changed)
        if value is None and key == f"{control.PAUSE}{EVERYTHING}":
            self._tell(GateOpened())

    def _catch_up(self) -> None:
        for scope in self._pauses:
            self._tell_of(scope)
        self._caught_up.set()

    def _tell_of(self, scope: Scope) -> None:
        pause = self._pauses.get(scope)
        self._tell(HaltLifted(scope) if pause is None else Halted(scope, pause.reason))
