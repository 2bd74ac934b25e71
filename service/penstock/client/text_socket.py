"""How does one ask over a WebSocket of plain text? A message is a question; the text of its answer
comes back in pieces, to `[DONE]`.

    async with TextSocket("ws://localhost:8080/ws") as socket:
        async for text in socket.ask("Why is the sky blue?"):
            print(text, end="", flush=True)

Two who talk over one connection take turns. For fields, ids and what to do when the connection
breaks there is `penstock.client.HttpClient`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Self

import aiohttp

from penstock.errors import ConfigurationError, GatewayError

DONE = "[DONE]"
ERROR = "[ERROR] "

RESTART = "[RESTART]"
"""Comes in place of a text: drop those before it."""

SUBPROTOCOL = "penstock.v1.text"
HEARTBEAT_SECONDS = 20.0
CONNECT_SECONDS = 10.0


class TextSocket:
    """Args:
    url: such as `wss://answers.example.com/ws`.
    token: a bearer token, where the gateway wants one.
    program: which of the service's programs answers. Default: the service's own default.
    """

    def __init__(self, url: str, *, token: str | None = None, program: str | None = None) -> None:
        self._url = url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._params = {} if program is None else {"program": program}
        self._turn = asyncio.Lock()
        self._answering = False
        self._stack = AsyncExitStack()
        self._socket: aiohttp.ClientWebSocketResponse

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            ConfigurationError: nobody answers there, or nobody who lets us in.
        """
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._socket = await session.ws_connect(
                        self._url,
                        protocols=(SUBPROTOCOL,),
                        headers=self._headers,
                        params=self._params,
                        heartbeat=HEARTBEAT_SECONDS,
                    )
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                why = str(error) or type(error).__name__
                raise ConfigurationError(f"cannot talk to {self._url}: {why}") from error
            stack.push_async_callback(self._socket.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(self, question: str) -> AsyncGenerator[str, None]:
        """The text of the answer in pieces; `RESTART` among them voids those before it.

        What one leaves before its end is still answered, and the next question waits for that.

        Raises:
            GatewayError: there is no answer, or the connection is closed.
        """
        async with self._turn:
            while self._answering:
                await self._receive()
            try:
                await self._socket.send_str(question)
            except (aiohttp.ClientError, OSError) as error:
                raise _closed(error) from error
            self._answering = True
            refused: GatewayError | None = None
            while (text := await self._receive()) != DONE:
                if text.startswith(ERROR):
                    refused = GatewayError(None, "no_answer", text.removeprefix(ERROR))
                else:
                    yield text
            if refused is not None:
                raise refused

    async def _receive(self) -> str:
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise _closed(self._socket.exception() or message.extra)
        text: str = message.data
        self._answering = text != DONE
        return text


def _closed(why: object) -> GatewayError:
    return GatewayError(None, "closed", f"the connection is closed{f': {why}' if why else ''}")
