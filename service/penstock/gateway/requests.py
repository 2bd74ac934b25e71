"""What is told of a request when it has ended? One line in the log, and its metrics: which route,
how it went and how long it took. No text, no token, no address that a client has made up.
"""

from contextvars import ContextVar

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.clock import Clock
from penstock.gateway.failures import NOBODY
from penstock.gateway.measured import Meters

UNROUTED = "none"
"""The route of what is refused before one is looked for, and of what is nowhere."""

OFTEN = {"/livez", "/readyz", "/", "/console/{name}"}
"""Routes that whoever keeps it running, and every page that is opened, asks for: at `debug`."""

_SWITCHED = 101
_REFUSED = 403
_FAILED = 500

log = structlog.get_logger("penstock.gateway")


class _Questions:
    """That one request is about."""

    def __init__(self) -> None:
        self.count = 0
        self.last: str | None = None

    def line(self) -> dict[str, str | int]:
        if self.last is None:
            return {}
        return {"question_id": self.last} if self.count == 1 else {"questions": self.count}


_about: ContextVar[_Questions | None] = ContextVar("about", default=None)


def is_about(question_id: str) -> None:
    """The request that is being answered."""
    about = _about.get()
    if about is not None and about.last != question_id:
        about.count += 1
        about.last = question_id


class Requests:
    """The outermost of all: what it does not see nobody is sent.

    Args:
        app: answers.
        meters: count.
        clock: of the process.
    """

    def __init__(self, app: ASGIApp, meters: Meters, clock: Clock) -> None:
        self._app = app
        self._meters = meters
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        began, status = self._clock.monotonic(), 0
        about = _Questions()
        before = _about.set(about)

        async def watched(message: Message) -> None:
            nonlocal status
            if not status and (said := _status(message)):
                status = said
                self._meters.head(_route(scope), self._clock.monotonic() - began)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            # Whoever is outside tells the client so.
            status = status or _FAILED
            raise
        finally:
            _about.reset(before)
            self._ended(scope, status or NOBODY, began, about)

    def _ended(self, scope: Scope, status: int, began: float, about: _Questions) -> None:
        route = _route(scope)
        self._meters.answered(route, status)
        often = route in OFTEN
        tell = log.debug if often else log.warning if status >= _FAILED else log.info
        tell(
            "request",
            method=scope.get("method", "WEBSOCKET"),
            route=route,
            status=status,
            duration_ms=round((self._clock.monotonic() - began) * 1000),
            **about.line(),
        )


def _status(message: Message) -> int | None:
    """By which the answer begins; None: it does not."""
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            said: int = message["status"]
            return said
        case "websocket.accept":
            return _SWITCHED
        case "websocket.close":
            return _REFUSED
    return None


def _route(scope: Scope) -> str:
    """As in the OpenAPI document, known when it was found."""
    path: str = getattr(scope.get("route"), "path_format", UNROUTED)
    return path
