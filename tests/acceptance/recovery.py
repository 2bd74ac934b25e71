"""A hundred thousand completions behind the last commit: how long until the partitions are open?"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.core.bookmark import Bookmark
from penstock.core.facts import Head
from penstock.kafka import metadata
from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from tests.acceptance.outcome import Outcome
from tests.support.answered import answer
from tests.support.processes import calls, cpu_seconds, models, resident_mb, service
from tests.support.traffic import Reader, World, asking, reading, world

LOOK_SECONDS = 0.05
SECONDS = 30
GROWTH_MB = 100
"""What reading them may cost, beside a start with nothing to read."""
BEFORE = "before"
"""Who wrote the last commit."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the process before has left behind.

    Args:
        answered: questions, each with its completion.
        committed: what its last commit says of each partition; None: it is lost.
    """

    answered: int
    committed: Head | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the start of the process; `cpu`: of a processor, until it has caught up."""

    serving: float
    opened: float
    caught_up: float
    cpu: float
    memory_mb: float
    memory_mb_peak: float
    calls: int
    completions: int


NOTHING = "nothing_to_read"
CASES = (NOTHING, "no_commit", "bookmark_at_0", "only_ids")


async def recovery(
    servers: str,
    *,
    completions: int = 100_000,
    partitions: int = 6,
    cases: Sequence[str] = CASES,
) -> Outcome:
    """All is answered but one question, which is at the end: only that one is to be asked.

    Args:
        servers: the Kafka.
        completions: how many, and as many questions.
        partitions: of all topics.
        cases: of what the process before has left behind; the others are compared to the first.
    """
    outcome = Outcome()
    known = cases_of(completions, partitions)
    for name in cases:
        case = known[name]
        measured = await recovered(servers, case, partitions)
        outcome.figures[name] = {
            "serving_seconds": round(measured.serving, 2),
            "open_seconds": round(measured.opened, 2),
            "caught_up_seconds": round(measured.caught_up, 2),
            "memory_mb": round(measured.memory_mb, 1),
            "memory_mb_peak": round(measured.memory_mb_peak, 1),
        }
        outcome.promise(
            f"{name}: one call, not {measured.calls}: all others are answered",
            kept=measured.calls == 1,
        )
        outcome.promise(
            f"{name}: one completion more, not {measured.completions - case.answered}",
            kept=measured.completions == case.answered + 1,
        )
    nothing = outcome.figures[cases[0]]
    for name, figures in outcome.figures.items():
        outcome.bound(
            f"{name}: open {SECONDS} s later at most",
            kept=figures["open_seconds"] - nothing["open_seconds"] <= SECONDS,
        )
        outcome.bound(
            f"{name}: {GROWTH_MB} MB more at most",
            kept=figures["memory_mb_peak"] - nothing["memory_mb_peak"] <= GROWTH_MB,
        )
    return outcome


def cases_of(completions: int, partitions: int) -> dict[str, Case]:
    """By name; as many completions in every partition."""
    each = completions // partitions
    completions = each * partitions
    return {
        NOTHING: Case(0),
        "no_commit": Case(completions),
        "bookmark_at_0": Case(completions, Head(0, "", Bookmark(0, partitions))),
        # All are committed, and their ids are to be known for as long as the window is.
        "only_ids": Case(completions, Head(each, "", Bookmark(each, partitions), clean=True)),
    }


async def recovered(servers: str, case: Case, partitions: int) -> Measured:
    async with (
        world(servers, "recovery", partitions) as kafka,
        models() as provider,
        reading(kafka, "completions") as completions,
    ):
        await answer(kafka, case.answered)
        if case.committed is not None:
            await _commit(kafka, case.committed)
        async with asking(kafka) as asker:
            await (await asker.ask("the last"))
        begun = time.monotonic()
        async with service(kafka, provider, {}) as running:
            serving = time.monotonic() - begun
            await running.meanwhile(_opened(kafka), 120)
            opened = time.monotonic() - begun
            at_open = resident_mb(running.pid)
            await running.meanwhile(_more_than(completions, case.answered), 120)
            caught_up = time.monotonic() - begun
            cpu, peak = cpu_seconds(running.pid), resident_mb(running.pid, peak=True)
            assert await running.terminate() == 0
        return Measured(
            serving,
            opened,
            caught_up,
            cpu,
            at_open,
            peak,
            (await calls(provider, last=0))["count"],
            await completions.written(),
        )


def _places(kafka: World) -> list[TopicPartition]:
    return [TopicPartition(kafka.topics["questions"], p) for p in range(kafka.partitions)]


async def _commit(kafka: World, head: Head) -> None:
    said = metadata.write(head, BEFORE, 0.0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.servers, group_id=kafka.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(_places(kafka))
        await consumer.commit(dict.fromkeys(_places(kafka), (head.offset, said)))
    finally:
        await consumer.stop()


async def _opened(kafka: World) -> None:
    """Until the opening commits of all partitions are there."""
    async with admin(client_arguments(kafka.servers, {})) as connection:
        while True:
            found = await connection.list_consumer_group_offsets(
                kafka.group, partitions=_places(kafka)
            )
            writers = [_writer(found[place].offset, found[place].metadata) for place in found]
            if all(writer not in {None, BEFORE} for writer in writers):
                return
            await asyncio.sleep(LOOK_SECONDS)


def _writer(offset: int, said: str) -> str | None:
    return metadata.read(offset, said, 0.0).writer if offset >= 0 else None


async def _more_than(completions: Reader, answered: int) -> None:
    while await completions.written() <= answered:  # noqa: ASYNC110 # its state
        await asyncio.sleep(LOOK_SECONDS)
