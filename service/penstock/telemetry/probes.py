"""/metrics, /livez and /readyz."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry

from penstock.errors import ConfigurationError
from penstock.telemetry.series import text

Check = Callable[[], str | None]
"""None when all is well, else what is not."""


@asynccontextmanager
async def serve(
    port: int, registry: CollectorRegistry, live: Check, ready: Check
) -> AsyncIterator[int]:
    """Serves until the context ends; gives the port, which was free if `port` was 0.

    Raises:
        ConfigurationError: the port is taken.
    """

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = text(registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", _probe(live))
    app.router.add_get("/readyz", _probe(ready))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            # A free port is another one in each address family, and only one can be told.
            site = web.TCPSite(runner, host=None if port else "0.0.0.0", port=port)
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"port {port} is taken; set PENSTOCK_TELEMETRY__PORT to another, "
                "or to 0 for a free one"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        wrong = check()
        return web.Response(text=wrong or "ok", status=503 if wrong else 200)

    return answer
