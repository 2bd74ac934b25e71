"""Plain text over a WebSocket: a question is a message, and so is each piece of its answer."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from penstock.client.text_socket import RESTART, TextSocket
from penstock.errors import ConfigurationError, GatewayError

ANSWERS = {
    "Why?": ["Be", "cause", ".", "[DONE]"],
    "Again?": ["Per", RESTART, "Yes", "[DONE]"],
    "Nothing?": ["[DONE]"],
    "Wrong?": ["I", "[ERROR] expired (DEADLINE)", "[DONE]"],
    "Lost?": ["I"],
}


@asynccontextmanager
async def server(
    answers: Mapping[str, Sequence[str]] = ANSWERS, token: str | None = None
) -> AsyncIterator[str]:
    """Gives its address; hangs up where an answer has no end."""

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        try:
            async for question in connection:
                if question == "path":
                    await connection.send(connection.request.path)
                    await connection.send("[DONE]")
                    continue
                for text in answers[str(question)]:
                    await connection.send(text)
                if answers[str(question)][-1] != "[DONE]":
                    await connection.close(1012, "the gateway stops")
        except ConnectionClosed:
            pass

    def let_in(connection: ServerConnection, request: Request) -> Response | None:
        if token is None or request.headers.get("Authorization") == f"Bearer {token}":
            return None
        return connection.respond(401, "no")

    async with serve(talk, "127.0.0.1", 0, process_request=let_in) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


async def answer(socket: TextSocket, question: str) -> list[str]:
    return [text async for text in socket.ask(question)]


async def test_one_question_after_the_other_is_answered() -> None:
    async with server() as url, TextSocket(url) as socket:
        assert await answer(socket, "Why?") == ["Be", "cause", "."]
        assert await answer(socket, "Nothing?") == []
        first, restart, again = await answer(socket, "Again?")
        assert (first, restart, again) == ("Per", RESTART, "Yes")


async def test_an_error_is_raised_and_the_next_question_goes_on() -> None:
    async with server() as url, TextSocket(url) as socket:
        texts = socket.ask("Wrong?")
        assert await anext(texts) == "I"
        with pytest.raises(GatewayError, match="expired"):
            await anext(texts)
        assert await answer(socket, "Why?") == ["Be", "cause", "."]


async def test_what_was_left_before_its_end_is_not_taken_for_the_next_answer() -> None:
    async with server() as url, TextSocket(url) as socket:
        texts = socket.ask("Why?")
        assert await anext(texts) == "Be"
        await texts.aclose()
        assert await answer(socket, "Again?") == ["Per", RESTART, "Yes"]


async def test_a_connection_that_closes_is_an_error() -> None:
    async with server() as url, TextSocket(url) as socket:
        with pytest.raises(GatewayError, match="closed: the gateway stops"):
            await answer(socket, "Lost?")
        with pytest.raises(GatewayError, match="closed"):
            await answer(socket, "Why?")


async def test_token_and_program_are_shown() -> None:
    async with server(token="secret") as url:
        async with TextSocket(url, token="secret", program="a b") as socket:
            assert await answer(socket, "path") == ["/ws?program=a+b"]
        with pytest.raises(ConfigurationError, match="401"):
            async with TextSocket(url, token="other"):
                pass


async def test_where_nobody_listens_it_says_so() -> None:
    with pytest.raises(ConfigurationError, match="cannot talk to ws:"):
        async with TextSocket("ws://127.0.0.1:9/ws"):
            pass
