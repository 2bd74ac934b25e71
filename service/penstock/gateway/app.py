"""What is a gateway made of? Its parts, and the web application in front of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka.errors import KafkaError as ClientError
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from penstock import __version__
from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.gateway.access import Access
from penstock.gateway.backlog import Backlog
from penstock.gateway.bulletin import Bulletin
from penstock.gateway.desk import Desk
from penstock.gateway.failures import told_as_problems
from penstock.gateway.fan_out import FanOut
from penstock.gateway.figures import Figures
from penstock.gateway.guards import guards, without_tokens
from penstock.gateway.index import Index
from penstock.gateway.letters import Letters
from penstock.gateway.measured import Meters
from penstock.gateway.overview import Overview
from penstock.gateway.parts import Parts
from penstock.gateway.problem import OTHERWISE
from penstock.gateway.questions import Questions
from penstock.gateway.reach import Reach
from penstock.gateway.replays import Replays
from penstock.gateway.requests import Requests
from penstock.gateway.routes import (
    batch,
    console,
    dead_letters,
    json_socket,
    openai_chat,
    openai_models,
    openai_responses,
    overview,
    pauses,
    predict,
    probes,
    programs,
    recent,
    replays,
    text_socket,
)
from penstock.gateway.routes import questions as asking
from penstock.gateway.traced import FASTAPI
from penstock.kafka.admin import admin, require
from penstock.kafka.codec import Codec
from penstock.kafka.preflight import longest_run
from penstock.kafka.rights import GATEWAY
from penstock.kafka.security import client_arguments
from penstock.settings import Settings
from penstock.settings.programs import default_program

ASKING = (predict, asking, batch, text_socket, json_socket)
OPENAI = (openai_chat, openai_responses, openai_models)
OPERATING = (overview, recent, programs, dead_letters, pauses, replays)

TAGS = [
    {"name": "simple", "description": "A question in, its answer out."},
    {
        "name": "questions",
        "description": "Questions that are asked now and read whenever, by their ids.",
    },
    {
        "name": "OpenAI",
        "description": "For the clients of OpenAI's API: a program is a model there.",
    },
    {
        "name": "console",
        "description": "What the console shows and does. Dead letters, pauses and replays are for "
        "operators: `penstock token NAME --operator` makes a token of one; where there are no "
        "tokens, the gateway logs one at its start.",
    },
    {"name": "probes", "description": "For whoever keeps it running, without a token."},
]
"""Of its OpenAPI document."""


@asynccontextmanager
async def gateway(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Parts]:
    """Connected, and its index built, while the block runs.

    Args:
        settings: of this process.
        registry: that serves what is measured.

    Raises:
        ConfigurationError: there is no Kafka, or a topic is missing, or a right.
    """
    ours, clock = settings.gateway, Clock()
    access = Access(ours, clock)
    client = client_arguments(settings.kafka.bootstrap_servers, settings.kafka.client)
    topics = settings.topics
    wanted = {getattr(topics, role): operations for role, operations in GATEWAY.items()}
    async with admin(client) as connection:
        there = await require(connection, wanted, client.get("sasl_plain_username"))
    partitions = {name: topic.partitions for name, topic in there.items()}
    codec = _codec(settings)
    index = Index(
        ours.window_ms, ours.window_ids, settings.duplicates.window_ms, partitions[topics.tokens]
    )
    backlog, figures = Backlog(), Figures(clock.wall())
    group = settings.kafka.group_id
    meters = Meters(registry)
    fan_out = FanOut(
        client,
        topics,
        partitions,
        group,
        codec,
        index,
        backlog,
        figures,
        clock,
        ours.window_ms / 1000,
        longest_run(settings),
        meters.delayed,
    )
    meters.look_at(index, fan_out)
    overview = Overview(client, topics, group, backlog, clock)

    def default() -> str:
        return overview.default_program or default_program(settings)

    questions = Questions(
        client,
        topics,
        partitions,
        index,
        fan_out,
        backlog,
        codec,
        clock,
        default,
        ours.max_wait_ms / 1000,
        access.spend,
    )
    bulletin = Bulletin(overview, figures, backlog, index, ours, clock, everybody=access.open)
    reach = Reach(client, topics, clock)
    desk = Desk(reach, bulletin, Letters(reach, default), Replays(reach, topics.completions))
    async with AsyncExitStack() as stack:
        try:
            stack.push_async_callback(fan_out.stop)
            await fan_out.start()
            await questions.start()
            stack.push_async_callback(questions.stop)
        except (ClientError, KafkaError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise ConfigurationError(f"the gateway cannot start: {why}") from error
        stack.push_async_callback(overview.stop)
        overview.start()
        stack.push_async_callback(bulletin.stop)
        bulletin.start()
        stack.push_async_callback(access.stop)
        loop = asyncio.get_running_loop()
        stopping, closing = loop.create_future(), loop.create_future()
        yield Parts(settings, questions, overview, desk, access, meters, clock, stopping, closing)


def application(parts: Parts) -> FastAPI:
    """What it serves."""
    docs = parts.settings.gateway.docs
    app = FastAPI(
        title="Penstock",
        version=__version__,
        summary="Ask DSPy programs over HTTP, in front of Kafka.",
        openapi_tags=TAGS,
        generate_unique_id_function=lambda route: route.name,
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        responses=OTHERWISE,
        telemetry=FASTAPI,
        middleware=[
            Middleware(Requests, parts.meters, parts.clock),
            *guards(parts.settings, everybody=parts.access.open),
        ],
    )
    if parts.access.open:
        described = app.openapi
        app.openapi = lambda: without_tokens(described())  # type: ignore[method-assign]
    app.state.parts = parts
    told_as_problems(app)
    for routes in (*ASKING, *OPENAI, *OPERATING, probes):
        app.include_router(routes.router)
    if parts.settings.gateway.console:
        app.include_router(console.router)
    return app


def _codec(settings: Settings) -> Codec:
    """How a question reads; which programs there are only the service knows."""
    return Codec(
        programs={},
        default_program=default_program(settings),
        ordering=settings.pool.ordering,
        max_timeout=settings.deadline.max_ms / 1000,
        id_characters=settings.bounds.id_characters,
        metadata_bytes=settings.bounds.metadata_bytes,
        value_bytes=settings.bounds.value_bytes,
        forward=frozenset(),
    )
