"""The clients a model may be asked through, each as the service builds it."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.program import model
from penstock.program.reading import Timeouts
from tests.support.asking import Server, ask

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

    async def ask(self, server: Server, name: str, **asked: Any) -> Any:
        return await ask(
            server, name, engine=self.engine, in_thread=self.in_thread, api_key=KEY, **asked
        )


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
