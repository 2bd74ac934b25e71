"""How is a question asked over HTTP? It is sent to a gateway once, however often that takes, and
what is said of it is read from where one was, whichever replica answers.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiohttp
import orjson

from penstock.client.again import Tries
from penstock.client.asking import Client
from penstock.client.batch import PATIENCE
from penstock.client.event_stream import Frame, Frames
from penstock.clock import Clock
from penstock.errors import ConfigurationError, GatewayError
from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.events.said import Event, read
from penstock.telemetry.tracing.asking import here

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 45.0
"""Three times what a gateway lets pass without a word: then nobody is there any more."""

WAIT_SECONDS = 30
"""Of a request for an answer, until its stream is read instead."""

CANCEL_SECONDS = 60.0
"""In which a question has to be cancelled."""

QUESTIONS = "/v1/questions"
GREETING = f"{QUESTIONS}/hello"
"""Of nobody's question: who lets us in says 404, and who does not says 401."""

COMPLETION = "completion"
PROBLEM = "problem"


class _Body(Question):
    """A question as it travels, with its key."""

    key: str | None = None

    def encoded(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode()


class HttpClient(Client):
    """Args:
        url: of the gateway, such as `https://answers.example.com`.
        token: a bearer token, where the gateway wants one.

    Raises:
        ConfigurationError: this is no URL.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        if not _is_address(url):
            raise ConfigurationError(
                f"{url!r} is no address of a gateway, such as http://localhost:8080"
            )
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigurationError("the gateway's token has characters that no token has")
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "penstock", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._clock = Clock()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            ConfigurationError: there is no gateway, or it does not let us in.
        """
        self._session = aiohttp.ClientSession(
            # How many questions are open at once is their asker's business.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
            ),
        )
        try:
            await self._greet()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def events(
        self, question: Question, key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """See `Client.events`."""
        # By its id it is the same question, however often it is sent.
        question_id = question.id or str(uuid4())
        body = _Body.model_validate({**dict(question), "id": question_id, "key": key})
        seconds = self._seconds(question)
        # Whoever reads no tokens has the answer in one request, if it does not take long.
        headers = {"Content-Type": "application/json"}
        headers |= {name: value.decode("latin-1") for name, value in here()}
        if not question.stream:
            headers["Prefer"] = f"wait={WAIT_SECONDS}"
        asked = await self._post(QUESTIONS, _tries(seconds), headers, body.encoded())
        if (completion := asked.get(COMPLETION)) is not None:
            yield _completion(orjson.dumps(completion))
            return
        tries = _tries(None if seconds is None else seconds + PATIENCE)
        tries.heard()
        async with aclosing(self._follow(question_id, tries)) as events:
            async for event in events:
                yield event

    def resume(self, question_id: str, after: int | None = None) -> AsyncGenerator[Event, None]:
        """What is said of a question that somebody has asked, as `stream` gives it.

        Args:
            question_id: of one that was asked in the time that the gateway looks back.
            after: the `sequence` of the last event one has; None: from the beginning.

        Raises:
            GatewayError: there is none by this id (404), or the gateway is away for too long.
        """
        return self._follow(question_id, _tries(None), after)

    async def cancel(self, question_id: str) -> None:
        """See `Client.cancel`.

        Raises:
            GatewayError: there is none by this id (404), or the gateway is away for too long.
        """
        await self._post(_path(question_id, "/cancel"), _tries(CANCEL_SECONDS))

    # --- requests ---------------------------------------------------------------------------------

    async def _greet(self) -> None:
        try:
            async with self._request("GET", GREETING):
                pass
        except GatewayError as error:
            if error.status is None:
                raise ConfigurationError(
                    f"no gateway answers at {self._url}: {error}; `penstock gateway` is one"
                ) from error
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise ConfigurationError(
                    f"the gateway at {self._url} does not let us in: {error}; "
                    "`penstock ask` takes a token from PENSTOCK_TOKEN or --token-file"
                ) from error

    async def _post(
        self,
        path: str,
        tries: Tries,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        while True:
            try:
                async with self._request("POST", path, data=body, headers=headers) as response:
                    return _object(await response.read())
            except GatewayError as error:
                await tries.again(error)

    async def _follow(
        self, question_id: str, tries: Tries, after: int | None = None
    ) -> AsyncGenerator[Event, None]:
        path = _path(question_id, "/events")
        params = {} if after is None else {"starting_after": str(after)}
        headers = {"Accept": "text/event-stream"}
        while True:
            try:
                async with aclosing(self._frames(path, params, headers)) as frames:
                    async for frame in frames:
                        event = _event(frame)
                        tries.heard()
                        if frame.last_id:
                            params, headers["Last-Event-ID"] = {}, frame.last_id
                        if event is not None:
                            yield event
                        if isinstance(event, Completion):
                            return
            except GatewayError as error:
                await tries.again(error)

    async def _frames(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncGenerator[Frame, None]:
        frames = Frames()
        async with self._request("GET", path, params=params, headers=headers) as response:
            async for received in response.content.iter_any():
                for frame in frames.feed(received):
                    yield frame
        raise GatewayError(None, "cut", "the stream ended before the question did")

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Raises GatewayError, in the block too."""
        try:
            # Elsewhere the token is nobody's business.
            async with self._session.request(
                method, self._url + path, allow_redirects=False, **more
            ) as response:
                if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise _problem(
                        response.status, await response.read(), response.headers.get("Retry-After")
                    )
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise GatewayError(None, "away", why) from error

    def _seconds(self, question: Question) -> float | None:
        """Until it expires; None: the service knows."""
        ends = []
        if question.timeout_ms is not None:
            ends.append(question.timeout_ms / 1000)
        if question.expires_at is not None:
            ends.append(question.expires_at.timestamp() - self._clock.wall())
        return min(ends, default=None)


def _is_address(url: str) -> bool:
    """With nothing in it that is a secret, or that is said elsewhere."""
    try:
        parts = urlsplit(url)
        there = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return there and parts.username is None and not parts.query and not parts.fragment


def _path(question_id: str, what: str) -> str:
    return f"{QUESTIONS}/{quote(question_id, safe='')}{what}"


def _tries(seconds: float | None) -> Tries:
    now = asyncio.get_running_loop().time()
    return Tries(None if seconds is None else now + seconds)


def _event(frame: Frame) -> Event | None:
    """None: of a later release. Raises GatewayError: nothing more comes, or nothing we can read."""
    if frame.name == PROBLEM:
        raise _problem(HTTPStatus.SERVICE_UNAVAILABLE, frame.data)
    if frame.name == COMPLETION:
        return _completion(frame.data)
    return read(frame.data, completion=False)


def _completion(value: bytes) -> Event:
    event = read(value, completion=True)
    if event is None:
        raise GatewayError(HTTPStatus.OK, "unreadable", "the completion is none that we can read")
    return event


def _object(body: bytes) -> dict[str, Any]:
    """Empty where it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem(status: int, body: bytes, retry_after: str | None = None) -> GatewayError:
    """What a gateway says, or something before it that does not speak problem details."""
    said = _object(body)
    seconds = (retry_after or "").strip()
    return GatewayError(
        said.get("status", status),
        str(said.get("code", "http")),
        str(said.get("detail") or f"HTTP {status}"),
        float(seconds) if seconds.isdecimal() else None,
    )
