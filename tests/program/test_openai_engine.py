"""Our own client: its connections, its patience, and who hears its words."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf
from typing import Any

import dspy
import pytest
from dspy._vendor.lm15.result import StreamAccumulator
from dspy.lm15 import (
    ConfigurationError,
    LM15Error,
    Message,
    ProviderError,
    RateLimitError,
    Request,
    StreamAssemblyError,
    TransportError,
)
from dspy.lm15 import TimeoutError as LateError

from penstock.program import reading
from penstock.program.openai_engine import Heard, OpenAIEngine
from penstock.program.reading import Timeouts
from tests.support import http1
from tests.support.asking import Server
from tests.support.clients import OURS
from tests.support.model_server import model_server

ASKED = Request(model="openai/ok", messages=(Message.user("[[ ## answer ## ]]"),))


@asynccontextmanager
async def engine(
    server: Server, model: str, timeouts: Timeouts | None = None
) -> AsyncIterator[OpenAIEngine]:
    async with OURS.built(server, model, timeouts) as built:
        found: OpenAIEngine = built.lm._async_engine_spec
        yield found


async def told(asked: OpenAIEngine) -> list[Any]:
    return [event async for event in asked.stream(ASKED)]


class Address:
    def __init__(self, port: int, scheme: str = "http") -> None:
        self.api_base = f"{scheme}://127.0.0.1:{port}/v1"


async def test_a_read_answer_frees_its_connection_for_the_next() -> None:
    async with model_server() as server, engine(server, "ok") as asked:
        for _ in range(5):
            await told(asked)
            await asked.complete(ASKED)
        async with engine(server, "500") as refused:
            for _ in range(3):
                with pytest.raises(LM15Error):
                    await told(refused)
        assert server.connections == 2


async def test_there_are_as_many_connections_as_questions() -> None:
    async with model_server() as server, engine(server, "held") as asked:
        asking = [asyncio.create_task(told(asked)) for _ in range(150)]
        await server.called(150)
        assert server.calls.peak_in_flight == 150
        server.let_end()
        await asyncio.gather(*asking)


async def test_closing_the_iterator_closes_the_connection() -> None:
    async with model_server() as server, engine(server, "ok?token_ms=5&tokens=500") as asked:
        events = asked.stream(ASKED)
        await anext(events)
        await anext(events)
        await events.aclose()
        await server.disconnected()


ANSWER = b'{"model": "m", "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'


class Raw:
    """A server in a thread, so that it goes on while our loop stands still."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.closed = threading.Event()

    def listen(self, listening: socket.socket, answers: list[bytes]) -> None:
        for answer in answers:
            client, _ = listening.accept()
            with client:
                for part in answer.split(b"|"):
                    request = b""
                    while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                        received = client.recv(65536)
                        if not received:
                            break
                        request += received
                    if request:
                        self.requests.append(request)
                    client.sendall(part)
            self.closed.set()


@contextmanager
def raw(*answers: bytes) -> Iterator[Raw]:
    """Each answer is a connection's; parts separated by `|` are answers on the same one."""
    server = Raw()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]
        serving = threading.Thread(target=server.listen, args=(listening, list(answers)))
        serving.start()
        try:
            yield server
        finally:
            # Whoever still waits for a client that will not come gets one.
            for _ in answers:
                with socket.socket() as nobody:
                    nobody.connect_ex(("127.0.0.1", server.port))
            serving.join()


async def test_a_kept_connection_that_has_ended_is_not_used() -> None:
    reply = http1.response(200, ANSWER)
    with raw(reply, reply) as server:
        async with engine(Address(server.port), "m") as asked:
            await asked.complete(ASKED)
            # The loop stands still, so it cannot have seen the end when it asks again.
            assert server.closed.wait(10)
            await asked.complete(ASKED)
            assert len(server.requests) == 2


async def test_what_may_have_arrived_is_not_sent_again() -> None:
    reply = http1.response(200, ANSWER)
    with raw(reply + b"|", reply) as server:
        async with engine(Address(server.port), "m") as asked:
            await asked.complete(ASKED)
            with pytest.raises(TransportError, match="closed the connection without an answer"):
                await asked.complete(ASKED)
            assert len(server.requests) == 2


class Speaking(Address):
    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.met: list[asyncio.Task[None] | None] = []


@asynccontextmanager
async def speaking(said: bytes, *, leaves: bool) -> AsyncIterator[Speaking]:
    """A server that says the same to everybody, before it is asked."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address.met.append(asyncio.current_task())
        writer.write(said)
        with suppress(OSError):
            if not leaves:
                await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    address = Speaking(server.sockets[0].getsockname()[1])
    async with server:
        yield address
    await asyncio.gather(*filter(None, address.met))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"])
async def test_a_server_that_speaks_first_or_leaves_at_once_is_asked_once(said: bytes) -> None:
    async with speaking(said, leaves=True) as server:
        async with engine(server, "m") as asked:
            with pytest.raises(LM15Error):
                await told(asked)
        assert len(server.met) == 1


async def test_a_question_and_its_key_are_not_sent_elsewhere() -> None:
    async with model_server() as elsewhere:
        there = f"Location: {elsewhere.api_base}/chat/completions\r\nContent-Length: 0\r\n\r\n"
        said = b"HTTP/1.1 307 Temporary Redirect\r\n" + there.encode()
        async with speaking(said, leaves=True) as server, engine(server, "ok") as asked:
            with pytest.raises(ProviderError) as caught:
                await told(asked)
        assert caught.value.status == 307
        assert len(elsewhere.calls) == 0


async def test_a_connection_is_kept_when_the_end_of_its_body_comes_late() -> None:
    async with model_server() as server, engine(server, "held-end") as asked:
        for _ in range(2):
            ear = Ear()
            with dspy.context(send_stream=ear):
                asking = asyncio.create_task(told(asked))
            await ear.first.wait()
            server.let_end()
            await asking
        assert server.connections == 1


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with model_server() as server:
        monkeypatch.setenv("http_proxy", server.api_base.removesuffix("/v1"))
        nowhere = Address(1)
        async with engine(nowhere, "ok") as asked:
            await told(asked)
        assert len(server.calls) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with engine(nowhere, "ok") as asked:
            with pytest.raises(TransportError, match=r"127\.0\.0\.1:1"):
                await told(asked)


async def test_no_connection_in_time() -> None:
    # A listener that accepts nobody: its queue is full.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        async with engine(Address(port), "m", Timeouts(connect=0.1)) as asked:
            with pytest.raises(LateError, match=r"no connection .* 0\.1 s \(CONNECT_MS\)"):
                await told(asked)
        for one in waiting:
            one.close()


@pytest.mark.parametrize("model", ["hang-before", "hang-during?at=0", "commented?first_ms=60000"])
async def test_no_first_token_in_time(model: str) -> None:
    timeouts = Timeouts(first_token=0.1, idle=60)
    async with model_server() as server, engine(server, model, timeouts) as asked:
        with pytest.raises(LateError, match=r"no first token .* 0\.1 s \(FIRST_TOKEN_MS\)"):
            await told(asked)
        await server.disconnected()


async def test_silence_midway() -> None:
    timeouts = Timeouts(first_token=60, idle=0.1)
    async with model_server() as server, engine(server, "hang-during", timeouts) as asked:
        with pytest.raises(LateError, match=r"no more words .* 0\.1 s \(IDLE_MS\)"):
            await told(asked)
        await server.disconnected()


async def test_a_slow_model_is_not_silent() -> None:
    # Its words take four times as long together, and each a tenth.
    timeouts, model = Timeouts(first_token=60, idle=0.2), "ok?token_ms=20&tokens=40"
    async with model_server() as server, engine(server, model, timeouts) as asked:
        await told(asked)


async def test_whoever_is_slow_to_hear_is_no_silence_of_the_model() -> None:
    timeouts = Timeouts(first_token=60, idle=0.05)
    async with model_server() as server, engine(server, "held", timeouts) as asked:
        events = asked.stream(ASKED)
        async for event in events:
            if event.type == "delta":
                break
        # Longer than the model may be silent: nobody was waiting for it.
        passed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.2, passed.set_result, None)
        await passed
        server.let_end()
        *_, last = [event async for event in events]
        assert last.type == "end"


async def test_what_came_during_a_freeze_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_STANDSTILL", 0.02)
    begin = b'data: {"choices":[{"delta":{"content":"yes"}}]}\n\n'
    end = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    frozen, spoken, heard = threading.Event(), threading.Event(), threading.Event()

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(65536)
            client.sendall(http1.STREAM_HEAD + http1.chunk(begin))
            assert frozen.wait(10)
            client.sendall(http1.chunk(begin))
            spoken.set()
            assert heard.wait(10)
            client.sendall(http1.chunk(end) + http1.LAST_CHUNK)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        address = Address(listening.getsockname()[1])
        async with engine(address, "m", Timeouts(first_token=60, idle=0.05)) as asked:
            ear = Ear()
            with dspy.context(send_stream=ear):
                asking = asyncio.create_task(told(asked))
            await ear.first.wait()
            # It waits for more when the loop stands still, longer than the model may be silent.
            ear.first.clear()
            for stall in (frozen.set, lambda: spoken.wait(10), lambda: threading.Event().wait(0.2)):
                asyncio.get_running_loop().call_soon(stall)
            await ear.first.wait()
            heard.set()
            *_, last = await asking
        serving.join()
    assert last.type == "end"


@pytest.mark.parametrize("said", ["data: [DONE]\n\n", ""])
async def test_all_is_said_and_the_body_never_ends(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_AFTERWARDS", 0.05)
    frame = b'data: {"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n'
    head = http1.STREAM_HEAD + http1.chunk(frame + said.encode())
    forever = Timeouts(idle=3600)
    async with speaking(head, leaves=False) as server, engine(server, "m", forever) as asked:
        *_, last = await told(asked)
    assert (last.type, last.finish_reason) == ("end", "stop")


ENDLESS = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % 2**40


@pytest.mark.parametrize(
    "ask", [told, lambda asked: asked.complete(ASKED)], ids=["stream", "whole"]
)
@pytest.mark.parametrize(
    ("status", "sent", "message"),
    [
        (200, 17 * 2**20, "is longer than 16 MiB"),
        (503, 2**17, "xxx"),
    ],
    ids=["answer", "refusal"],
)
async def test_a_body_without_end_is_left(
    ask: Callable[[OpenAIEngine], Awaitable[Any]], status: int, sent: int, message: str
) -> None:
    said = b"HTTP/1.1 %d So\r\n" % status + ENDLESS + b"x" * sent
    # The server goes when its client does.
    async with speaking(said, leaves=False) as server, engine(server, "m", Timeouts()) as asked:
        with pytest.raises(ProviderError, match=message) as caught:
            await ask(asked)
    assert caught.value.status == status


@pytest.mark.parametrize("leaves", [True, False], ids=["cut", "stalled"])
async def test_a_refusal_whose_page_does_not_come_is_one_all_the_same(*, leaves: bool) -> None:
    head = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\n{"
    impatient = Timeouts(idle=0.1)
    async with speaking(head, leaves=leaves) as server, engine(server, "m", impatient) as asked:
        with pytest.raises(RateLimitError) as caught:
            await told(asked)
    assert caught.value.retry_after == 7


async def test_a_refusal_as_long_as_is_read_of_one_is_not_waited_for() -> None:
    said = b"HTTP/1.1 503 So\r\n" + ENDLESS + b"x" * 2**16
    forever = Timeouts(idle=3600)
    async with speaking(said, leaves=False) as server, engine(server, "m", forever) as asked:
        with pytest.raises(ProviderError, match="xxx"):
            await told(asked)


class Ear:
    """A listener that hears words at once."""

    def __init__(self, due: float = 0.0) -> None:
        self.heard: list[str] = []
        self.times: list[int] = []
        """How many words, each time."""
        self._due = due
        self.first = asyncio.Event()
        self.ended = 0
        self.broken: Exception | None = None

    def speech(self) -> "Ear":
        return self

    def due(self) -> float:
        return self._due

    async def say(self, words: Sequence[str]) -> None:
        if self.broken is not None:
            raise self.broken
        self.heard += words
        self.times.append(len(words))
        self.first.set()

    async def end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("model", ["ok", "thinking", "tools", "empty", "whole", "refuses"])
async def test_words_are_heard_at_once_and_dspy_builds_the_same_response(model: str) -> None:
    async with model_server() as server, engine(server, model) as asked:
        each, once, ear = StreamAccumulator(ASKED), StreamAccumulator(ASKED), Ear()
        for event in await told(asked):
            each.push(event)
        with dspy.context(send_stream=ear):
            events = await told(asked)
    for event in events:
        once.push(event)
    response = once.response()
    assert response == each.response()
    if model != "whole":
        text = "".join(part.text for part in response.message.parts if part.type == "text")
        assert ("".join(ear.heard), ear.ended) == (text, 1)
    texts = [e.delta.text for e in events if e.type == "delta" and e.delta.type == "text"]
    if ear.heard:
        # The first tells that words have left, before any has.
        assert texts[0] == ""
        assert [type(text) for text in texts[1:]] == [Heard]


@pytest.mark.parametrize("due", [0.0, inf], ids=["at once", "before anything leaves again"])
async def test_words_are_heard_when_they_come(due: float) -> None:
    async with model_server() as server, engine(server, "held") as asked:
        ear = Ear(due)
        with dspy.context(send_stream=ear):
            asking = asyncio.create_task(told(asked))
        await ear.first.wait()
        assert server.calls.in_flight == 1
        server.let_end()
        await asking


async def test_words_are_gathered_until_something_leaves_again_or_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_GATHERED", 3600.0)
    async with model_server() as server, engine(server, "ok?token_ms=1&tokens=50") as asked:
        ear = Ear(due=inf)
        with dspy.context(send_stream=ear):
            await told(asked)
    # The first are not waited with.
    first, rest = ear.times
    assert first + rest >= 50


async def test_a_first_word_that_is_there_in_time_is_not_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_GATHERED", 0.2)
    timeouts = Timeouts(first_token=0.1, idle=60)
    async with model_server() as server, engine(server, "held", timeouts) as asked:
        ear = Ear(due=inf)
        with dspy.context(send_stream=ear):
            asking = asyncio.create_task(told(asked))
        await ear.first.wait()
        # Nothing comes for longer than words are gathered: what was too late would be told now.
        passed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.3, passed.set_result, None)
        await passed
        server.let_end()
        await asking


async def test_what_is_gathered_when_a_connection_breaks_is_heard() -> None:
    at_once, gathering = Ear(), Ear(due=inf)
    async with model_server() as server, engine(server, "cut?at=12&token_ms=1&tokens=50") as asked:
        for ear in (at_once, gathering):
            with dspy.context(send_stream=ear), pytest.raises(LM15Error):
                await told(asked)
    assert len(at_once.heard) > 1
    assert gathering.heard == at_once.heard


async def test_what_a_listener_raises_is_its_own() -> None:
    async with model_server() as server, engine(server, "ok?token_ms=5&tokens=500") as asked:
        ear = Ear()
        ear.broken = ConnectionResetError("of the broker")
        with dspy.context(send_stream=ear), pytest.raises(ConnectionResetError, match="broker"):
            await told(asked)
        await server.disconnected()


async def test_a_page_is_no_stream() -> None:
    async with model_server() as server, engine(server, "html?status=200") as asked:
        with pytest.raises(StreamAssemblyError, match="holds no event"):
            await told(asked)


async def test_a_closed_client_says_so() -> None:
    async with model_server() as server, engine(server, "ok") as asked:
        await told(asked)
        await asked.aclose()
        with pytest.raises(ConfigurationError, match="closed"):
            await told(asked)


def test_a_client_belongs_to_one_loop() -> None:
    with raw(http1.response(200, ANSWER)) as server:
        built = OURS.build(Address(server.port), "m")
        asked = built.lm._async_engine_spec
        with asyncio.Runner() as first:
            first.run(asked.complete(ASKED))
            with (
                asyncio.Runner() as second,
                pytest.raises(ConfigurationError, match="another event loop"),
            ):
                second.run(asked.complete(ASKED))
            first.run(asked.aclose())
