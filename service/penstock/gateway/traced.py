"""Of which trace is a request? What it asks goes on from there.

Where this process traces, FastAPI itself opens a span for what asks, and goes on from its headers.
"""

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.events.envelope import Headers
from penstock.events.trace_context import NAMES
from penstock.telemetry.tracing.asking import hide, within


class Traced:
    """Where this process does not trace, a context passes through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _asks(scope):
            await self._app(scope, receive, send)
            return
        if scope["query_string"]:
            # With the token of whoever is told a moment later that it does not belong there.
            hide("url.query")
        with within(_trace(scope)):
            await self._app(scope, receive, send)


def _asks(scope: MutableMapping[str, Any]) -> bool:
    """Pages that are looked at, and streams that are read, are nobody's question."""
    return scope["type"] == "websocket" or scope.get("method") == "POST"


def _trace(scope: Scope) -> Headers:
    found = ((name.decode("latin-1"), value) for name, value in scope["headers"])
    return tuple(one for one in found if one[0] in NAMES)


FASTAPI: TelemetryConfig = {
    # Of exceptions, which may quote anything.
    "logs": False,
    "metrics": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: not _asks(scope),
}
