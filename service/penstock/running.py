"""What does a running service do beside its loop? It watches Kafka, answers probes, and drains."""

import asyncio
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.failure import Failure
from penstock.errors import KafkaError
from penstock.events.sums import Standing
from penstock.job import Job
from penstock.kafka.codec import Delivery
from penstock.kafka.control import Control
from penstock.kafka.rights_watch import RightsWatch
from penstock.kafka.sink import KafkaSink
from penstock.kafka.source import KafkaSource
from penstock.loop import Loop
from penstock.telemetry import health
from penstock.telemetry.probes import Checks, include
from penstock.telemetry.vitals import Vitals

log = structlog.get_logger("penstock")

WATCH = 2.0
"""Seconds between two looks at whether Kafka answers."""

NOT_BUILT = "waiting for Kafka and its topics"


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
    vitals: Vitals
    registry: CollectorRegistry
    partitions: int
    """Of the questions, when it was built."""
    port: int = 0
    draining: bool = field(default=False)
    _drain: asyncio.Future[None] | None = field(default=None)
    reachable: bool = field(default=True)
    _reachable_since: float = field(init=False)
    _silent: bool = field(default=False)
    """The group may have given our partitions away: we say nothing of them."""
    _why: asyncio.Task[None] | None = field(default=None)

    def __post_init__(self) -> None:
        self._reachable_since = self.clock.monotonic()

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
                self.reachable, self._reachable_since = reachable, self.clock.monotonic()
                log.warning("Kafka answers again" if reachable else "Kafka does not answer")
                if not reachable and (self._why is None or self._why.done()):
                    # Beside this: every broker that says nothing is waited for.
                    self._why = asyncio.create_task(self._say_why())
            self._look_at_the_lease()
            await asyncio.sleep(WATCH)
        raise KafkaError("the producer has died; a restart goes on where this one stopped")

    def _look_at_the_lease(self) -> None:
        if not self.engine.partitions:
            self._silent = False
            return
        silent = self.clock.monotonic() >= self.engine.lease.until
        if silent != self._silent:
            self._silent = silent
            log.warning(
                "the group has not answered for too long: nothing is published until it does"
                if silent
                else "the group answers again: what was held up goes on"
            )

    async def _say_why(self) -> None:
        try:
            reason = await self.sink.refused()
        except Exception as error:  # noqa: BLE001 - for want of a reason no service ends
            reason = repr(error)
        if reason is not None:
            log.warning("why Kafka does not answer", reason=reason)

    def live(self) -> str | None:
        pulse = self.source.pulse()
        seen = health.Seen(
            turned_at=self.loop.turned_at,
            slots=self.engine.policy.slots,
            abandoned=len(self.engine.work.abandoned),
            ended=None if pulse is None else pulse.ended,
            tried_at=None if pulse is None else pulse.tried_at,
            answers_since=self._reachable_since if self.reachable else None,
        )
        return health.dead(seen, self.clock.monotonic())

    def ready(self) -> str | None:
        """A pause, a shut gate or a model that is not called is no reason: it is a member, and
        takes part in all that follows.
        """
        if self.draining:
            return "draining"
        return self.started() or (None if self.reachable else "Kafka does not answer")

    def started(self) -> str | None:
        """For ever, once it has had its partitions."""
        if self.source.joined:
            return None
        if arriving := self.source.arriving:
            return f"what is done of its partitions is being found out: {sorted(arriving)}"
        return "the group has not assigned its partitions yet"

    def standing(self) -> Standing:
        return self.vitals.standing(self.source.readings())


class Probed:
    """What probes are told of a service, also while it is not built yet: then it is there before
    Kafka is. `registry`: of what is measured in this process.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.service: Service | None = None
        self.checks = Checks(self._live, self._ready, self._started)

    def tells_of(self, service: Service, measured: CollectorRegistry) -> None:
        """From now on. `measured`: what is, of it."""
        self.service = service
        include(self.registry, measured)

    def standing(self) -> str | None:
        return None if self.service is None else self.service.standing().model_dump_json()

    def _live(self) -> str | None:
        return None if self.service is None else self.service.live()

    def _ready(self) -> str | None:
        return NOT_BUILT if self.service is None else self.service.ready()

    def _started(self) -> str | None:
        return NOT_BUILT if self.service is None else self.service.started()
