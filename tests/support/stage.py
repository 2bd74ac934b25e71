"""A Kafka, a model and an operator, between which services come and go.

async with stage(bootstrap_servers, topics) as on:
    async with on.serving(drain=False) as (_, talk):
        ...
    async with on.serving() as (_, talk):
        ...
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock import app, assembly
from tests.support.command import member_environment
from tests.support.conversation import Conversation, conversation, serving
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.operating import Operator, operating
from tests.support.processes import PENSTOCK_SERVE, SERVES, Running, Start, begun
from tests.support.scraping import Scrape
from tests.support.service import running_service, settings_for


@dataclass
class Stage:
    """The questions have one partition, if nothing else is said."""

    servers: str
    topics: Topics
    models: ModelServer
    operator: Operator

    def serving(
        self, model: str = "openai/ok", **flags: Any
    ) -> AbstractAsyncContextManager[tuple[app.Service, Conversation]]:
        return serving(self.servers, self.topics, model, self.models.api_base, **flags)

    def member(
        self, model: str = "openai/ok", **flags: Any
    ) -> AbstractAsyncContextManager[app.Service]:
        """One more in the group."""
        return running_service(self.servers, self.topics, model, self.models.api_base, **flags)

    def talking(self) -> AbstractAsyncContextManager[Conversation]:
        """With whoever serves; the topics have to be there."""
        settings = settings_for(self.servers, self.topics, "openai/ok")
        return conversation(settings.kafka, settings.topics)

    @asynccontextmanager
    async def process(
        self, model: str = "openai/ok", start: Start = PENSTOCK_SERVE, **more: str
    ) -> AsyncIterator[Running]:
        """One more in the group, which is a process of its own; its topics have to be there.
        `more` of its environment, by names without the prefix.
        """
        settings = settings_for(self.servers, self.topics, model, self.models.api_base)
        own = {f"PENSTOCK_{name}": value for name, value in more.items()}
        with tempfile.TemporaryDirectory(prefix="penstock-") as empty:
            told = member_environment(settings) | own
            async with begun(start, SERVES, told, Path(empty)) as running:
                yield running


@asynccontextmanager
async def stage(
    bootstrap_servers: str, topics: Topics, partitions: int = 1
) -> AsyncIterator[Stage]:
    topics.create("questions", partitions)
    async with model_server() as models, operating(bootstrap_servers, topics) as operator:
        yield Stage(bootstrap_servers, topics, models, operator)


@pytest.fixture
def opening_commits_only(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Flags of a service that commits when partitions arrive and leave, and not in between."""
    monkeypatch.setattr(assembly, "SESSION_TIMEOUT_MS", 3_600_000)
    return {"commit": {"interval_ms": 3_600_000, "records": 1_000_000}}


async def sample(service: app.Service, name: str) -> float:
    """Of the service's metrics, as it stands in their text: `penstock_slots`, `..{cause="x"}`."""
    return (await scraped(service))[name]


async def backlog(service: app.Service) -> float:
    """Of all its partitions of which it is known."""
    samples = (await scraped(service)).samples
    return sum(value for name, value in samples.items() if name.startswith("penstock_backlog{"))


async def scraped(service: app.Service) -> Scrape:
    url = f"http://localhost:{service.port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return Scrape(await response.text())
