"""What may happen to a service in two minutes: models of several tempers, members that come and go,
clients that ask for all kinds of things.
"""

import asyncio
import itertools
import os
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from penstock.local.prompt import ChatRequest
from tests.support.model_server import ModelServer
from tests.support.processes import (
    PENSTOCK,
    PENSTOCK_SERVE,
    ROOT,
    Child,
    Running,
    service,
    without_settings,
)
from tests.support.prometheus import Prometheus
from tests.support.traffic import Asker, World

PER_SECOND = 6.0
BURST = 40
"""Answers of 1,500 words, all at once."""
CLIENTS = 2
"""Of the gateway."""

# Of ten questions.
MIX = ("qa", "qa", "qa", "summary", "qa", "triage", "qa", "extract", "qa", "search")
PROGRAMS = {
    "QA": ("question -> answer", "flaky"),
    "SUMMARY": ("question -> answer", "large"),
    "TRIAGE": ("question -> answer", "limited"),
    "EXTRACT": ("question -> answer", "form"),
    "SEARCH": ("tests.support.thread_programs:Forward", "flaky"),
    "DOZING": ("tests.support.thread_programs:Dozing", "flaky"),
    "LONG": ("question -> answer", "long"),
    "CHATTY": ("question -> answer", "chatty"),
}
"""What answers, and which model it asks."""


class Provider:
    """Models of several tempers. Each has its moods."""

    def __init__(self, server: ModelServer) -> None:
        self.away = self.busy = False
        self._chance = random.Random(10)
        for name in ("flaky", "large", "limited", "form", "long", "chatty"):
            server.script[name] = getattr(self, f"_{name}")

    def _ok(self, first_ms: float, token_ms: float, tokens: float) -> str:
        return (
            f"ok?first_ms={self._chance.gauss(first_ms, first_ms / 4):.0f}"
            f"&token_ms={token_ms * self._chance.uniform(0.8, 1.6):.0f}"
            f"&tokens={max(4, self._chance.gauss(tokens, tokens / 2)):.0f}"
        )

    def _flaky(self, number: int, _: ChatRequest) -> str:
        if number % 17 == 0:
            return "500"
        return "cut?at=5&token_ms=20" if number % 23 == 0 else self._ok(300, 20, 40)

    def _large(self, _: int, __: ChatRequest) -> str:
        return "500?first_ms=100" if self.away else self._ok(900, 30, 60)

    def _limited(self, _: int, __: ChatRequest) -> str:
        return "429?retry_after=3&first_ms=20" if self.busy else self._ok(200, 15, 20)

    def _form(self, number: int, request: ChatRequest) -> str:
        wrong = "doomed" in (request.question or "") or number % 4 == 0
        return "unparsable?first_ms=200" if wrong else self._ok(400, 20, 20)

    def _long(self, _: int, __: ChatRequest) -> str:
        return "ok?first_ms=500&token_ms=250&tokens=90"

    def _chatty(self, _: int, __: ChatRequest) -> str:
        return "ok?first_ms=100&token_ms=0.2&tokens=1500"


@dataclass
class Crew:
    """Members by their names, and who scrapes them."""

    kafka: World
    provider: ModelServer
    watching: Prometheus
    stack: AsyncExitStack
    members: dict[str, Running] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Of the metrics of one of them."""
        return next(iter(self.members.values())).address

    async def join(self, name: str) -> None:
        own: dict[str, Any] = {
            "POOL__SLOTS": 24,
            "INTAKE__HIGH": 30,
            "INTAKE__LOW": 10,
            "RETRY__BASE_MS": 800,
            "BREAKER__PROBE_MS": 2_000,
            "DRAIN_MS": 20_000,
            "DEFAULT_PROGRAM": "qa",
        }
        for program, (entry, model) in PROGRAMS.items():
            own |= {
                f"PROGRAMS__{program}__ENTRY": entry,
                f"PROGRAMS__{program}__MODEL": model,
                f"MODELS__{model.upper()}__NAME": f"openai/{model}",
                f"MODELS__{model.upper()}__API_BASE": self.provider.address,
                f"MODELS__{model.upper()}__API_KEY": "none",
            }
        running = await self.stack.enter_async_context(
            service(self.kafka, self.provider, own, _where_programs_are)
        )
        self.members[name] = running
        self._tell()

    async def killed(self, name: str) -> None:
        running = self.members.pop(name)
        running.kill()
        await running.ended()
        self._tell()

    async def left(self, name: str) -> int:
        """As an orchestrator would have it; it is scraped until it has ended."""
        code = await self.members[name].terminate()
        del self.members[name]
        self._tell()
        return code

    def _tell(self) -> None:
        found = {name: host(running.address) for name, running in self.members.items()}
        self.watching.targets("penstock", found)


def host(address: str) -> str:
    return re.sub(r"^http://|/metrics$", "", address)


async def _where_programs_are(environment: Mapping[str, str], folder: Path) -> Child:
    path = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    return await PENSTOCK_SERVE({**environment, "PYTHONPATH": path}, folder)


async def mishaps(crew: Crew, provider: Provider, asker: Asker, seconds: float) -> int:
    """Everything that a panel is for; gives the exit code of the member that was asked to leave."""
    begun = time.monotonic()

    async def until(part: float) -> None:
        await asyncio.sleep(max(0.0, begun + part * seconds - time.monotonic()))

    load = asyncio.create_task(_load(asker))
    await until(0.12)
    provider.busy = True
    await until(0.22)
    provider.busy = False
    await until(0.27)
    provider.away = True
    await until(0.40)
    provider.away = False
    await until(0.46)
    await crew.killed("answers-0")
    await until(0.50)
    await crew.join("answers-2")
    await until(0.60)
    leaving = asyncio.create_task(crew.left("answers-1"))
    await crew.join("answers-3")
    code = await leaving
    await until(0.78)
    await _operator(crew.kafka, "pause", "--program", "qa", "--reason", "a look at its prompts")
    await until(0.84)
    await _operator(crew.kafka, "resume", "--program", "qa")
    for number in range(BURST):
        await asker.ask(f"burst-{number}", program="chatty")
    # However long members have taken to join.
    await asyncio.sleep(0.16 * seconds)
    load.cancel()
    with suppress(asyncio.CancelledError):
        await load
    return code


async def _load(asker: Asker) -> None:
    """Steadily, until it is cancelled."""
    for number in itertools.count():
        program = MIX[number % len(MIX)]
        name = f"q-{number}" if number % 40 != 7 else f"doomed-{number}"
        key = f"customer-{number % 40}" if number % 3 == 0 else None
        await asker.ask(name, key=key, program=program)
        for rare in RARE.get(number % 100, ()):
            await rare(asker, number)
        await asyncio.sleep(1 / PER_SECOND)


async def _long(asker: Asker, number: int) -> None:
    await asker.ask(f"long-{number}", program="long")


async def _unwanted(asker: Asker, number: int) -> None:
    await asker.ask(f"unwanted-{number}", program="long")
    await asker.cancel(f"unwanted-{number}")


async def _late(asker: Asker, number: int) -> None:
    await asker.ask(f"late-{number}", program="long", timeout_ms=2_000)


async def _asleep(asker: Asker, number: int) -> None:
    await asker.ask(f"asleep-{number}", program="dozing", timeout_ms=3_000)


async def _whose(asker: Asker, number: int) -> None:
    await asker.ask(f"whose-{number}", program="nobody's")


async def _twice(asker: Asker, number: int) -> None:
    for _ in range(2):
        await asker.ask(f"twice-{number}", key="twice", program="search")


RARE = {10: [_long], 25: [_unwanted], 40: [_late, _asleep], 55: [_long], 70: [_whose, _twice]}
"""In a hundred questions."""


@asynccontextmanager
async def through_the_gateway(address: str) -> AsyncIterator[None]:
    """Clients of the gateway: some wait, some read streams, some ask for what is not there."""

    async def ask() -> None:
        body = {"question": "Why?", "program": "qa", "timeout_ms": 60_000}
        async with httpx.AsyncClient(base_url=address, timeout=90) as client:
            for number in itertools.count():
                await client.post("/predict", json=body)
                await client.get(f"/v1/questions/nobody-{number}")
                async with client.stream("POST", "/predict/stream", json=body) as answer:
                    async for _ in answer.aiter_lines():
                        pass

    clients = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
    try:
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _operator(kafka: World, *words: str) -> None:
    own = {"KAFKA__BOOTSTRAP_SERVERS": kafka.servers, "TOPICS__CONTROL": kafka.topics["control"]}
    settings = {f"PENSTOCK_{name}": value for name, value in own.items()}
    process = await asyncio.create_subprocess_exec(
        *(PENSTOCK, *words),
        env={**without_settings(os.environ), **settings},
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0, f"penstock {' '.join(words)}"
