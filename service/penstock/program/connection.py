"""How does a request reach a model, and how long may each part of its answer take?"""

import asyncio
import select
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from dspy.lm15 import ConfigurationError, LM15Error
from dspy.lm15 import TimeoutError as LateError

from penstock.program.connection_errors import CONNECTION_FAILURES, connection_error

_AFTERWARDS = 2.0
"""Seconds for what may follow the last word: the usage, and the end of the body, without which
the connection cannot be kept."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    Args:
        connect: for a connection: name, TCP, TLS, and the proxy's part.
        first_token: from the request to the first word or thought; for an answer that is not
            streamed, to its head. None: only the question's own deadline counts, for a model may
            think, or have others to serve first, for minutes, and asking again is paid for again.
        idle: of silence after that. A keep-alive comment is no silence.
    """

    connect: float = 5.0
    first_token: float | None = None
    idle: float = 30.0


class Connections:
    """To one endpoint, without an upper bound: how many questions run at once is decided elsewhere.

    A kept connection that the server has closed meanwhile is never used: whether a request on it
    has arrived would be known to nobody, and it is never sent twice.
    """

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._proxy = _proxy_for(url)
        self._session: aiohttp.ClientSession | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def post(self, url: str, headers: list[tuple[str, str]], body: bytes) -> "Reading":
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
                raise _late("no connection", self._timeouts.connect, "CONNECT_MS") from error
            except TimeoutError as error:
                raise _late("no first token", first, "FIRST_TOKEN_MS") from error
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
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Compressed, words would wait for each other.
                headers={"Accept-Encoding": "identity", "User-Agent": "penstock"},
                request_class=_Request,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect),
            )
        elif loop is not self.loop:
            raise ConfigurationError("the model's client belongs to another event loop")
        return self._session


class Reading:
    """The body of one answer, each part in its time. To be closed."""

    def __init__(
        self, response: aiohttp.ClientResponse, timeouts: Timeouts, first_by: float | None
    ) -> None:
        self.response = response
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._idle = timeouts.idle
        self._begun = False
        self._waiting_since: float | None = None
        # One timer for the whole answer: a timeout around every read costs as much as the read.
        self._timer = None if first_by is None else self._loop.call_at(first_by, self._give_up)

    async def next(self) -> bytes:
        """What has come; empty at the end. Raises LM15Error."""
        self._waiting_since = self._loop.time()
        try:
            return await self.response.content.readany()
        except LM15Error:
            raise
        except CONNECTION_FAILURES as error:
            raise connection_error(error) from error
        finally:
            self._waiting_since = None

    def left(self) -> bytes:
        """After an error: what came before it and was not read yet."""
        return self.response.content._read_nowait(-1)  # noqa: SLF001 - its other methods only raise the error

    async def whole(self) -> bytes:
        self.begun()
        parts: list[bytes] = []
        while part := await self.next():
            parts.append(part)
        return b"".join(parts)

    def begun(self) -> None:
        """The first token has come: from here on, silence is counted."""
        if not self._begun:
            self._begun = True
            self._count_silence(self._idle)

    def almost_over(self) -> None:
        """All words are there: nothing is worth a long wait any more."""
        if not self._begun or self._idle > _AFTERWARDS:
            self._begun = True
            self._idle = min(self._idle, _AFTERWARDS)
            self._count_silence(self._idle)

    async def rest(self) -> None:
        """To the end of the body, for the connection's sake alone."""
        self.almost_over()
        with suppress(LM15Error):
            while await self.next():
                pass

    def close(self) -> None:
        """The connection is free for the next call where the body was read to its end."""
        if self._timer is not None:
            self._timer.cancel()
        self.response.close()

    def _count_silence(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._listen)

    def _listen(self) -> None:
        """Time that was spent elsewhere, by a slow broker perhaps, is no silence of the model."""
        now = self._loop.time()
        since = now if self._waiting_since is None else self._waiting_since
        left = since + self._idle - now
        if left > 0:
            self._timer = self._loop.call_later(left, self._listen)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Whoever reads next, or is waiting to, is told."""
        if self._begun:
            late = _late("no more words", self._idle, "IDLE_MS")
        else:
            late = _late("no first token", self._timeouts.first_token, "FIRST_TOKEN_MS")
        self.response.content.set_exception(late)


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


def _late(what: str, seconds: float | None, setting: str) -> LateError:
    return LateError(f"{what} from the model within {seconds:g} s ({setting})")
