"""The model is away for a while: nothing is fetched, nothing is lost, and nobody spins."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from tests.acceptance.endings import all_completed
from tests.acceptance.outcome import Outcome
from tests.support.processes import (
    PENSTOCK_SERVE,
    Running,
    Start,
    cpu_seconds,
    metrics,
    models,
    probed,
    service,
)
from tests.support.traffic import Asker, asking, reading, world

PACES = {"first_token_ms": 200, "token_ms": 20, "tokens": 8}
PAUSED_SECONDS = 1.0
CPU = 0.1
"""Of a core, at most, while the model is away."""
SLACK_SECONDS = 0.5
"""For the first token, and for looking."""
LOOK_SECONDS = 0.02
PROBE_SECONDS = 1.0
"""Between two looks at whether it is ready."""
PATIENCE_SECONDS = 60.0


async def model_down(
    servers: str,
    *,
    seconds: float = 30,
    per_second: float = 50,
    slots: int = 64,
    probe_ms: int = 5_000,
    warm_seconds: float = 2,
    settings: Mapping[str, Any] | None = None,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """Its process is killed while questions come steadily, and started again at the same port.

    Args:
        servers: the Kafka.
        seconds: for which it is away.
        per_second: questions.
        slots: of the service.
        probe_ms: after which the service looks whether it is back.
        warm_seconds: before that, in which it answers.
        settings: more of the service, by their environment names without the prefix.
        start: of the service.
    """
    outcome = Outcome()
    own = {"POOL__SLOTS": slots, "BREAKER__PROBE_MS": probe_ms, **(settings or {})}
    async with (
        world(servers, "model-down") as kafka,
        reading(kafka, "completions") as completions,
        asking(kafka) as asker,
        models(**PACES) as provider,
        service(kafka, provider, own, start) as running,
        AsyncExitStack() as stack,
    ):
        async with _steadily(asker, per_second) as ids:
            warm = round(warm_seconds * per_second)
            await running.meanwhile(completions.until(warm), warm_seconds + PATIENCE_SECONDS)
            provider.kill()
            await provider.ended()
            down = time.monotonic()
            paused = await _until(running, lambda said: _is_shut(said, kafka.partitions))
            before, spent, since = (
                await metrics(running),
                cpu_seconds(running.pid),
                time.monotonic(),
            )
            ready = [await probed(running, "readyz")]
            while (left := down + seconds - time.monotonic()) > 0:
                await asyncio.sleep(min(PROBE_SECONDS, left))
                ready.append(await probed(running, "readyz"))
            cpu = (cpu_seconds(running.pid) - spent) / (time.monotonic() - since)
            # It still is, but for a moment when it fetches a question that may find out.
            await _until(running, lambda said: _is_shut(said, kafka.partitions))
            after = await metrics(running)
            port = urlsplit(provider.address).port
            await stack.enter_async_context(models(port=port or 0, **PACES))
            back = await _until(running, _is_open)
        await running.meanwhile(completions.until(len(ids)), PATIENCE_SECONDS)
        code = await running.terminate()
        received = "penstock_questions_received_total"
        outcome.figures |= {
            "questions": len(ids),
            "seconds": seconds,
            "paused_after_seconds": paused,
            "fetched_meanwhile": after[received] - before[received],
            "cpu_share": round(cpu, 3),
            "back_after_seconds": back,
        }
        await all_completed(outcome, kafka, ids, code)
    outcome.promise(f"/readyz says yes all along: {ready}", kept=all(s == 200 for s, _ in ready))
    outcome.bound(f"paused within {PAUSED_SECONDS} s", kept=paused <= PAUSED_SECONDS)
    outcome.bound(f"{CPU:.0%} of a core at most", kept=cpu < CPU)
    within = probe_ms / 1000 + SLACK_SECONDS
    outcome.bound(f"it goes on within {within} s", kept=back <= within)
    return outcome


@asynccontextmanager
async def _steadily(asker: Asker, per_second: float) -> AsyncIterator[list[str]]:
    """Questions until the end of the block: their ids so far."""
    ids: list[str] = []
    enough = asyncio.Event()

    async def ask() -> None:
        for number in count():
            if enough.is_set():
                return
            ids.append(f"q{number}")
            await asker.ask(ids[-1])
            await asyncio.sleep(1 / per_second)

    asks = asyncio.create_task(ask())
    try:
        yield ids
    finally:
        enough.set()
        await asks


def _is_shut(said: Mapping[str, float], partitions: int) -> bool:
    return bool(said["penstock_model_shut"]) and (said["penstock_paused_partitions"] == partitions)


def _is_open(said: Mapping[str, float]) -> bool:
    return not said["penstock_model_shut"] and not said["penstock_paused_partitions"]


async def _until(running: Running, reached: Callable[[Mapping[str, float]], bool]) -> float:
    """Seconds until its metrics say so."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not reached(await metrics(running)):  # noqa: ASYNC110 # its state
            await asyncio.sleep(LOOK_SECONDS)
    return round(time.monotonic() - began, 2)
