"""How does a model that is none speak OpenAI's chat completions?"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from penstock.local.prompt import ChatRequest


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds to the first chunk, and from each to the next."""

    first_token_s: float = 0.0
    token_s: float = 0.0


async def say(
    http: web.Request, request: ChatRequest, chunks: Sequence[str], pace: Pace
) -> web.StreamResponse:
    """The whole answer, as a stream where one is wanted."""
    if not request.stream:
        await asyncio.sleep(pace.first_token_s + pace.token_s * len(chunks))
        return web.json_response(_completion(request, "".join(chunks)))
    response, base = await begin(http, request, chunks, pace)
    await _send(response, base, [_choice({}, "stop")])
    if request.include_usage:
        await _send(response, base, [], usage=_usage(request, "".join(chunks)))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def begin(
    http: web.Request, request: ChatRequest, chunks: Sequence[str], pace: Pace
) -> tuple[web.StreamResponse, dict[str, Any]]:
    """A stream, without its end."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(http)
    base = _base(request, "chat.completion.chunk")
    await asyncio.sleep(pace.first_token_s)
    await _send(response, base, [_choice({"role": "assistant", "content": ""})])
    for chunk in chunks:
        await _send(response, base, [_choice({"content": chunk})])
        await asyncio.sleep(pace.token_s)
    return response, base


def refuse(
    status: int,
    message: str,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    refusal = {"message": message, "type": "invalid_request_error", "code": code}
    return web.json_response({"error": refusal}, status=status, headers=headers)


async def _send(
    response: web.StreamResponse, base: dict[str, Any], choices: list[dict[str, Any]], **more: Any
) -> None:
    await response.write(b"data: " + orjson.dumps(base | {"choices": choices} | more) + b"\n\n")


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
