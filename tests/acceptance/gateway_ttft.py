"""How much later is the first token through the gateway than straight from Kafka?"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from statistics import quantiles

import aiohttp

from penstock.client import KafkaClient
from penstock.events.token import Token
from tests.acceptance.outcome import Outcome
from tests.support.processes import (
    PENSTOCK_GATEWAY,
    PENSTOCK_SERVE,
    Start,
    cpu_seconds,
    gateway,
    machine_seconds,
    models,
    service,
)
from tests.support.traffic import World, world

ADDED_MS = 10
WARM = 10
AT_ONCE = 16
PATIENCE_SECONDS = 120


async def gateway_ttft(
    servers: str,
    *,
    questions: int = 200,
    start: Start = PENSTOCK_GATEWAY,
    serve: Start = PENSTOCK_SERVE,
) -> Outcome:
    """One after the other, each way in turn, so that both see the same machine; then as many again
    through the gateway, some at once, for what they cost it.

    Args:
        servers: the Kafka.
        questions: each way.
        start: of the gateway.
        serve: of the service.
    """
    outcome = Outcome()
    async with (
        world(servers, "gateway-ttft") as kafka,
        models(first_token_ms=50, token_ms=5, tokens=8) as provider,
        service(kafka, provider, {}, serve),
        gateway(kafka, start=start) as running,
        _client(kafka) as client,
        aiohttp.ClientSession(running.address) as session,
    ):
        ways: dict[str, Callable[[], Awaitable[float]]] = {
            "direct": lambda: _direct(client),
            "gateway": lambda: _through(session),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        busy, whole = machine_seconds()
        for number in range(WARM + questions):
            for name in sorted(ways, reverse=bool(number % 2)):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    milliseconds = await ways[name]() * 1000
                if number >= WARM:
                    took[name].append(milliseconds)
        busy, whole = (b - a for a, b in zip((busy, whole), machine_seconds(), strict=True))
        cpu = cpu_seconds(running.pid)
        left = iter(range(questions))

        async def ask() -> None:
            for _ in left:
                await _through(session)

        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        cpu = cpu_seconds(running.pid) - cpu
    direct, through = (quantiles(took[name], n=100) for name in ("direct", "gateway"))
    outcome.figures |= {
        "questions": questions,
        "direct_ms": {"p50": round(direct[49], 1), "p95": round(direct[94], 1)},
        "gateway_ms": {"p50": round(through[49], 1), "p95": round(through[94], 1)},
        "added_ms_p50": round(through[49] - direct[49], 1),
        "added_ms_p95": round(through[94] - direct[94], 1),
        "machine_busy": round(busy / whole, 2),
        "gateway_cpu_ms_per_question": round(cpu * 1000 / questions, 2),
    }
    outcome.bound(
        f"{ADDED_MS} ms more at most, in the middle", kept=through[49] - direct[49] < ADDED_MS
    )
    return outcome


def _client(kafka: World) -> KafkaClient:
    topics = kafka.topics
    return KafkaClient(
        kafka.servers,
        questions=topics["questions"],
        tokens=topics["tokens"],
        completions=topics["completions"],
    )


async def _direct(client: KafkaClient) -> float:
    """Seconds to the first token; it is read to its end."""
    begun, first = time.monotonic(), None
    async with aclosing(client.stream("Why?")) as said:
        async for event in said:
            if first is None and isinstance(event, Token):
                first = time.monotonic() - begun
    assert first is not None
    return first


async def _through(session: aiohttp.ClientSession) -> float:
    """As `_direct`."""
    begun, first = time.monotonic(), None
    async with session.post("/predict/stream", json={"question": "Why?"}) as response:
        async for line in response.content:
            if first is None and line.startswith(b'data: {"token"'):
                first = time.monotonic() - begun
    assert first is not None
    return first
