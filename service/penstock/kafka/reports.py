"""How does a member tell of itself? On the control topic, every few seconds, and never at the cost
of a question: what cannot be told now is told a moment later, or not at all.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer

from penstock.clock import Clock
from penstock.events import envelope
from penstock.events.member import MEMBER, Member
from penstock.kafka.stopping import cancelled, stopped

EVERY = 5.0
"""Seconds between two reports."""

LEAST = 1.0
"""... and at least, where there are news."""

SAY_SECONDS = 3.0
"""What Kafka does not take in this time is out of date."""

GOODBYE_SECONDS = 0.7
STOP_SECONDS = 0.3
"""An end waits no longer for it."""

log = structlog.get_logger("penstock.kafka")


class Reports:
    """Args:
    client: the connection.
    topic: the control topic.
    writer: the random name of this process.
    group: of the service.
    look: what there is to say; it is asked at each report.
    clock: of the service.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        writer: str,
        group: str,
        look: Callable[[], Member],
        clock: Clock,
    ) -> None:
        self._client = client
        self._topic = topic
        self._key = f"{MEMBER}{writer}"
        self._source = envelope.source(group)
        self._look = look
        self._clock = clock
        self._news = asyncio.Event()
        self._ends = asyncio.Event()
        self._fails = False
        self._producer: AIOKafkaProducer | None = None
        self._telling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Waits for nothing."""
        self._telling = asyncio.create_task(self._tell())

    def soon(self) -> None:
        """There are news."""
        self._news.set()

    async def stop(self) -> None:
        """Takes the report back, or gives up within a second."""
        self._ends.set()
        self._news.set()
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=GOODBYE_SECONDS)
            self._telling.cancel()
            await asyncio.wait({self._telling})
        await self._disconnect()

    async def _tell(self) -> None:
        while not self._ends.is_set():
            self._news.clear()
            await self._report()
            await _until(self._ends, LEAST)
            await _until(self._news, EVERY - LEAST)
        if self._producer is not None:
            await self._say(self._producer, None)

    async def _report(self) -> None:
        try:
            await self._say(await self._connected(), self._look())
        except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
            if cancelled():
                raise
            if not self._fails:
                why = str(error) or type(error).__name__
                log.warning("this member cannot report; it is tried again", error=why)
            self._fails = True
            # Whatever ails it: another one may do.
            await self._disconnect()
        else:
            self._fails = False

    async def _say(self, producer: AIOKafkaProducer, report: Member | None) -> None:
        value = None if report is None else report.model_dump_json().encode()
        headers = envelope.headers(envelope.CONTROL, self._key, self._source, self._clock.wall())
        async with asyncio.timeout(SAY_SECONDS):
            await producer.send_and_wait(self._topic, value, self._key.encode(), 0, headers=headers)

    async def _connected(self) -> AIOKafkaProducer:
        """Not the one of the answers: that says only what a lease covers, and loses nothing."""
        if self._producer is None:
            options = {"acks": 1, "request_timeout_ms": int(SAY_SECONDS * 1000)}
            producer = AIOKafkaProducer(**self._client, client_id="penstock-report", **options)
            self._producer = producer
            # It takes its own time: cut off in the middle, it would leave its connection open.
            await producer.start()
        return self._producer

    async def _disconnect(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await stopped(producer.stop(), STOP_SECONDS)


async def _until(event: asyncio.Event, seconds: float) -> None:
    """It is set, or so much time has passed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
