"""The one place that builds things: settings to a running service."""

import asyncio
import gc
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import replace
from uuid import uuid4

import structlog

from penstock.assembly import assemble, codec, load_programs, policy, served
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.failure import Failure
from penstock.core.policy import Policy
from penstock.job import Job
from penstock.kafka.admin import Topics, prepare
from penstock.kafka.control import Control
from penstock.kafka.lookup import Lookup
from penstock.kafka.preflight import longest_run, needs
from penstock.kafka.recovery import Recovery
from penstock.kafka.reports import Reports
from penstock.kafka.rights_watch import RightsWatch
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import KafkaSink
from penstock.kafka.source import Decoder, KafkaSource, Leaving
from penstock.loop import Observer
from penstock.program.catalog import Program
from penstock.program.runner import Runner
from penstock.replay.again import Again
from penstock.replay.plan import Plan
from penstock.running import Probed, Service
from penstock.settings import Settings
from penstock.settings.programs import default_program
from penstock.settings.secrets import hiding
from penstock.telemetry import probes, watchdog
from penstock.telemetry.counting import Counts
from penstock.telemetry.gauges import Gauges
from penstock.telemetry.journal import Journal
from penstock.telemetry.observing import each
from penstock.telemetry.tracing.service import traces
from penstock.telemetry.vitals import NEWS, Vitals

__all__ = ["Service", "serve", "service"]

log = structlog.get_logger("penstock")


@asynccontextmanager
async def service(
    settings: Settings,
    plan: Plan | None = None,
    watch: Observer[Job] | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[Service]:
    """Builds and connects everything; a member of the group until the context ends.

    Args:
        settings: of a replay, those by `penstock.replay.settings`.
        plan: of a replay, whose questions it answers again, and no others.
        watch: is told of all that happens, too.
        listener: serves the probes instead of the port of the settings.

    Raises:
        ConfigurationError: a setting, topic, program or model is wrong.
    """
    probed = Probed()
    where = settings.telemetry.port if listener is None else listener
    async with (
        probes.serve(where, probed.registry, probed.checks, probed.standing) as found,
        _built(settings, plan, watch, probed) as running,
    ):
        running.port = found
        yield running


@asynccontextmanager
async def _built(
    settings: Settings, plan: Plan | None, watch: Observer[Job] | None, probed: Probed
) -> AsyncIterator[Service]:
    programs = load_programs(settings)
    client = client_arguments(settings.kafka.bootstrap_servers, settings.kafka.client)
    wanted = needs(settings, client)
    topics = await prepare(client, wanted)
    # DSPy hops through the loop's default executor, which is as wide as the machine, not the pool.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(settings.pool.slots))
    clock = Clock()
    group = settings.kafka.group_id
    writer = uuid4().hex[:12]
    engine = Engine(_policy(settings, plan), writer, random.random)
    scope = _scope(settings, topics, plan)
    recovery = Recovery(client, scope, clock, writer)
    lookup = Lookup(client, clock, scope, recovery.completions, topics.dead_letters)
    source = KafkaSource(
        client,
        topics.questions,
        group,
        _decoder(settings, programs, plan),
        clock,
        recovery,
        writer,
        settings.kafka.assignor,
        settings.kafka.group_instance_id,
        None if plan is None else plan.ends,
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
    counts = Counts(programs, writer, clock)
    journal = Journal(writer, clock, settings.gate.action)
    traced = traces(writer, group, clock, hiding(settings))

    def report(fact: facts.Event | facts.Command, job: Job | None) -> None:
        vitals.observe(fact, job)
        if isinstance(fact, NEWS):
            reports.soon()

    observe = each(traced.observe, counts.observe, journal.observe, report, watch=watch)
    runner = Runner(programs, clock, hiding(settings))

    def revoke(partitions: frozenset[int], why: Leaving) -> Awaitable[None]:
        until = clock.monotonic() + settings.handover.max_ms / 1000
        return loop.revoke(partitions, until, commits=why is Leaving.ASKED)

    out = traced.sink(sink, topics.completions)
    loop = assemble(settings, engine, runner, source, out, lookup, clock, observe)
    # Who has cancelled the question did not mean the replay.
    since = 0 if plan is None else plan.created_at
    control = Control(client, topics.control, scope.longest_run, clock, loop.tell, since)
    vitals = Vitals(
        group,
        engine,
        loop.jobs,
        source.member_id,
        clock,
        served(settings, programs),
        default_program(settings),
    )
    reports = Reports(client, topics.control, writer, group, vitals, clock)
    rights = RightsWatch(client, wanted)
    built = Service(
        loop,
        engine,
        source,
        sink,
        control,
        rights,
        clock,
        settings.drain_ms / 1000,
        vitals,
        probed.registry,
        topics.partitions,
    )
    counts.registry.register(
        Gauges(
            engine,
            source,
            recovery.resets,
            runner.in_threads,
            lambda: built.reachable,
            clock,
        )
    )
    async with AsyncExitStack() as stack:
        # At the very end: whatever ends before is part of them.
        stack.push_async_callback(traced.stop)
        for asked in {id(program.model): program.model for program in programs.values()}.values():
            stack.push_async_callback(asked.aclose)
        # Clients have to be stopped even where they never started; the sink before we leave the
        # group: what it has not sent by then is the next owner's.
        stack.push_async_callback(source.stop)
        stack.push_async_callback(sink.stop)
        probed.tells_of(built, counts.registry)
        stack.push_async_callback(control.stop)
        stack.push_async_callback(rights.stop)
        stack.push_async_callback(reports.stop)
        stack.enter_context(watchdog.watching(runner.running, late=counts.late))
        await sink.start()
        await control.start()
        await rights.start()
        await source.start(loop.tell, revoke, sink.settled)
        reports.start()
        yield built


async def serve(
    settings: Settings,
    started: Callable[[Service], None],
    plan: Plan | None = None,
    watch: Observer[Job] | None = None,
    beside: Callable[[Service], AbstractAsyncContextManager[None]] | None = None,
    listener: socket.socket | None = None,
) -> Failure | None:
    """Runs until SIGTERM or SIGINT has drained it; a second signal ends it at once.

    `beside`: what goes on in this process from when the service is built until it has drained.
    `listener`: as of `service`.
    """
    async with service(settings, plan, watch, listener) as running:
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
        # A fetch brings more objects than the first threshold usually is, and they live on.
        gc.set_threshold(10_000, 5, 2)
        async with nullcontext() if beside is None else beside(running):
            started(running)
            return await running.run()


def _policy(settings: Settings, plan: Plan | None) -> Policy:
    rules = policy(settings)
    if plan is None or plan.rate is None:
        return rules
    # Until it is known how many of its partitions are ours.
    return replace(rules, pace=plan.rate / max(1, len(plan.parts)))


def _decoder(settings: Settings, programs: dict[str, Program], plan: Plan | None) -> Decoder:
    questions = codec(settings, programs)
    return questions if plan is None else Again(questions, plan)


def _scope(settings: Settings, topics: Topics, plan: Plan | None) -> Scope:
    begins = {} if plan is None else {part.partition: part.start for part in plan.parts}
    return Scope(
        questions=topics.questions,
        group=settings.kafka.group_id,
        completions=topics.completions,
        tokens=topics.tokens,
        window_ms=settings.duplicates.window_ms,
        longest_run=longest_run(settings),
        hold=settings.drain_ms / 1000,
        replay=None if plan is None else plan.id,
        begins=begins,
        since=0.0 if plan is None else plan.created_at / 1000,
    )
