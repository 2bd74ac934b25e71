"""/metrics, /statusz, /livez, /readyz and /startupz."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from penstock.errors import ConfigurationError
from penstock.telemetry.series import text

Check = Callable[[], str | None]
"""None when all is well, else what is not."""


class Checks(NamedTuple):
    """By Kubernetes' probes.

    Args:
        live: whether a restart is all that helps.
        ready: whether it serves now.
        started: whether it has ever served; once it has, for ever.
    """

    live: Check
    ready: Check
    started: Check


@asynccontextmanager
async def serve(
    where: int | socket.socket,
    registry: CollectorRegistry,
    checks: Checks,
    status: Callable[[], str | None] | None = None,
    setting: str = "TELEMETRY__PORT",
) -> AsyncIterator[int]:
    """Serves until the context ends; gives the port, which was free if `where` was 0.

    Args:
        where: the port to listen on, or what listens already.
        registry: of what is measured.
        checks: what the probes are told.
        status: the JSON of `/statusz`, if there is such a thing; it gives None as long as there is
            nothing to say.
        setting: that says the port.

    Raises:
        ConfigurationError: the port is taken.
    """

    async def metrics(request: web.Request) -> web.Response:
        return measured(request, registry)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", _probe(checks.live))
    app.router.add_get("/readyz", _probe(checks.ready))
    app.router.add_get("/startupz", _probe(checks.started))
    if status is not None:
        app.router.add_get("/statusz", _json(status))
    async with listening(app, where, setting) as port:
        yield port


@asynccontextmanager
async def listening(
    app: web.Application, where: int | socket.socket, setting: str
) -> AsyncIterator[int]:
    """As `serve`, whatever it serves."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        if isinstance(where, socket.socket):
            await web.SockSite(runner, where).start()
        else:
            await _bound(runner, where, setting)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _bound(runner: web.AppRunner, port: int, setting: str) -> None:
    try:
        # A free port is another one in each address family, and only one can be told.
        await web.TCPSite(runner, host=None if port else "0.0.0.0", port=port).start()
    except OSError as error:
        raise ConfigurationError(
            f"port {port} is taken; set PENSTOCK_{setting} to another, or to 0 for a free one"
        ) from error


def measured(request: web.Request, what: Collector) -> web.Response:
    """In the format that the request accepts."""
    body, content_type = text(what, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


def verdict(wrong: str | None) -> web.Response:
    """What a probe is answered; `wrong`: what is, None: nothing."""
    return web.Response(text=wrong or "ok", status=503 if wrong else 200)


class _Within(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


def include(registry: CollectorRegistry, other: CollectorRegistry) -> None:
    """What `other` has, it serves from now on, too."""
    registry.register(_Within(other))


def _json(status: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        said = status()
        if said is None:
            return web.Response(text="it has not begun yet", status=503)
        return web.Response(text=said, content_type="application/json")

    return answer


def _probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return verdict(check())

    return answer
