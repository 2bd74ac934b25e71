"""How does a request reach a model? Once."""

import asyncio
import select
from collections.abc import Callable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from dspy.lm15 import ConfigurationError

from penstock.program.connection_errors import CONNECTION_FAILURES, connection_error
from penstock.program.reading import Reading, Timeouts, too_late

Connector = Callable[[], aiohttp.BaseConnector]
"""Called on the loop that uses it."""


class Connections:
    """To one endpoint, without an upper bound: how many questions run at once is decided elsewhere.

    A kept connection that the server has closed meanwhile is never used: whether a request on it
    has arrived would be known to nobody, and it is never sent twice.
    """

    def __init__(self, url: str, timeouts: Timeouts, connector: Connector | None = None) -> None:
        """`connector`: another way to the endpoint than over the network."""
        self._timeouts = timeouts
        self._proxy = _proxy_for(url)
        self._connector = connector or _over_tcp
        self._session: aiohttp.ClientSession | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def post(self, url: str, headers: list[tuple[str, str]], body: bytes) -> Reading:
        """Until the head of the answer is there; the caller closes the reading.

        Raises LM15Error.
        """
        session = self._opened()
        first = self._timeouts.first_token
        first_by = None if first is None else asyncio.get_running_loop().time() + first
        while True:
            try:
                async with asyncio.timeout_at(first_by):
                    response = await session.post(
                        url, data=body, headers=headers, proxy=self._proxy, allow_redirects=False
                    )
                return Reading(response, self._timeouts, first_by)
            except _StaleConnectionError:
                continue
            except aiohttp.ConnectionTimeoutError as error:
                raise too_late("no connection", self._timeouts.connect, "CONNECT_MS") from error
            except TimeoutError as error:
                raise too_late("no first token", first, "FIRST_TOKEN_MS") from error
            except CONNECTION_FAILURES as error:
                raise connection_error(error) from error

    async def aclose(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("the model's client is closed")
        loop = asyncio.get_running_loop()
        if self._session is None:
            self.loop = loop
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Compressed, words would wait for each other.
                headers={"Accept-Encoding": "identity", "User-Agent": "penstock"},
                request_class=_Request,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect),
            )
        elif loop is not self.loop:
            raise ConfigurationError("the model's client belongs to another event loop")
        return self._session


def _over_tcp() -> aiohttp.BaseConnector:
    return aiohttp.TCPConnector(limit=0)


class _StaleConnectionError(aiohttp.ClientConnectionError):
    """Nothing was sent on it."""


_kept: WeakSet[ResponseHandler] = WeakSet()
"""Connections that have carried a request before."""


class _Request(aiohttp.ClientRequest):
    """Looks at a kept connection before it writes: the loop may not have seen yet that it ended.

    A server says nothing before it is asked, so one with something to read has ended.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        protocol, transport = conn.protocol, conn.transport
        if protocol is not None and transport is not None:
            socket = transport.get_extra_info("socket")
            if protocol in _kept and _has_something_to_read(socket.fileno()):
                raise _StaleConnectionError
            _kept.add(protocol)
        return await super().send(conn)


def _has_something_to_read(descriptor: int) -> bool:
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _proxy_for(url: str) -> str | None:
    """By HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, as DSPy's own client does.

    aiohttp's way would also look for a password in ~/.netrc, and take it in place of the key.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
