"""What the client over HTTP makes of gateways that refuse, break off, or do not know yet."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from penstock.client import Event, HttpClient, again
from penstock.errors import ConfigurationError, GatewayError
from penstock.events.completion import Completion
from penstock.events.token import Token

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "BASE_SECONDS", 0.001)


@asynccontextmanager
async def gateway(*answers: Answer, token: str | None = None) -> AsyncIterator[HttpClient]:
    """A client of one that answers one request after the other so, after its greeting."""
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return await left.pop(0)(request)

    app = web.Application()
    app.router.add_get("/v1/questions/hello", _greeting)
    app.router.add_route("*", "/v1/questions{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with HttpClient(f"http://{host}:{port}/", token=token) as client:
            yield client
        assert not left, "not all was asked for"
    finally:
        await runner.cleanup()


async def _greeting(_: web.Request) -> web.StreamResponse:
    return web.json_response({})


def taken(bodies: list[Any] | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        if bodies is not None:
            bodies.append(await request.json())
        return web.json_response({"id": "q", "status": "queued"}, status=202)

    return answer


def problem(status: int, code: str = "x", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        document = {"status": status, "code": code, "detail": "do this"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(
            document, status=status, headers=named, content_type="application/problem+json"
        )

    return answer


def dropped(bodies: list[Any] | None = None) -> Answer:
    """Read, and then nobody knows."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if bodies is not None:
            bodies.append(await request.json())
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return answer


def said(*frames: bytes, after: str | None = None, cut: bool = False) -> Answer:
    """To whoever has `after` as its Last-Event-ID."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers.get("Last-Event-ID") == after
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for frame in frames:
            await response.write(frame)
        if cut:
            assert request.transport is not None
            request.transport.close()
        return response

    return answer


def token(sequence: int) -> bytes:
    body = {
        "type": "token",
        "question_id": "q",
        "sequence": sequence,
        "attempt": 1,
        "field": "answer",
        "text": f"{sequence} ",
        "step": "self",
        "call": 0,
        "output": True,
    }
    return b"id: 0-%d-%d\nevent: token\ndata: %s\n\n" % (sequence, sequence, orjson.dumps(body))


COMPLETED = {
    "type": "completion",
    "question_id": "q",
    "status": "completed",
    "timing": {"queued_ms": 1},
    "source": {"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "group": "g"},
}
COMPLETION = b"id: completion\nevent: completion\ndata: %s\n\n" % orjson.dumps(COMPLETED)


async def read(client: HttpClient, **more: Any) -> list[Event]:
    return [event async for event in client.stream("Why?", **more)]


def numbers(events: list[Event]) -> list[int]:
    *tokens, completion = events
    assert isinstance(completion, Completion)
    return [event.sequence for event in tokens if isinstance(event, Token)]


async def test_a_question_of_which_nobody_knows_whether_it_was_taken_is_sent_by_the_same_id() -> (
    None
):
    bodies: list[Any] = []
    answers = (dropped(bodies), taken(bodies), said(token(0), COMPLETION))
    async with gateway(*answers) as client:
        assert numbers(await read(client, key="k")) == [0]
    first, second = bodies
    assert first == second
    assert first["id"]
    assert first["key"] == "k"


async def test_a_stream_goes_on_where_it_was_cut_and_half_an_event_is_none() -> None:
    async with gateway(
        taken(),
        said(token(0), token(1)[:40], cut=True),
        problem(502),
        dropped(),
        said(after="0-0-0"),
        said(token(1), token(2), after="0-0-0", cut=True),
        said(b"event: problem\ndata: {}\n\n", after="0-2-2"),
        said(token(3), COMPLETION, after="0-2-2"),
    ) as client:
        assert numbers(await read(client)) == [0, 1, 2, 3]


async def test_what_a_later_release_says_is_skipped() -> None:
    news = b'id: 0-1-1\nevent: news\ndata: {"type": "news"}\n\n'
    async with gateway(
        taken(),
        said(b": nothing new\n\n", token(0), news, cut=True),
        said(token(2), COMPLETION, after="0-1-1"),
    ) as client:
        assert numbers(await read(client)) == [0, 2]


async def test_a_replica_that_does_not_know_it_yet_is_asked_again() -> None:
    async with gateway(taken(), problem(404), said(token(0), COMPLETION)) as client:
        assert numbers(await read(client)) == [0]


async def test_retry_after_is_waited_for_within_the_time_of_the_question() -> None:
    async with gateway(
        problem(429, Retry_After="0"), problem(503, Retry_After="0"), taken(), said(COMPLETION)
    ) as client:
        assert numbers(await read(client, timeout_ms=60_000)) == []

    async with gateway(problem(429, "backlog", Retry_After="61")) as client:
        with pytest.raises(GatewayError, match="do this") as refused:
            await read(client, timeout_ms=60_000)
    assert (refused.value.status, refused.value.code) == (429, "backlog")
    assert refused.value.retry_after == 61


async def test_an_answer_in_time_takes_one_request() -> None:
    async def at_once(request: web.Request) -> web.StreamResponse:
        assert request.headers["Prefer"].startswith("wait=")
        return web.json_response({"id": "q", "status": "completed", "completion": COMPLETED})

    async with gateway(at_once) as client:
        assert (await client.ask("Why?")).status == "completed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refusal_is_said_at_once(status: int) -> None:
    async with gateway(problem(status, "because")) as client:
        with pytest.raises(GatewayError, match="do this") as refused:
            await client.ask("Why?")
    assert (refused.value.status, refused.value.code) == (status, "because")


async def test_who_speaks_no_problem_details_is_quoted_by_his_status() -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, text="<html>", headers={"Location": "http://127.0.0.1:9/"})

    async with gateway(elsewhere, token="secret") as client:
        with pytest.raises(GatewayError, match="HTTP 307"):
            await client.ask("Why?")


async def test_a_completion_that_cannot_be_read_ends_it() -> None:
    broken = b'id: completion\nevent: completion\ndata: {"type": "completion"}\n\n'
    async with gateway(taken(), said(broken)) as client:
        with pytest.raises(GatewayError, match="none that we can read"):
            await read(client)


async def test_tries_have_an_end() -> None:
    async with gateway(taken(), *[said()] * again.TRIES) as client:
        with pytest.raises(GatewayError, match="ended before the question"):
            await read(client)


async def test_one_goes_on_after_a_sequence_and_then_by_the_last_id() -> None:
    def queried(query: str, answer: Answer) -> Answer:
        async def checked(request: web.Request) -> web.StreamResponse:
            assert request.rel_url.raw_path == "/v1/questions/a%2Fb%20c%3F%25/events"
            assert request.query_string == query
            return await answer(request)

        return checked

    async with gateway(
        queried("starting_after=4", said(token(5), cut=True)),
        queried("", said(token(6), COMPLETION, after="0-5-5")),
    ) as client:
        assert numbers([event async for event in client.resume("a/b c?%", after=4)]) == [5, 6]


async def test_a_question_is_cancelled_by_its_id_and_shows_the_token() -> None:
    async def cancelled(request: web.Request) -> web.StreamResponse:
        assert request.rel_url.raw_path == "/v1/questions/a%2Fb/cancel"
        assert request.headers["Authorization"] == "Bearer secret"
        return web.json_response({"id": "a/b", "status": "running"}, status=202)

    async with gateway(problem(503), cancelled, token="secret") as client:
        await client.cancel("a/b")


async def test_who_leaves_a_stream_leaves_its_connection() -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(token(0))
        try:
            while True:
                await response.write(b": nothing new\n\n")
                await asyncio.sleep(0)
        except (ConnectionError, asyncio.CancelledError):
            gone.set()
            raise

    async with gateway(taken(), endless) as client:
        events = client.stream("Why?")
        await anext(events)
        await events.aclose()
        await gone.wait()


@pytest.mark.parametrize(
    "address",
    ["http://", "localhost", "http://host/?token=x", "http://me:x@host", "http://[", "http://h:a"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="no address"):
        HttpClient(address)


def test_a_token_of_two_lines_is_none() -> None:
    with pytest.raises(ConfigurationError, match="token") as refused:
        HttpClient("http://localhost", token="se\ncret")
    assert "cret" not in str(refused.value)


async def test_where_nobody_answers_it_says_what_would() -> None:
    with pytest.raises(ConfigurationError, match="penstock gateway"):
        async with HttpClient("http://127.0.0.1:9"):
            pass


async def test_who_is_not_let_in_hears_it_at_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(globals(), "_greeting", problem(401))
    with pytest.raises(ConfigurationError, match="does not let us in: do this"):
        async with gateway():
            pass
