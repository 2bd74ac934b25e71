"""A client that goes away ends what waits for it, and cancels its question where that is wanted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from penstock.gateway.index import Ended, Entry, Place
from penstock.gateway.leaving import cancelled_on_disconnect, unless_gone
from penstock.gateway.problem import ProblemError, away
from penstock.gateway.sse import EventStream


class Client:
    """Of one request."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.request = Request({"type": "http"}, self.receive)

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


class Cancelling:
    def __init__(self, *, on: bool = False) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cancelled: list[str] = []
        self.questions = SimpleNamespace(cancel=self.cancel)
        self.settings = SimpleNamespace(gateway=SimpleNamespace(cancel_on_disconnect=on))

    async def cancel(self, question_id: str) -> None:
        if question_id == "unlucky":
            raise away("Kafka does not answer")
        self.cancelled.append(question_id)


def entry(question_id: str) -> Entry:
    return Entry(question_id, Place(0, 0), 0)


async def test_what_is_waited_for_is_given_to_who_is_there() -> None:
    async def said() -> str:
        return "it"

    found = await unless_gone(Cancelling(), Client().request, entry("q"), said())  # type: ignore[arg-type]
    assert found == "it"


async def test_who_has_gone_waits_for_nothing() -> None:
    client, ended = Client(), asyncio.Event()

    async def endless() -> None:
        try:
            client.left.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ClientDisconnect):
        await unless_gone(Cancelling(), client.request, entry("q"), endless())  # type: ignore[arg-type]
    assert ended.is_set()


async def test_nobody_waits_longer_than_the_gateway_is_there() -> None:
    gateway = Cancelling()
    gateway.closing.set_result(None)
    endless = asyncio.Event().wait()
    with pytest.raises(ProblemError) as stops:
        await unless_gone(gateway, Client().request, entry("q"), endless)  # type: ignore[arg-type]
    assert (stops.value.status, stops.value.code, stops.value.more) == (
        503,
        "stopping",
        {"id": "q"},
    )


@pytest.mark.parametrize("on", [True, False])
async def test_what_has_not_ended_then_is_cancelled_where_it_is_set(on: bool) -> None:
    gateway, open_, over = Cancelling(on=on), entry("open"), entry("over")
    entries = [entry("unlucky"), open_, over]
    leaving = cancelled_on_disconnect(gateway, entries)  # type: ignore[arg-type]
    await leaving.__aenter__()
    over.ended = Ended(Place(0, 0), "completed", 0, None, None, None, None)
    assert not await leaving.__aexit__(ClientDisconnect, ClientDisconnect(), None)
    assert gateway.cancelled == (["open"] if on else [])


async def test_other_endings_cancel_nothing() -> None:
    gateway = Cancelling(on=True)
    with pytest.raises(ZeroDivisionError):
        async with cancelled_on_disconnect(gateway, [entry("open")]):  # type: ignore[arg-type]
            raise ZeroDivisionError
    async with cancelled_on_disconnect(gateway, [entry("open")]):  # type: ignore[arg-type]
        pass
    assert gateway.cancelled == []


async def streamed(client: Client, frames: AsyncGenerator[bytes, None], *, on: bool) -> Cancelling:
    gateway, stack = Cancelling(on=on), AsyncExitStack()
    await stack.enter_async_context(cancelled_on_disconnect(gateway, [entry("open")]))  # type: ignore[arg-type]
    stopping = asyncio.get_running_loop().create_future()
    await EventStream(frames, stopping, stack)({}, client.receive, client.send)
    return gateway


async def test_a_stream_that_nobody_reads_any_more_cancels_its_question() -> None:
    client = Client()

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        client.left.set()
        await asyncio.Event().wait()

    gateway = await streamed(client, frames(), on=True)
    assert gateway.cancelled == ["open"]
    assert client.sent[-1]["body"] == b"data: 1\n\n"


async def test_a_stream_that_ends_cancels_nothing() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"

    client = Client()
    assert (await streamed(client, frames(), on=True)).cancelled == []
    assert client.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_a_stream_that_fails_is_no_whole_answer() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        raise ZeroDivisionError

    client = Client()
    with pytest.raises(ZeroDivisionError):
        await streamed(client, frames(), on=True)
    assert client.sent[-1]["body"] == b"data: 1\n\n"
