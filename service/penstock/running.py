"""What does a running service do beside its loop? It watches Kafka, answers probes, and drains."""

import asyncio
from dataclasses import dataclass, field

import structlog

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.failure import Failure
from penstock.errors import KafkaError
from penstock.job import Job
from penstock.kafka.codec import Delivery
from penstock.kafka.control import Control
from penstock.kafka.rights_watch import RightsWatch
from penstock.kafka.sink import KafkaSink
from penstock.kafka.source import KafkaSource
from penstock.loop import Loop

log = structlog.get_logger("penstock")

WATCH = 2.0
"""Seconds between two looks at whether Kafka answers."""

STALLED = 10.0
"""Seconds without a turn of the loop, which turns every second, after which it is dead."""


@dataclass(slots=True)
class Service:
    """A running service. `drain` asks it to stop; `run` ends when it has."""

    loop: Loop[Delivery, Job]
    engine: Engine
    source: KafkaSource
    sink: KafkaSink
    control: Control
    rights: RightsWatch
    clock: Clock
    drain_seconds: float
    port: int = 0
    draining: bool = field(default=False)
    _drain: asyncio.Future[None] | None = field(default=None)
    reachable: bool = field(default=True)
    _why: asyncio.Task[None] | None = field(default=None)

    def drain(self) -> None:
        """Running questions finish: here, and beside the group where others go on in it."""
        self.draining = True
        self._drain = asyncio.ensure_future(self._begin_to_drain())

    async def _begin_to_drain(self) -> None:
        until = self.clock.monotonic() + self.drain_seconds
        try:
            alone = await self.source.alone()
        except Exception as error:  # noqa: BLE001 - whatever it is, we were asked to stop
            log.warning("whether others are there is not known", reason=str(error))
            alone = False
        self.loop.tell(facts.Draining(until, alone))

    async def run(self) -> Failure | None:
        """Until drained; then why, if an operator is needed.

        Raises:
            KafkaError: reading or writing failed for good.
        """
        loop = asyncio.ensure_future(self.loop.run())
        watching = asyncio.ensure_future(self._watch_kafka())
        needed = (self.control.following, self.rights.watching)
        try:
            await asyncio.wait((loop, watching, *needed), return_when=asyncio.FIRST_COMPLETED)
            forbidden = [] if self.draining else [task for task in needed if task.done()]
            if forbidden:
                # What runs is paid for.
                log.error("nothing new starts any more", reason=str(forbidden[0].exception()))
                self.drain()
            await asyncio.wait((loop, watching), return_when=asyncio.FIRST_COMPLETED)
            if not loop.done():
                await watching
            failure = await loop
            if forbidden and failure is None:
                forbidden[0].result()
            return failure
        finally:
            ending = [task for task in (loop, watching, self._why) if task is not None]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _watch_kafka(self) -> None:
        """The client tells nobody when it is cut off."""
        while self.sink.healthy():
            reachable = await self.sink.reaches_kafka()
            if reachable != self.reachable:
                self.reachable = reachable
                log.warning("Kafka answers again" if reachable else "Kafka does not answer")
                if not reachable and (self._why is None or self._why.done()):
                    # Beside this: every broker that says nothing is waited for.
                    self._why = asyncio.create_task(self._say_why())
            await asyncio.sleep(WATCH)
        raise KafkaError("the producer has died; a restart goes on where this one stopped")

    async def _say_why(self) -> None:
        try:
            reason = await self.sink.refused()
        except Exception as error:  # noqa: BLE001 - for want of a reason no service ends
            reason = repr(error)
        if reason is not None:
            log.warning("why Kafka does not answer", reason=reason)

    def live(self) -> str | None:
        if self.loop.turned_at is not None:
            idle = self.clock.monotonic() - self.loop.turned_at
            if idle >= STALLED:
                return f"the loop has not turned for {idle:.0f} s"
        if len(self.engine.work.abandoned) >= self.engine.policy.slots:
            return "every slot is held by a program that does not end"
        return None

    def ready(self) -> str | None:
        if self.draining:
            return "draining"
        if not self.source.joined:
            return "the group has not assigned its partitions yet"
        return None if self.reachable else "Kafka does not answer"
