"""An answer is the same through our client and through DSPy's own, however its bytes are cut."""

from collections.abc import Sequence
from typing import Any

import pytest
from dspy._vendor.lm15.result import StreamAccumulator, coalesce_stream
from dspy._vendor.lm15.sse import parse_sse
from dspy.clients.engines.lm15_engine import LM15Engine
from dspy.lm15 import (
    Config,
    FunctionTool,
    Message,
    OpenAIChatLM,
    Reasoning,
    Request,
    Response,
    RouterConfig,
    StreamAssemblyError,
    StreamDeltaEvent,
    StreamStartEvent,
    TextDelta,
    TransportError,
)
from hypothesis import given
from hypothesis import strategies as st

from penstock.local.prompt import ChatRequest
from penstock.program import sse
from penstock.program.chat_wire import ChatWire
from penstock.program.sse import Frames
from tests.support.asking import Sink
from tests.support.behaviours import Params, reply
from tests.support.clients import NATIVE, OURS
from tests.support.model_server import model_server

LOOK_UP = FunctionTool("look_up", parameters={"type": "object", "properties": {}})
ASKED = Request(
    model="openai/ok",
    system="Be brief.",
    messages=(Message.user("What is a penstock?"),),
    tools=(LOOK_UP,),
)
ANSWERS = [
    "ok",
    "json",
    "plain",
    "echo",
    "react",
    "empty",
    "bench",
    "thinking",
    "thinking-aloud",
    "tools",
    "refuses",
    "no-usage",
    "no-done",
    "commented",
]


def _dialect() -> OpenAIChatLM:
    config = RouterConfig(
        api_keys={"openai-chat": "x"}, base_urls={"openai-chat": "http://127.0.0.1:1/v1"}
    )
    dialect: OpenAIChatLM = LM15Engine(config).router.lm("openai-chat:ok")
    return dialect


DIALECT = _dialect()


async def _asked(client: Any, request: Request, streamed: bool) -> tuple[Response, list[str]]:
    sink = Sink() if streamed else None
    async with model_server() as server, client.built(server, request.model[7:]) as built:
        engine = built.lm._async_engine_spec
        if not streamed:
            return await engine.complete(request), []
        accumulator = StreamAccumulator(request)
        said = []
        async for event in engine.stream(request):
            accumulator.push(event)
            if event.type == "delta" and event.delta.type == "text":
                said.append(event.delta.text)
    assert sink is not None
    return accumulator.response(), said


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_is_what_dspys_own_client_reads(answer: str, streamed: bool) -> None:
    request = Request(
        model=f"openai/{answer}", system=ASKED.system, messages=ASKED.messages, tools=(LOOK_UP,)
    )
    assert await _asked(OURS, request, streamed) == await _asked(NATIVE, request, streamed)


REQUESTS = [
    ASKED,
    Request(model="openai/ok", messages=(Message.user("?"), Message.assistant("!"))),
    Request(
        model="openai/ok",
        messages=(Message.user("?"),),
        config=Config(temperature=0.3, max_tokens=5, stop=("x",), seed=1, top_k=3),
    ),
    Request(
        model="openai/ok",
        messages=(Message.developer("Be kind."), Message.user("é\N{GRINNING FACE}")),
        config=Config(response_format={"type": "json_object"}, reasoning=Reasoning(effort="low")),
    ),
]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_request_is_what_dspys_own_client_sends(request_: Request, streamed: bool) -> None:
    sent = []
    for client in (OURS, NATIVE):
        async with model_server() as server, client.built(server, "ok") as built:
            engine = built.lm._async_engine_spec
            if streamed:
                async for _ in engine.stream(request_):
                    pass
            else:
                response = await engine.complete(request_)
                assert bool(response.adaptations) == (request_.config.top_k is not None)
            sent.append((server.calls[0].stream, server.bodies[-1]))
    assert sent[0] == sent[1]


@st.composite
def cut(draw: st.DrawFn, said: bytes) -> list[bytes]:
    at = sorted(draw(st.lists(st.integers(0, len(said)), max_size=20)))
    return [said[a:b] for a, b in zip([0, *at], [*at, len(said)], strict=True)]


def _stream_of(model: str) -> bytes:
    chat = ChatRequest(model, (("user", "[[ ## answer ## ]]"),), stream=True, include_usage=True)
    told = reply(chat, model, Params())
    chunks = (told.opening + b"".join(told.parts) + told.closing).partition(b"\r\n\r\n")[2]
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        body, chunks = body + rest[:length], rest[length + 2 :]
    return body


def _ours(pieces: Sequence[bytes]) -> Response:
    wire = ChatWire(DIALECT)
    call = wire.call(ASKED, "ok", stream=True)
    answer = wire.answer(ASKED, call, [])
    frames = Frames()
    accumulator = StreamAccumulator(ASKED)
    accumulator.push(StreamStartEvent(model="ok"))
    found = [frame for piece in pieces for frame in frames.feed(piece)] + frames.finish()
    for frame in found:
        for said in answer.read(frame):
            delta = TextDelta(text=said) if isinstance(said, str) else said
            accumulator.push(StreamDeltaEvent(delta))
    accumulator.push(answer.end())
    return accumulator.response()


def _native(body: bytes) -> Response:
    accumulator = StreamAccumulator(ASKED)
    events = (
        event
        for raw in parse_sse(iter(body.splitlines(keepends=True)))
        for event in DIALECT.parse_stream_events(ASKED, raw)
    )
    for event in coalesce_stream(events, model="ok"):
        accumulator.push(event)
    return accumulator.response()


@given(st.data(), st.sampled_from(ANSWERS))
def test_cuts_change_nothing(data: st.DataObject, model: str) -> None:
    body = _stream_of(model)
    assert _ours(data.draw(cut(body))) == _native(body)


@given(st.data(), st.lists(st.sampled_from(["\n", "\r\n"]), min_size=1))
def test_lines_may_end_in_two_ways(data: st.DataObject, ends: list[str]) -> None:
    said = [b'{"a":1}', b'{"b":"\xc3\xa9"}', b"[DONE]"]
    end = data.draw(st.sampled_from(ends)).encode()
    body = b"".join(
        b": hm" + end + b"event: message" + end + b"data:" + one + end + end for one in said
    )
    frames = Frames()
    assert [f for piece in data.draw(cut(body)) for f in frames.feed(piece)] == said


def test_an_event_may_have_many_lines_and_end_with_the_stream() -> None:
    frames = Frames()
    assert frames.feed(b'data: {"a":\ndata: 1}\n\ndata: {"b"') == [b'{"a":\n1}']
    assert frames.feed(b": 2}") == []
    assert frames.finish() == [b'{"b": 2}']
    assert frames.finish() == []


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME", 100)
    for part in (b"x" * 30, b"data: " + b"x" * 30 + b"\n"):
        frames = Frames()
        for _ in range(100):
            assert frames.feed(b"data: x\n\n") == [b"x"]
        for _ in range(3):
            frames.feed(part)
        with pytest.raises(TransportError, match="longer than"):
            frames.feed(part)


def test_how_likely_each_word_was_is_kept() -> None:
    token = b'{"token":"a","logprob":-0.5,"top_logprobs":[]}'
    said = b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[' + token + b"]}}]}"
    body = b"data: " + said + b"\n\ndata: [DONE]\n\n"
    assert _ours([body]) == _native(body)
    assert _ours([body]).logprobs


def test_half_a_surrogate_pair_is_text() -> None:
    said = rb'data: {"choices":[{"delta":{"content":"\ud83d"},"finish_reason":"stop"}]}'
    assert _ours([said]).message.text == "\ud83d"


@pytest.mark.parametrize(
    "said",
    [
        b'{"choices": 1}',
        b'{"choices": [1]}',
        b'{"choices": [{"delta": 1}]}',
        b'{"choices": [{"delta": {"tool_calls": 1}}]}',
        b'{"choices": [{"delta": {"tool_calls": [{"index": -1}]}}]}',
        b'{"usage": {"prompt_tokens": "many"}}',
        b"[]",
        b"\xff",
    ],
)
def test_a_frame_of_another_shape_breaks_the_stream(said: bytes) -> None:
    with pytest.raises(StreamAssemblyError, match="frame 1 of the stream cannot be read"):
        _ours([b"data: " + said + b"\n\n"])
