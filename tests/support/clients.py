"""The clients a model may be asked through, each as the service builds it."""

import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

# Else the first call that needs litellm waits for a price list from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
import dspy

from penstock.program import model
from penstock.program.connection import Timeouts
from penstock.program.threads import SETTING, Threads
from tests.support.asking import QUESTION, Server, Sink

KEY = "sk-planted-0123456789"


@dataclass(frozen=True)
class Client:
    """`in_thread`: as a program asks that has only `forward`."""

    engine: model.EngineName
    in_thread: bool = False

    def build(
        self, server: Server, name: str, timeouts: Timeouts | None = None, **options: Any
    ) -> model.Model:
        return model.build(
            f"openai/{name}",
            "chat",
            connections=64,
            api_base=server.api_base,
            api_key=KEY,
            options=options,
            engine=self.engine,
            timeouts=timeouts or Timeouts(),
        )

    @asynccontextmanager
    async def built(
        self, server: Server, name: str, timeouts: Timeouts | None = None, **options: Any
    ) -> AsyncIterator[model.Model]:
        built = self.build(server, name, timeouts, **options)
        try:
            yield built
        finally:
            await built.aclose()

    async def ask(
        self,
        server: Server,
        name: str,
        *,
        sink: Sink | None = None,
        timeouts: Timeouts | None = None,
        **options: Any,
    ) -> Any:
        async with self.built(server, name, timeouts, **options) as built:
            return await self.ask_built(built, sink=sink)

    async def ask_built(
        self, built: model.Model, *, sink: Any = None, question: str = QUESTION
    ) -> Any:
        """What `dspy.Predict` answers, or raises."""
        streamed = {} if sink is None else {"send_stream": sink, "stream_listeners": []}
        program = dspy.Predict("question -> answer")
        threads = Threads()
        with dspy.context(
            lm=built.lm,
            adapter=built.adapter,
            track_usage=True,
            disable_history=True,
            **{SETTING: threads},
            **streamed,
        ):
            if self.in_thread:
                return await threads.run(program, question=question)
            return await program.acall(question=question)


OURS = Client("openai")
NATIVE = Client("native")

every_client = pytest.mark.parametrize(
    "client",
    [
        pytest.param(OURS, id="ours"),
        pytest.param(Client("openai", in_thread=True), id="ours-in-a-thread"),
        pytest.param(NATIVE, id="native"),
        pytest.param(
            Client("litellm"),
            id="litellm",
            marks=[
                pytest.mark.skipif(
                    importlib.util.find_spec("litellm") is None,
                    reason="litellm is not installed: it is only taken where it is asked for",
                ),
                pytest.mark.filterwarnings("ignore"),
            ],
        ),
    ],
)
