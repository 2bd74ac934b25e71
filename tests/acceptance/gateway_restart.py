"""A gateway starts with a hundred thousand questions in its window: how soon does it know them?"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.acceptance.outcome import Outcome
from tests.support import events
from tests.support.answered import answer
from tests.support.processes import (
    PENSTOCK_GATEWAY,
    Running,
    Start,
    cpu_seconds,
    gateway,
    resident_mb,
)
from tests.support.traffic import World, world

ANSWER_SECONDS = 30


async def gateway_restart(
    servers: str,
    *,
    questions: int = 100_000,
    partitions: int = 6,
    start: Start = PENSTOCK_GATEWAY,
) -> Outcome:
    """Beside a start with nothing to read.

    Args:
        servers: the Kafka.
        questions: with as many completions.
        partitions: of all topics.
        start: of the gateway.
    """
    outcome = Outcome()
    questions = questions // partitions * partitions
    for name, answered in (("nothing_to_read", 0), ("full", questions)):
        async with world(servers, "gateway-restart", partitions) as kafka:
            await answer(kafka, answered)
            begun = time.monotonic()
            async with _started(kafka, start) as running:
                outcome.figures[name] = {
                    "questions": answered,
                    "serving_seconds": round(time.monotonic() - begun, 2),
                    "cpu_seconds": round(cpu_seconds(running.pid), 2),
                    "memory_mb": round(resident_mb(running.pid), 1),
                    "memory_mb_peak": round(resident_mb(running.pid, peak=True), 1),
                }
                for question_id in ("q0", f"q{answered - 1}") if answered else ():
                    found = await events.begin(running.address, question_id)
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await found.over
                    outcome.promise(f"{question_id} is known: {found.why}", kept=found.completed)
    nothing, full = outcome.figures["nothing_to_read"], outcome.figures["full"]
    more = full["memory_mb"] - nothing["memory_mb"]
    outcome.figures["memory_bytes_per_question"] = round(more * 2**20 / questions)
    return outcome


@asynccontextmanager
async def _started(kafka: World, start: Start) -> AsyncIterator[Running]:
    async with gateway(kafka, start=start) as running:
        yield running
        assert await running.terminate() == 0
