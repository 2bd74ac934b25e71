"""Programs on the service's own runner, without Kafka.

async with runner("tests.support.programs:Shout") as run:
    ran = await run(question="?")
    assert ran.answer == "YOU SAID ?"
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from penstock import assembly, settings
from penstock.clock import Clock
from penstock.core.failure import Failure
from penstock.errors import PublishError
from penstock.events.report import Report
from penstock.program.calls import Calls
from penstock.program.catalog import Program
from penstock.program.runner import Runner
from penstock.program.stream import TokenStream
from tests.support.model_server import ModelServer, model_server

NAME = "mine"


@dataclass
class Ran:
    """What came of one question."""

    failure: Failure | None
    report: Report
    events: list[dict[str, Any]]

    @property
    def answer(self) -> str | None:
        return self.report.answer

    @property
    def kind_and_code(self) -> tuple[str, str] | None:
        return None if self.failure is None else (self.failure.kind.value, self.failure.code)

    def said(self) -> dict[tuple[str, int, str], str]:
        """By step, call and field, what was not taken back."""
        last = max((n for n, e in enumerate(self.events) if e["type"] == "restart"), default=-1)
        tokens = [e for e in self.events[last + 1 :] if e["type"] == "token"]
        tokens.sort(key=_part)
        return {
            part: "".join(token["text"] for token in pieces)
            for part, pieces in groupby(tokens, key=_part)
        }

    def heard(self, field: str) -> str:
        """As a reader takes it: of all calls that write the field, the one that began last."""
        last = max((n for n, e in enumerate(self.events) if e["type"] == "restart"), default=-1)
        tokens = [e for e in self.events[last + 1 :] if e["type"] == "token"]
        begun = list(dict.fromkeys((e["step"], e["call"]) for e in tokens if e["field"] == field))
        return self.said()[(*begun[-1], field)]


def _part(token: dict[str, Any]) -> tuple[str, int, str]:
    return token["step"], token["call"], token["field"]


@dataclass
class Running:
    """Call it with a question's inputs."""

    models: ModelServer
    program: Program
    runner: Runner
    speaks: asyncio.Event = field(default_factory=asyncio.Event)
    """A token event was sent."""

    async def __call__(
        self, *, stream: bool = True, deaf: bool = False, calls: Calls | None = None, **inputs: Any
    ) -> Ran:
        """`deaf`: Kafka takes no token event."""
        events: list[dict[str, Any]] = []

        async def send(value: bytes, _: int) -> "asyncio.Future[None]":
            if deaf:
                raise PublishError("not authorised")
            events.append(json.loads(value))
            self.speaks.set()
            acknowledged = asyncio.get_running_loop().create_future()
            acknowledged.set_result(None)
            return acknowledged

        report = Report()
        tokens = TokenStream("q", send) if stream else None
        failure = await self.runner.run(NAME, inputs, report, tokens, calls)
        return Ran(failure, report, events)


@asynccontextmanager
async def runner(
    entry: str | dict[str, Any],
    model: str = "ok",
    slots: int = 4,
    adapter: str = "chat",
    engine: str = "auto",
) -> AsyncIterator[Running]:
    """One program, loaded as the service loads it."""
    async with model_server() as models:
        client = {"api_base": models.api_base, "api_key": "none", "adapter": adapter}
        client |= {"engine": engine}
        loaded = settings.load(
            model={"name": f"openai/{model}", **client},
            programs={NAME: entry},
            pool={"slots": slots},
        )
        # DSPy may only be configured by the first task that did; here every test is another.
        vars(sys.modules["dspy.dsp.utils.settings"])["config_owner_async_task"] = None
        [program] = assembly.load_programs(loaded).values()
        try:
            yield Running(models, program, Runner({NAME: program}, Clock()))
        finally:
            await program.model.aclose()
