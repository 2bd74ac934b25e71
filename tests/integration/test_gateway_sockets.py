"""WebSockets in front of a real Kafka and a real service, with the client everybody has."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from penstock.events import token
from penstock.events.question import Question
from penstock.gateway import tokens
from penstock.gateway.caller import Caller
from penstock.gateway.overview import Overview
from penstock.gateway.server import Serving
from penstock.gateway.stream import BUFFER_BYTES
from penstock.gateway.tokens import digest, new_token
from penstock.local.prompt import ChatRequest
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.service import running_service

MODEL = "openai/moody"
JSON = [Subprotocol("penstock.v1.json")]
PATIENCE_S = 30.0


@asynccontextmanager
async def moody(
    bootstrap_servers: str, topics: Topics, **flags: Any
) -> AsyncIterator[tuple[ModelServer, Serving, str]]:
    """A model that does what a question says, behind a gateway at this address."""
    of_service = {name: value for name, value in flags.items() if name != "gateway"}
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, MODEL, models.api_base, **of_service),
        running_gateway(bootstrap_servers, topics, **flags) as gateway,
    ):
        models.script["moody"] = _as_told
        yield models, gateway, gateway.address.replace("http", "ws", 1)


def _as_told(_: int, request: ChatRequest) -> str:
    return request.question


async def answer(talk: ClientConnection) -> list[str]:
    """The messages up to `[DONE]`."""
    said: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while (message := await talk.recv(decode=True)) != "[DONE]":
            said.append(message)
    return said


class Talk:
    """Over `/v1/ws`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.heard: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        await self._connection.send(json.dumps(frame))

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The next frame of which this is true."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame: dict[str, Any] = json.loads(await self._connection.recv())
                self.heard.append(frame)
                if wanted.items() <= frame.items():
                    return frame

    def sequences(self, question_id: str) -> list[int]:
        return [event["sequence"] for event in self.events(question_id)]

    def events(self, question_id: str) -> list[dict[str, Any]]:
        return [f["event"] for f in self.heard if f["type"] == "event" and f["id"] == question_id]


@asynccontextmanager
async def talking(address: str, **options: Any) -> AsyncIterator[Talk]:
    async with connect(f"{address}/v1/ws", subprotocols=JSON, **options) as connection:
        yield Talk(connection)


async def test_a_message_is_a_question_and_its_answer_comes_in_pieces(
    bootstrap_servers: str, topics: Topics
) -> None:
    once = {"max_attempts": 2, "base_ms": 1}
    async with moody(bootstrap_servers, topics, retry=once) as (models, _, address):
        calls: dict[str, int] = {}

        def script(_: int, request: ChatRequest) -> str:
            calls[request.question] = calls.get(request.question, 0) + 1
            cut = request.question == "ok?text=again" and calls[request.question] == 1
            return "cut?at=9&token_ms=30" if cut else request.question

        models.script["moody"] = script
        async with connect(f"{address}/ws") as talk:
            assert talk.subprotocol is None
            for question in ("ok?tokens=40&token_ms=5", "", "500", "ok?text=again", "ok"):
                await talk.send(question)
            await talk.send(b"ok")
            # One after the other, as they were asked.
            first = await answer(talk)
            assert len(first) > 1
            assert "".join(first).startswith("You said ok?tokens=40&token_ms=5 You said")
            assert await answer(talk) == ["[ERROR] a question is a text message, and not empty"]
            [error] = await answer(talk)
            assert error.startswith("[ERROR] HTTP 500")
            again = await answer(talk)
            taken_back = again.index("[RESTART]")
            assert again[:taken_back]
            assert "".join(again[taken_back + 1 :]) == "again"
            assert "".join(await answer(talk)) == "You said ok"
            assert await answer(talk) == ["[ERROR] a question is a text message, and not empty"]

            # Those that wait are no more than a few.
            await talk.send("held")
            assert str(await talk.recv()).startswith("You")
            for _ in range(17):
                await talk.send("ok")
            with pytest.raises(ConnectionClosed) as closed:
                await answer(talk)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            models.let_end()

        # A browser that offers subprotocols wants one of them, and never the one with the token.
        offered = [Subprotocol("penstock.bearer.c2VjcmV0"), Subprotocol("penstock.v1.text")]
        async with connect(f"{address}/ws?program=nobody", subprotocols=offered) as talk:
            assert talk.subprotocol == "penstock.v1.text"
            await talk.send("ok")
            [error] = await answer(talk)
            assert "'nobody' is not served here" in error


async def test_many_questions_at_once_are_asked_cancelled_and_resumed(
    bootstrap_servers: str, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    async with moody(bootstrap_servers, topics) as (models, _, address):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{address}/v1/ws")
        assert refused.value.response.status_code == 400
        assert json.loads(bytes(refused.value.response.body))["code"] == "subprotocol"
        # The client's mistake is not the gateway's.
        assert "without completing handshake" not in caplog.text

        async with talking(address) as one, talking(address) as other:
            await one.send(type="ask", ref="a", question="held", metadata={"n": 1})
            held = (await one.until(type="asked", ref="a"))["id"]
            await one.send(type="ask", ref="b", id="hangs", question="hang-before", key="k")
            await one.until(type="asked", ref="b", id="hangs")
            await one.send(type="ask", ref="c", inputs={"question": "ok"}, timeout_ms=20_000)
            quick = (await one.until(type="asked", ref="c"))["id"]
            # What was asked last is answered first.
            ended = await one.until(type="completion", id=quick)
            assert ended["completion"]["answer"] == "You said ok"
            said = "".join(e["text"] for e in one.events(quick) if e["type"] == "token")
            assert said == "You said ok"

            # Somebody else reads on in the middle, by what was read here last.
            while not one.events(held):
                await one.until(type="event", id=held)
            last = [f for f in one.heard if f["type"] == "event" and f["id"] == held][-1]
            await other.send(type="resume", id=held, last_event_id=last["event_id"])
            models.let_end()
            whole = await one.until(type="completion", id=held)
            rest = await other.until(type="completion", id=held)
            assert rest == whole
            assert whole["completion"]["metadata"] == {"n": 1}
            everything = list(range(whole["completion"]["last_sequence"] + 1))
            assert one.sequences(held) == everything
            assert other.sequences(held) == everything[last["event"]["sequence"] + 1 :]

            # ... or by the sequence alone, or from the beginning; what has ended, too.
            other.heard.clear()
            await other.send(type="resume", id=held, starting_after=0)
            await other.until(type="completion", id=held)
            assert other.sequences(held) == everything[1:]
            other.heard.clear()
            await other.send(type="ask", id="hangs", question="hang-before", key="k")
            assert (await other.until(type="asked", id="hangs"))["status"] in {"queued", "running"}

            await other.send(type="cancel", id="hangs")
            for talk in (one, other):
                ended = await talk.until(type="completion", id="hangs")
                assert ended["completion"]["status"] == "cancelled"


async def test_what_cannot_be_done_is_said_and_the_connection_stays(
    bootstrap_servers: str, topics: Topics
) -> None:
    # What is left open at the end is cancelled, and the service need not wait for it.
    flags = {"bounds": {"value_bytes": 10_000}, "gateway": {"cancel_on_disconnect": True}}
    async with moody(bootstrap_servers, topics, **flags) as (_, _, address):  # noqa: SIM117
        async with talking(address) as talk:
            connection = talk._connection

            async def refused(message: str | bytes) -> tuple[str | None, int, str]:
                await connection.send(message)
                told = await talk.until(type="problem")
                assert told["problem"]["detail"]
                return told.get("ref"), told["problem"]["status"], told["problem"]["code"]

            for message in ("{", "[]", "{}", '{"type": "tell"}', b"{}", "\x00"):
                assert await refused(message) == (None, 400, "invalid_frame")
            assert await refused('{"type": "ask", "ref": "a"}') == ("a", 400, "invalid_frame")
            both = '{"type": "resume", "id": "x", "starting_after": 1, "last_event_id": "0-1-1"}'
            assert await refused(both) == (None, 400, "invalid_frame")
            for what in ("cancel", "resume"):
                nobody = f'{{"type": "{what}", "ref": "r", "id": "nobody"}}'
                assert await refused(nobody) == ("r", 404, "unknown_question")

            await talk.send(type="ask", id="mine", question="hang-before")
            await talk.until(type="asked", id="mine")
            again = '{"type": "resume", "id": "mine"}'
            assert await refused(again) == (None, 409, "already_open")
            async with talking(address) as other:
                for place in ("nowhere", "77-1-1"):
                    await other.send(type="resume", id="mine", last_event_id=place)
                    told = await other.until(type="problem", id="mine")
                    assert told["problem"]["code"] == "no_such_event"

            for number in range(64):
                await talk.send(type="ask", ref=str(number), question="hang-before")
            told = await talk.until(type="problem")
            assert (told["ref"], told["problem"]["status"]) == ("63", 429)
            assert told["problem"]["code"] == "too_many_open"

            # One that has ended makes room.
            await talk.send(type="cancel", id="mine")
            await talk.until(type="completion", id="mine")
            await talk.send(type="ask", ref="last", question="ok", timeout_ms=60_000)
            await talk.until(type="asked", ref="last")

            await connection.send("x" * 10_001)
            with pytest.raises(ConnectionClosed) as closed:
                await talk.until(type="never")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("wanted", [True, False])
async def test_who_leaves_cancels_only_where_that_is_wanted(
    bootstrap_servers: str, topics: Topics, *, wanted: bool
) -> None:
    flags = {"gateway": {"cancel_on_disconnect": wanted}}
    async with moody(bootstrap_servers, topics, **flags) as (models, gateway, address):
        async with talking(address) as talk, connect(f"{address}/ws") as text:
            for question_id in ("a", "b"):
                await talk.send(type="ask", id=question_id, question="held")
                await talk.until(type="asked", id=question_id)
                await talk.until(type="event", id=question_id)
            await text.send("held")
            assert str(await text.recv()).startswith("You")
        questions = gateway.parts.questions
        if not wanted:
            models.let_end()
        statuses = set()
        for entry in list(questions.index):
            async with asyncio.timeout(PATIENCE_S):
                found = await questions.completion(entry, None)
            assert found is not None
            statuses.add(json.loads(found)["status"])
        assert statuses == {"cancelled" if wanted else "completed"}


async def test_a_gateway_that_stops_sends_its_clients_elsewhere(
    bootstrap_servers: str, topics: Topics
) -> None:
    flags = {"gateway": {"cancel_on_disconnect": True}}
    async with moody(bootstrap_servers, topics, **flags) as (models, gateway, address):
        async with (
            running_gateway(bootstrap_servers, topics) as elsewhere,
            talking(address) as talk,
            connect(f"{address}/ws") as text,
        ):
            await talk.send(type="ask", ref="a", question="held")
            held = (await talk.until(type="asked"))["id"]
            first = await talk.until(type="event", id=held)
            await text.send("held")
            gateway.stop()
            for waiting in (talk.until(type="completion"), answer(text)):
                with pytest.raises(ConnectionClosed) as closed:
                    await waiting
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
            async with talking(elsewhere.address.replace("http", "ws", 1)) as again:
                await again.send(type="resume", id=held, starting_after=first["event"]["sequence"])
                models.let_end()
                ended = await again.until(type="completion", id=held)
        # Nobody has cancelled it.
        assert ended["completion"]["status"] == "completed"
        assert again.sequences(held)[0] == first["event"]["sequence"] + 1


async def test_a_token_goes_in_the_header_or_as_a_subprotocol(
    bootstrap_servers: str, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)
    token = new_token()
    known = tmp_path / "tokens.toml"
    known.write_text(f'[bob]\nsha256 = "{digest(token).hex()}"\nprograms = ["qa"]\n')
    for topic in ("questions", "tokens", "completions", "control"):
        topics.create(topic)
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    flags = {"gateway": {"tokens": str(known)}}
    async with running_gateway(bootstrap_servers, topics, **flags) as gateway:
        address = gateway.address.replace("http", "ws", 1)
        for path in "/ws", "/v1/ws":
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{address}{path}", subprotocols=JSON)
            assert refused.value.response.status_code == 401
        by_subprotocol = {"subprotocols": [Subprotocol(f"penstock.bearer.{encoded}"), *JSON]}
        by_header: dict[str, Any] = {
            "subprotocols": JSON,
            "additional_headers": {"Authorization": f"Bearer {token}"},
        }
        for shown in (by_subprotocol, by_header):
            async with connect(f"{address}/v1/ws", **shown) as connection:
                assert connection.subprotocol == "penstock.v1.json"
                talk = Talk(connection)
                await talk.send(type="ask", ref="a", question="?")
                asked = await talk.until(type="asked", ref="a")
                await talk.send(type="ask", ref="b", question="?", program="another")
                told = await talk.until(type="problem", ref="b")
                assert told["problem"]["code"] == "program_not_allowed"
                assert gateway.parts.questions.index.get(asked["id"]) is not None

        # What names no program is of the one that the service says, whatever the settings here.
        monkeypatch.setattr(Overview, "default_program", "another")
        questions = gateway.parts.questions
        async with questions.asked(Question(question="?"), Caller()) as by_default:
            await questions.fan_out.read_up_to(by_default.entry.place)
            secret = by_default.entry.question_id
        async with connect(f"{address}/v1/ws", **by_header) as connection:
            talk = Talk(connection)
            await talk.send(type="cancel", ref="c", id=secret)
            told = await talk.until(type="problem", ref="c")
            assert told["problem"]["code"] == "unknown_question"

            # A token that is withdrawn does nothing more.
            known.write_text("")
            for kind, more in (
                ("resume", {}),
                ("cancel", {}),
                ("ask", {"question": "?", "program": "qa"}),
            ):
                await talk.send(type=kind, ref=kind, **({"id": asked["id"]} | more))
                told = await talk.until(type="problem", ref=kind)
                assert told["problem"]["code"] == "invalid_token", kind


async def test_who_does_not_read_holds_up_himself_alone(
    bootstrap_servers: str, topics: Topics
) -> None:
    """The records are written straight to the topic; there is no service."""
    for topic in ("questions", "tokens", "completions", "control"):
        topics.create(topic)
    size, count = 50_000, 200
    async with running_gateway(bootstrap_servers, topics) as gateway:
        address = gateway.address.replace("http", "ws", 1)
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        host, port = address.removeprefix("ws://").split(":")
        await asyncio.get_running_loop().sock_connect(narrow, (host, int(port)))
        async with (
            talking(address, sock=narrow, max_queue=1, compression=None) as stopped,
            talking(address, compression=None) as other,
        ):
            await stopped.send(type="ask", id="long", question="?")
            await stopped.until(type="asked")
            await other.send(type="resume", id="long")
            await _say("long", size, count, bootstrap_servers, topics)
            while len(other.events("long")) < count:
                await other.until(type="event")
            assert other.sequences("long") == list(range(count))

            # What waits for the other is not more than that, and is found again in the topic.
            [stream] = [s for s in gateway.parts.questions.fan_out._streams["long"] if not s.live]
            assert sum(len(said.value) for said in stream._buffer) < BUFFER_BYTES + size + 500
            [held_up] = [
                connection.transport
                for connection in gateway._server.server_state.connections
                if isinstance(connection, WebSocketsSansIOProtocol)
                and not connection.writable.is_set()
            ]
            assert held_up.get_write_buffer_size() < BUFFER_BYTES + 2 * (size + 500)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                # Nor for ever.
                option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
                assert held_up.get_extra_info("socket").getsockopt(*option) == 60_000
            while len(stopped.events("long")) < count:
                await stopped.until(type="event")
            assert stopped.sequences("long") == list(range(count))


async def _say(
    question_id: str, size: int, count: int, bootstrap_servers: str, topics: Topics
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=5) as producer:
        for sequence in range(count):
            value = token.encode(
                "token",
                question_id,
                sequence,
                1,
                field="answer",
                text="x" * size,
                step="self",
                call=0,
                output=True,
            )
            await producer.send(topics.name("tokens"), value, partition=0)
        await producer.flush()
