"""The one place that builds things: settings to a running service."""

import asyncio
import gc
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import structlog

from penstock.assembly import assemble, codec, load_programs, policy
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.failure import Failure
from penstock.errors import KafkaError
from penstock.job import Job
from penstock.kafka.admin import Topics, prepare
from penstock.kafka.codec import Delivery
from penstock.kafka.control import Control
from penstock.kafka.lookup import Lookup
from penstock.kafka.preflight import Needs
from penstock.kafka.recovery import Recovery
from penstock.kafka.reports import Reports
from penstock.kafka.rights_watch import RightsWatch
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import KafkaSink
from penstock.kafka.source import KafkaSource, Leaving
from penstock.loop import Loop
from penstock.program.runner import Runner
from penstock.settings import Settings
from penstock.settings.secrets import hiding
from penstock.telemetry import probes, watchdog
from penstock.telemetry.journal import Journal
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.vitals import NEWS, Vitals

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


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Service]:
    """Builds and connects everything; a member of the group until the context ends.

    Raises:
        ConfigurationError: a setting, topic, program or model is wrong.
    """
    programs = load_programs(settings)
    client = client_arguments(settings.kafka.bootstrap_servers, settings.kafka.client)
    wanted = needs(settings, client)
    topics = await prepare(client, wanted)
    # DSPy hops through the loop's default executor, which is as wide as the machine, not the pool.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(settings.pool.slots))
    clock = Clock()
    group = settings.kafka.group_id
    writer = uuid4().hex[:12]
    engine = Engine(policy(settings), writer, random.random)
    scope = _scope(settings, topics)
    recovery = Recovery(client, scope, clock, writer)
    lookup = Lookup(client, clock, scope, recovery.completions, topics.dead_letters)
    source = KafkaSource(
        client,
        topics.questions,
        group,
        codec(settings, programs),
        clock,
        recovery,
        writer,
        settings.kafka.assignor,
        settings.kafka.group_instance_id,
    )
    sink = KafkaSink(
        client,
        group,
        topics.tokens,
        topics.completions,
        topics.dead_letters,
        clock,
        writer,
        engine.speaks_until,
        lookup.last_said,
        settings.dead_letters.headers,
    )
    metrics = Metrics(engine, source.lag, recovery.resets, clock)
    journal = Journal(writer, clock, settings.gate.action)

    def observe(fact: facts.Event | facts.Command, job: Job | None) -> None:
        metrics.observe(fact, job)
        journal.observe(fact, job)
        if isinstance(fact, NEWS):
            reports.soon()

    runner = Runner(programs, clock, hiding(settings))

    def revoke(partitions: frozenset[int], why: Leaving) -> Awaitable[None]:
        until = clock.monotonic() + settings.handover.max_ms / 1000
        return loop.revoke(partitions, until, commits=why is Leaving.ASKED)

    loop = assemble(settings, engine, runner, source, sink, lookup, clock, observe)
    control = Control(client, topics.control, scope.longest_run, clock, loop.tell)
    vitals = Vitals(group, engine, loop.jobs, source.member_id, clock)
    reports = Reports(client, topics.control, writer, group, vitals, clock)
    rights = RightsWatch(client, wanted)
    built = Service(loop, engine, source, sink, control, rights, clock, settings.drain_ms / 1000)
    async with AsyncExitStack() as stack:
        for served in {id(program.model): program.model for program in programs.values()}.values():
            stack.push_async_callback(served.aclose)
        # Clients have to be stopped even where they never started; the sink before we leave the
        # group: what it has not sent by then is the next owner's.
        stack.push_async_callback(source.stop)
        stack.push_async_callback(sink.stop)
        built.port = await stack.enter_async_context(
            probes.serve(settings.telemetry.port, metrics.registry, built.live, built.ready)
        )
        stack.push_async_callback(control.stop)
        stack.push_async_callback(rights.stop)
        stack.push_async_callback(reports.stop)
        stack.enter_context(watchdog.watching(runner.running))
        await sink.start()
        await control.start()
        await rights.start()
        await source.start(loop.tell, revoke, sink.settled)
        reports.start()
        yield built


async def serve(settings: Settings, started: Callable[[Service], None]) -> Failure | None:
    """Runs until SIGTERM or SIGINT has drained it; a second signal ends it at once."""
    async with service(settings) as running:
        loop = asyncio.get_running_loop()

        asked = False

        def stop() -> None:
            nonlocal asked
            if asked:
                left = len(running.engine.questions)
                log.warning("stopped at once; what is unfinished will run again", questions=left)
                os._exit(1)
            asked = True
            if not running.draining:
                running.drain()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        # What is built by now lives as long as the process; walking it, 0.1 s and more, would
        # stop every token stream at once.
        gc.collect()
        gc.freeze()
        gc.set_threshold(2_000, 10, 5)
        started(running)
        return await running.run()


def needs(settings: Settings, client: Mapping[str, Any]) -> Needs:
    """What the service asks of its Kafka, as this client."""
    return Needs(
        topics=settings.topics,
        group=settings.kafka.group_id,
        assignor=settings.kafka.assignor,
        metadata_bytes=settings.commit.metadata_bytes,
        longest_ms=_longest_run(settings) * 1000,
        user=client.get("sasl_plain_username"),
    )


def _longest_run(settings: Settings) -> float:
    timeouts = [program.timeout_ms or 0 for program in settings.programs.values()]
    return (max(settings.deadline.max_ms, *timeouts) + settings.drain_ms) / 1000


def _scope(settings: Settings, topics: Topics) -> Scope:
    return Scope(
        questions=topics.questions,
        group=settings.kafka.group_id,
        completions=topics.completions,
        tokens=topics.tokens,
        window_ms=settings.duplicates.window_ms,
        longest_run=_longest_run(settings),
        hold=settings.drain_ms / 1000,
    )
