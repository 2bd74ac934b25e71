"""How do events travel to a browser, or to curl? As server-sent events (WHATWG HTML, 9.2)."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.gateway.following import event_id
from penstock.gateway.leaving import gone
from penstock.gateway.problem import ProblemError
from penstock.gateway.stream import Said

KEEP_ALIVE_SECONDS = 15.0
"""Of silence, after which a comment tells proxies that somebody is there."""

COMPLETION_ID = "completion"
"""Of the last event. Who comes back with it has all of it."""

HEADERS = {
    "cache-control": "no-store",
    # nginx would collect the events before it hands them on.
    "x-accel-buffering": "no",
}

log = structlog.get_logger("penstock.gateway")


def content(example: str) -> dict[str, Any]:
    """How a route says in its OpenAPI description (`content`) what an event of it looks like.
    FastAPI leaves it alone where the route's `response_class` is a plain `Response`.
    """
    kinds = {"id": "string", "event": "string", "data": "string", "retry": "integer"}
    told = {name: {"type": kind} for name, kind in kinds.items()}
    event = {"type": "object", "properties": told}
    return {EventStream.media_type: {"itemSchema": event, "example": example}}


def frame(event: Said | bytes) -> bytes:
    """A token event, or the completion's bytes."""
    if isinstance(event, Said):
        name, kind, value = event_id(event), event.kind, event.value
    else:
        name, kind, value = COMPLETION_ID, "completion", event
    if b"\n" in value or b"\r" in value:
        # Whoever wrote it may have made it pretty.
        value = orjson.dumps(orjson.loads(value))
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (name.encode(), kind.encode(), value)


def problem(error: ProblemError) -> bytes:
    """What went wrong once the response has begun."""
    return b"event: problem\ndata: %s\n\n" % orjson.dumps(error.document)


class EventStream(Response):
    """A response that goes on while there are frames, and its client, and the gateway.

    Args:
        frames: whole events.
        stopping: is done when the gateway stops: the client comes back to another replica.
        stack: is closed at the end, whatever it is; by a ClientDisconnect, if it is that.
        headers: beside those that every such response has.
        farewell: what is said where the gateway stops before the end.
    """

    media_type = "text/event-stream"
    silence = b": nothing new\n\n"
    """Which says that, and that somebody is there."""

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        stopping: "asyncio.Future[None]",
        stack: AsyncExitStack | None = None,
        headers: Mapping[str, str] | None = None,
        farewell: Callable[[], bytes] = bytes,
    ) -> None:
        super().__init__(headers=HEADERS | dict(headers or {}))
        # It is as long as it gets.
        del self.headers["content-length"]
        self._frames = frames
        self._stopping = stopping
        self._stack = stack or AsyncExitStack()
        self._farewell = farewell
        self._sending = False
        self._sent = 0

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        with suppress(ClientDisconnect):
            async with self._stack:
                await self._answer(receive, send)

    async def _answer(self, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        producing = asyncio.create_task(self._produce(send))
        leaving = asyncio.create_task(gone(receive))
        try:
            await self._until_over({producing, leaving, self._stopping}, send)
        finally:
            left = leaving.done()
            for task in (producing, leaving):
                task.cancel()
            await asyncio.gather(producing, leaving, return_exceptions=True)
            await self._frames.aclose()
        if left:
            raise ClientDisconnect
        last = b""
        if producing.cancelled():
            last = self._farewell()
        else:
            # What nobody foresaw breaks the connection off: this is no whole answer.
            producing.result()
        await send({"type": "http.response.body", "body": last})

    async def _until_over(self, any_of: set["asyncio.Future[None]"], send: Send) -> None:
        while True:
            before = self._sent
            done, _ = await asyncio.wait(
                any_of, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return
            if self._sent == before and not self._sending:
                await send({"type": "http.response.body", "body": self.silence, "more_body": True})

    async def _produce(self, send: Send) -> None:
        try:
            async for one in self._frames:
                await self._send(send, one)
        except ProblemError as error:
            log.warning("a stream was broken off", reason=error.detail)
            await self._send(send, problem(error))

    async def _send(self, send: Send, one: bytes) -> None:
        # A client that does not read holds up itself.
        self._sending = True
        await send({"type": "http.response.body", "body": one, "more_body": True})
        self._sending = False
        self._sent += 1
