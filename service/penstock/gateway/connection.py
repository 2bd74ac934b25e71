"""How do messages travel over a WebSocket? One at a time, while its client, and the gateway, are
there.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket, WebSocketDisconnect

POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012
"""Close codes (RFC 6455, 7.4). After the second the client comes back, to another replica."""


class Connection:
    """Args:
    socket: accepted.
    stopping: is done when the gateway stops.
    """

    def __init__(self, socket: WebSocket, stopping: "asyncio.Future[None]") -> None:
        self._socket = socket
        self._stopping = stopping
        self._sending = asyncio.Lock()

    async def send(self, message: str) -> None:
        """Waits while the client does not read: what is on its way to it is bounded.

        Raises:
            ClientDisconnect: it is there no more.
        """
        async with self._sending:
            try:
                await self._socket.send_text(message)
            except (WebSocketDisconnect, RuntimeError) as error:
                # RuntimeError: of a connection that is being closed, before we are told.
                raise ClientDisconnect from error

    async def messages(self) -> AsyncGenerator[str | None, None]:
        """Until the client leaves. None: one that is no text."""
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            yield message.get("text")

    async def serve(self, *work: Coroutine[Any, Any, None]) -> None:
        """Until one of these has ended, of which one reads `messages`; or the gateway stops.

        Raises:
            ClientDisconnect: the client has left.
        """
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.wait({*tasks, self._stopping}, return_when=asyncio.FIRST_COMPLETED)
            stays = not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        if stays:
            await self.close(SERVICE_RESTART, "the gateway stops; come back")
            return
        for end in ends:
            if isinstance(end, Exception):
                raise end
        raise ClientDisconnect

    async def close(self, code: int, reason: str) -> None:
        """Tells it why. Then nothing can be sent any more."""
        # It may be faster.
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close(code, reason)
