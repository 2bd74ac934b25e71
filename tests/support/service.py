"""A service in the test's own loop, with a Kafka and a model of the test's choice.

    async with running_service(bootstrap_servers, topics, "openai/ok", server.api_base) as service:
        ...

It gets topics of its own, answers while the block runs, and is drained at its end.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from penstock import app, settings
from penstock.kafka.preflight import Needs
from penstock.settings import Settings, TopicSettings
from tests.support.kafka import Topics


def settings_for(
    bootstrap_servers: str,
    topics: Topics,
    model: str | dict[str, Any],
    api_base: str | None = None,
    **flags: Any,
) -> Settings:
    """Settings that touch nothing of another test: topics, group and port are this test's.

    `flags` are groups of settings as `settings.load` takes them, and win: `pool={"slots": 2}`.
    """
    named = {"name": model} if isinstance(model, str) else model
    own: dict[str, Any] = {
        "kafka": {"bootstrap_servers": bootstrap_servers, "group_id": topics.name("group")},
        "topics": {
            "questions": topics.name("questions"),
            "tokens": topics.name("tokens"),
            "completions": topics.name("completions"),
            "dead_letters": topics.name("dead-letters"),
            "control": topics.name("control"),
            "partitions": 2,
        },
        "model": {"api_base": api_base, "api_key": "none", **named},
        "telemetry": {"port": 0},
        "drain_ms": 5_000,
    }
    for name, value in flags.items():
        grouped = isinstance(value, dict) and isinstance(own.get(name), dict)
        own[name] = {**own[name], **value} if grouped else value
    return settings.load(**own)


def needing(topics: TopicSettings) -> Needs:
    """What a service with these topics, and nothing else set, asks of its Kafka."""
    return Needs(topics, f"{topics.questions}-group", "roundrobin", 4096, 625_000)


@asynccontextmanager
async def running_service(
    bootstrap_servers: str,
    topics: Topics,
    model: str | dict[str, Any] = "openai/ok",
    api_base: str | None = None,
    *,
    drain: bool = True,
    **flags: Any,
) -> AsyncIterator[app.Service]:
    """Serves while the block runs, from when it has its partitions.

    Args:
        bootstrap_servers: the Kafka; see the fixture of this name.
        topics: names this test's topics; the service creates them.
        model: its name, such as `openai/echo`, or a whole group of model settings.
        api_base: of the model server.
        drain: at the end; else the service is cut off, as by a crash.
        **flags: see `settings_for`.
    """
    loaded = settings_for(bootstrap_servers, topics, model, api_base, **flags)
    async with running(loaded, drain=drain, built=lambda: _created(topics, loaded)) as service:
        yield service


def _created(topics: Topics, loaded: Settings) -> None:
    names = loaded.topics
    topics.created += [
        names.questions,
        names.tokens,
        names.completions,
        names.dead_letters,
        names.control,
    ]


def configurable() -> None:
    """DSPy may only be configured by the first task that did; here every test is another."""
    vars(sys.modules["dspy.dsp.utils.settings"])["config_owner_async_task"] = None


@asynccontextmanager
async def running(
    loaded: Settings, *, drain: bool = True, built: Callable[[], None] = lambda: None
) -> AsyncIterator[app.Service]:
    """As `running_service`, by these settings; `built` is called when its topics are there."""
    configurable()
    async with app.service(loaded) as service:
        built()
        run = asyncio.create_task(service.run())
        try:
            await _has_partitions(service, run)
            yield service
            if drain:
                if not service.draining:
                    service.drain()
                await run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


async def _has_partitions(service: app.Service, run: "asyncio.Task[Any]") -> None:
    # Polled, as it is the group coordinator who decides when. The engine is told a round of the
    # event loop after the source knows.
    while (
        service.ready() is not None
        or service.engine.partitions.keys() != service.source._epochs.keys()
    ):
        if run.done():
            raise AssertionError(f"the service ended before it served: {run.result()}")
        await asyncio.sleep(0.01)
