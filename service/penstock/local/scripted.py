"""A stand-in for a language model: speaks OpenAI's protocol and says what a function tells it.

It lets `penstock demo` show tokens streaming where no weights are installed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from penstock.local.prompt import ChatRequest, OutputField, sample, written

NAME = "scripted"

# A long question is quoted by its beginning, so that the answer stays an answer.
_QUOTED_CHARS = 120


@dataclass(frozen=True, slots=True)
class Served:
    """Where the model answers; `dspy.LM(f"openai/{name}", api_base=api_base, api_key="-")`."""

    api_base: str
    name: str


@dataclass(frozen=True, slots=True)
class _Pace:
    first_token_s: float
    token_s: float
    chunk_chars: int


def canned(request: ChatRequest) -> str:
    """A plausible answer to any question, in the form and the types its program asked for."""
    question = " ".join(request.question.split())
    if len(question) > _QUOTED_CHARS:
        question = question[:_QUOTED_CHARS].rstrip() + "…"

    def value(field: OutputField) -> Any:
        # What has parts would say the same in each of them.
        text = _said(field.name, question) if field.type == "str" else question
        return sample(request, field, text)

    return written(request, value)


def _said(field: str, question: str) -> str:
    if field in {"reasoning", "next_thought"}:
        return f"The question is: “{question}” Nothing has to be looked up to answer it."
    return (
        f"You asked: “{question}” This answer is scripted: no model was asked. "
        "It still travelled the whole way: out of a topic, through a DSPy program, and back as "
        "a stream of tokens closed by exactly one completion."
    )


@asynccontextmanager
async def model(
    answer: Callable[[ChatRequest], str] = canned,
    *,
    first_token_s: float = 0.2,
    token_s: float = 0.02,
    chunk_chars: int = 4,
    port: int = 0,
) -> AsyncIterator[Served]:
    """Serve the scripted model on this machine for as long as the block runs."""
    pace = _Pace(first_token_s, token_s, chunk_chars)

    async def complete(http: web.Request) -> web.StreamResponse:
        try:
            request = ChatRequest.read(await http.read())
        except ValueError as wrong:
            refusal = {"message": str(wrong), "type": "invalid_request_error", "code": None}
            return web.json_response({"error": refusal}, status=400)
        text = answer(request)
        if request.stream:
            return await _stream(http, request, text, pace)
        await asyncio.sleep(first_token_s + token_s * len(text) / chunk_chars)
        return web.json_response(_completion(request, text))

    async def models(_: web.Request) -> web.Response:
        listed = {"id": NAME, "object": "model", "created": 0, "owned_by": "penstock"}
        return web.json_response({"object": "list", "data": [listed]})

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", models)])
    # Nobody misses the end of a scripted answer: without this, leaving waits a minute for it.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield Served(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", NAME)
    finally:
        await runner.cleanup()


async def _stream(
    http: web.Request, request: ChatRequest, text: str, pace: _Pace
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(http)
    base = _base(request, "chat.completion.chunk")

    async def send(choices: list[dict[str, Any]], **more: Any) -> None:
        await response.write(b"data: " + orjson.dumps(base | {"choices": choices} | more) + b"\n\n")

    await asyncio.sleep(pace.first_token_s)
    await send([_choice({"role": "assistant", "content": ""})])
    for start in range(0, len(text), pace.chunk_chars):
        await send([_choice({"content": text[start : start + pace.chunk_chars]})])
        await asyncio.sleep(pace.token_s)
    await send([_choice({}, "stop")])
    if request.include_usage:
        await send([], usage=_usage(request, text))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _completion(request: ChatRequest, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return _base(request, "chat.completion") | {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(request, text),
    }


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _base(request: ChatRequest, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
    }


def _usage(request: ChatRequest, text: str) -> dict[str, int]:
    # Four characters to a token is near enough for a model that has no tokenizer.
    prompt = sum(len(said) for _, said in request.messages) // 4
    answer = len(text) // 4
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
