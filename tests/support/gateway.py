"""A gateway in the test's own loop, in front of topics that a service answers, or nobody.

async with answered(bootstrap_servers, topics, "openai/ok") as gateway:
    ...  # httpx.AsyncClient(base_url=gateway.address)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from penstock.gateway.server import Serving, serving
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import running_service, settings_for


@asynccontextmanager
async def running_gateway(
    bootstrap_servers: str, topics: Topics, **flags: Any
) -> AsyncIterator[Serving]:
    """On a free port of this machine; `flags` as of `settings_for`. The topics have to be there."""
    flags["gateway"] = {"port": 0, **flags.get("gateway", {})}
    loaded = settings_for(bootstrap_servers, topics, "openai/ok", **flags)
    async with serving(loaded) as gateway:
        yield gateway


@asynccontextmanager
async def answered(
    bootstrap_servers: str, topics: Topics, model: str = "openai/ok", **flags: Any
) -> AsyncIterator[Serving]:
    """With a service and a model server behind it. `flags`: of the service and of the gateway."""
    of_service = {name: value for name, value in flags.items() if name != "gateway"}
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, model, models.api_base, **of_service),
        running_gateway(bootstrap_servers, topics, **flags) as gateway,
    ):
        yield gateway
