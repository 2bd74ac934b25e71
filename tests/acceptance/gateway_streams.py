"""A gateway with many streams at once: each is whole, how late are they, and what do they cost?

And one whose client does not read: it changes nothing for the others, and gets all when it reads.
"""

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import orjson

from penstock.gateway.stream import BUFFER_BYTES
from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from penstock.kafka.topic_alter import alter
from tests.acceptance.outcome import Outcome
from tests.support import events
from tests.support.processes import (
    PENSTOCK_GATEWAY,
    Running,
    Start,
    cpu_seconds,
    gateway,
    machine_seconds,
    process,
    resident_mb,
)
from tests.support.told import Told, asked, telling
from tests.support.traffic import World, everything, world

PATIENCE_SECONDS = 120
STOPPED_TEXT = "and it still rises " * 1_000
STOPPED_PER_SECOND = 20
"""19 KB each: soon more than the kernel keeps for a client that does not read."""
RECEIVE_BYTES = 4096


class Load(NamedTuple):
    streams: int
    per_second: float


LOADS = (Load(1000, 2), Load(200, 20))


async def gateway_streams(
    servers: str,
    *,
    loads: Sequence[Load] = LOADS,
    seconds: float = 20,
    partitions: int = 6,
    start: Start = PENSTOCK_GATEWAY,
) -> Outcome:
    """The events are written straight to the topic, which is stamped by the broker.

    Args:
        servers: the Kafka.
        loads: one after the other.
        seconds: alone; again beside a client that does not read; and again while that one has
            begun to.
        partitions: of all topics.
        start: of the gateway.
    """
    outcome = Outcome()
    for load in loads:
        name = f"{load.streams}_at_{load.per_second:g}"
        async with world(servers, "gateway-streams", partitions) as kafka:
            await _stamped_by_the_broker(kafka)
            seen = await _seen(kafka, load, seconds, start)
            await _tell(outcome, name, kafka, seen)
    return outcome


class Phase(NamedTuple):
    """Times are Unix seconds; the share of a processor, or of all."""

    name: str
    begun: float
    ended: float
    events: int
    gateway_cpu_seconds: float
    readers_cpu: float
    machine_busy: float


@dataclass(frozen=True)
class Seen:
    told: list[Told]
    stuck: Told
    streams: list[dict[str, Any]]
    """As `tests.support.events.Reading.told`."""
    stuck_stream: dict[str, Any]
    phases: list[Phase]
    memory_mb: Mapping[str, float]
    held_bytes: int
    """By the kernel, for the one that does not read."""


async def _seen(kafka: World, load: Load, seconds: float, start: Start) -> Seen:
    told = await asked(kafka, events.ids("q", load.streams))
    [stuck] = await asked(kafka, ["stuck"], STOPPED_TEXT)
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        into = Path(folder) / "read"
        async with (
            gateway(kafka, start=start) as running,
            telling(kafka) as teller,
        ):
            memory = {"idle": resident_mb(running.pid)}
            async with _readers(running, load.streams, into) as readers:
                memory["connected"] = resident_mb(running.pid)
                watch = _Watch(running, readers, told)

                def all_told() -> Awaitable[None]:
                    return teller.tell(told, seconds=seconds, per_second=load.per_second)

                async with watch.phase("alone"):
                    await all_told()
                memory["streaming"] = resident_mb(running.pid)
                stopped = await events.begin(
                    running.address, stuck.question_id, receive_bytes=RECEIVE_BYTES, stopped=True
                )
                async with watch.phase("beside_a_stopped_one"):
                    more = teller.tell([stuck], seconds=seconds, per_second=STOPPED_PER_SECOND)
                    await asyncio.gather(all_told(), more)
                memory["beside_a_stopped_one"] = resident_mb(running.pid)
                held = _held_bytes(stopped)
                stopped.transport.resume_reading()
                async with watch.phase("while_it_reads_again"):
                    await all_told()
                await teller.end([*told, stuck])
                await readers.says(f"read {load.streams}", seconds=PATIENCE_SECONDS)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await stopped.over
            assert await running.terminate() == 0
        streams = [orjson.loads(line) for line in into.read_bytes().splitlines()]
    return Seen(told, stuck, streams, stopped.told, watch.phases, memory, held)


@asynccontextmanager
async def _readers(running: Running, streams: int, into: Path) -> AsyncIterator[Running]:
    words = (
        f"--address={running.address}",
        f"--into={into}",
        "--prefix=q",
        f"--questions={streams}",
    )
    module = (sys.executable, "-m", "tests.support.events")
    async with process(*module, *words, says=rf"reading {streams}$") as readers:
        yield readers


class _Watch:
    def __init__(self, running: Running, readers: Running, told: Sequence[Told]) -> None:
        self.phases: list[Phase] = []
        self._running = running
        self._readers = readers
        self._told = told

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        begun, before = time.time(), self._look()
        yield
        ended, after = time.time(), self._look()
        events, cpu, readers, busy, whole = (b - a for a, b in zip(before, after, strict=True))
        seconds = ended - begun
        self.phases.append(
            Phase(name, begun, ended, round(events), cpu, readers / seconds, busy / whole)
        )

    def _look(self) -> tuple[float, ...]:
        events = sum(one.events for one in self._told)
        cpu, readers = cpu_seconds(self._running.pid), cpu_seconds(self._readers.pid)
        return events, cpu, readers, *machine_seconds()


async def _tell(outcome: Outcome, name: str, kafka: World, seen: Seen) -> None:
    offsets: defaultdict[str, list[int]] = defaultdict(list)
    stamps: defaultdict[str, list[int]] = defaultdict(list)
    for event in await everything(kafka, "tokens"):
        offsets[event.question_id].append(event.offset)
        stamps[event.question_id].append(event.timestamp)
    late: defaultdict[str, list[float]] = defaultdict(list)
    for stream in seen.streams:
        for stamp, arrived in zip(stamps[stream["question_id"]], stream["arrived"], strict=False):
            for phase in seen.phases:
                if phase.begun <= stamp / 1000 < phase.ended:
                    late[phase.name].append(arrived * 1000 - stamp)
    broken = [stream for stream in seen.streams if stream["why"] is not None]
    odd = [s["question_id"] for s in seen.streams if s["offsets"] != offsets[s["question_id"]]]
    streams, memory = len(seen.told), seen.memory_mb
    outcome.figures[name] = {
        "broken": len(broken),
        "not_whole": len(odd),
        "events": sum(one.events for one in seen.told),
        **{phase.name: _costs(phase, late[phase.name]) for phase in seen.phases},
        "memory_mb": {when: round(mb, 1) for when, mb in memory.items()},
        "memory_kb_per_stream": round((memory["streaming"] - memory["idle"]) * 1024 / streams, 1),
        "stopped_one": {
            "told_kb": seen.stuck.bytes // 1024,
            "held_by_the_kernel_kb": seen.held_bytes // 1024,
            "events": len(seen.stuck_stream["offsets"]),
        },
    }
    outcome.promise(f"{name}: none is broken: {_why(broken)}", kept=not broken)
    outcome.promise(f"{name}: each has each event once, in order, not {odd[:5]}", kept=not odd)
    stuck = seen.stuck_stream
    outcome.promise(
        f"{name}: the stopped one gets all: {stuck['why']}",
        kept=stuck["why"] is None and stuck["offsets"] == offsets[stuck["question_id"]],
    )
    outcome.promise(
        f"{name}: it is told more than the kernel and the gateway keep for it",
        kept=seen.stuck.bytes > seen.held_bytes + 4 * BUFFER_BYTES,
    )


def _costs(phase: Phase, late: list[float]) -> dict[str, float]:
    """An append is stamped in whole milliseconds, cut off: what is added is this at most."""
    percentiles = quantiles(late, n=100)
    return {
        "events_per_second": round(phase.events / (phase.ended - phase.begun)),
        "added_ms_p50": round(percentiles[49], 1),
        "added_ms_p99": round(percentiles[98], 1),
        "added_ms_max": round(max(late), 1),
        "gateway_cpu_us_per_event": round(phase.gateway_cpu_seconds * 1e6 / phase.events, 1),
        "gateway_cpu": round(phase.gateway_cpu_seconds / (phase.ended - phase.begun), 2),
        "readers_cpu": round(phase.readers_cpu, 2),
        "machine_busy": round(phase.machine_busy, 2),
    }


def _why(broken: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{stream['question_id']}: {stream['why']}" for stream in broken][:5]


async def _stamped_by_the_broker(kafka: World) -> None:
    change = {kafka.topics["tokens"]: {"message.timestamp.type": "LogAppendTime"}}
    async with admin(client_arguments(kafka.servers, {})) as connection:
        refused = await alter(connection, change, None, validate_only=False)
    assert not refused, refused


def _held_bytes(stopped: events.Reading) -> int:
    """By the kernel, on both sides of its connection; see proc_net_tcp.txt of Linux."""
    port = stopped.transport.get_extra_info("sockname")[1]
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        ends = {int(end.rpartition(":")[2], 16) for end in (local, remote)}
        if port in ends:
            held += sum(int(queue, 16) for queue in queues.split(":"))
    return held
