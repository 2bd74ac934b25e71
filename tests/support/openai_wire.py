"""Answers as OpenAI's chat completions put them on the wire, whole or spoilt on purpose."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import orjson

from penstock.local.prompt import ChatRequest
from tests.support import http1

# Like a tokenizer's, pieces begin with their space, and a field marker falls into several.
_PIECES = re.compile(r"\s*\S{1,8}|\s+")


class Ending(Enum):
    DONE = auto()
    CLOSE = auto()
    HANG = auto()
    RESET = auto()
    """As CLOSE, but the client is told so: what it has not read by then is lost."""
    HELD = auto()
    """The last part waits for `ModelServer.let_end`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes and when to write them: the opening goes with the first part, the closing with the
    last."""

    opening: bytes
    parts: tuple[bytes, ...] = ()
    closing: bytes = b""
    ending: Ending = Ending.DONE
    first_s: float = 0.0
    token_s: float = 0.0
    serves: int | None = None
    """How many of this model are answered at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    type: str
    code: str | int | None
    message: str

    def body(self) -> bytes:
        error = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        return orjson.dumps({"error": error})


def pieces(text: str) -> list[str]:
    return _PIECES.findall(text)


def told(request: ChatRequest, said: Sequence[str], first_s: float, token_s: float) -> Reply:
    """The whole answer, streamed or in one body as the client wanted it."""
    if request.stream:
        return _streamed(request, said, first_s, token_s)
    message = {"role": "assistant", "content": "".join(said)}
    body = orjson.dumps(
        _base(request, "chat.completion")
        | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        | {"usage": _usage(request, said)}
    )
    head, half = http1.response(200, body)[: -len(body)], len(body) // 2
    first_s += token_s * max(0, len(said) - 1)
    return Reply(head, (body[:half], body[half:]), first_s=first_s)


def refused(refusal: Refusal, headers: tuple[tuple[str, str], ...], first_s: float) -> Reply:
    headers = (("x-request-id", http1.REQUEST_ID), *headers)
    return Reply(http1.response(refusal.status, refusal.body(), headers=headers), first_s=first_s)


def page(status: int, body: bytes, content_type: str) -> Reply:
    """What a gateway in front of the model says."""
    return Reply(http1.response(status, body, content_type=content_type))


def told_in_deltas(request: ChatRequest, deltas: Sequence[dict[str, Any]], finish: str) -> Reply:
    """An answer that is more than text, whole or with an event for each delta."""
    if not request.stream:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for delta in deltas:
            _add(message, delta)
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = _base(request, "chat.completion") | {"choices": [choice]}
        body |= {"usage": _usage(request, deltas)}
        return Reply(http1.response(200, orjson.dumps(body)))
    base = _base(request, "chat.completion.chunk")
    parts = [
        _frame(orjson.dumps(base | {"choices": [{"index": 0, "delta": d, "finish_reason": None}]}))
        for d in deltas
    ]
    last = base | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    used = base | {"choices": [], "usage": _usage(request, deltas)}
    closing = [_frame(orjson.dumps(last))]
    if request.include_usage:
        closing.append(_frame(orjson.dumps(used)))
    closing += [_frame(b"[DONE]"), http1.LAST_CHUNK]
    return Reply(http1.STREAM_HEAD, tuple(parts), b"".join(closing))


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", [])
            for call in value:
                if call["index"] == len(calls):
                    known = {key: call[key] for key in call if key != "index"}
                    calls.append(known | {"function": dict(call["function"])})
                else:
                    calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        elif name != "role":
            message[name] = (message.get(name) or "") + value


def ending_early(reply: Reply, events: int) -> Reply:
    """Without the last so many events, as if that were all: a finish reason, usage, `[DONE]`."""
    frames = _frames(reply.closing)
    return replace(reply, closing=b"".join(map(_frame, frames[:-events])) + http1.LAST_CHUNK)


def cut_short(reply: Reply) -> Reply:
    """All is said, and the connection closed before the body's own end."""
    return replace(reply, closing=reply.closing.removesuffix(http1.LAST_CHUNK), ending=Ending.CLOSE)


def holding_its_end(reply: Reply) -> Reply:
    """All is said at once, and the end of the body waits for `ModelServer.let_end`."""
    said = b"".join(reply.parts) + reply.closing.removesuffix(http1.LAST_CHUNK)
    return replace(reply, parts=(said, b""), closing=http1.LAST_CHUNK, ending=Ending.HELD)


def recut(reply: Reply, size: int) -> Reply:
    """The same bytes in HTTP chunks of this size."""
    said = b"".join(b"data: " + f + b"\n\n" for f in _frames(b"".join(reply.parts) + reply.closing))
    cuts = [said[at : at + size] for at in range(0, len(said), size)]
    return replace(reply, parts=tuple(map(http1.chunk, cuts)), closing=http1.LAST_CHUNK)


def commented(reply: Reply) -> Reply:
    """With a sign of life before each part."""
    comment = http1.chunk(b": still here\n\n")
    return replace(reply, parts=tuple(comment + part for part in reply.parts))


def truncated(reply: Reply, at: int | None) -> Reply:
    """Ends as a body should, in the middle of an event."""
    middle = _middle(reply, at)
    half = _frames(reply.parts[middle])[0][:20]
    parts = (*reply.parts[:middle], http1.chunk(b"data: " + half))
    return replace(reply, parts=parts, closing=http1.LAST_CHUNK)


def _frames(chunks: bytes) -> list[bytes]:
    """The data of the events in HTTP chunks."""
    return re.findall(rb"^data: (.*)\n\n", chunks, re.MULTILINE)


def silent() -> Reply:
    return Reply(b"", ending=Ending.HANG)


def stopped(reply: Reply, at: int | None, ending: Ending) -> Reply:
    """The same until a part in the middle, then nothing more."""
    return replace(reply, parts=reply.parts[: _middle(reply, at)], closing=b"", ending=ending)


def malformed(request: ChatRequest, reply: Reply, at: int | None) -> Reply:
    broken = b'{"choices": [{"index": 0, "delta": {"cont'
    if not request.stream:
        return replace(reply, opening=http1.response(200, broken), parts=())
    middle = _middle(reply, at)
    parts = (*reply.parts[:middle], _frame(broken), *reply.parts[middle:])
    return replace(reply, parts=parts)


def interrupted(request: ChatRequest, reply: Reply, at: int | None, refusal: Refusal) -> Reply:
    """The status said 200; what went wrong is told in the body."""
    if not request.stream:
        return replace(reply, opening=http1.response(200, refusal.body()), parts=())
    closing = _frame(refusal.body()) + http1.LAST_CHUNK
    return replace(reply, parts=reply.parts[: _middle(reply, at)], closing=closing)


def _streamed(request: ChatRequest, said: Sequence[str], first_s: float, token_s: float) -> Reply:
    base = orjson.dumps(_base(request, "chat.completion.chunk"))[:-1] + b',"choices":'
    begin = base + b'[{"index":0,"delta":{"content":'
    end = b'},"finish_reason":null}]}'
    role = base + b'[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
    closing = _frame(base + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    if request.include_usage:
        closing += _frame(base + b'[],"usage":' + orjson.dumps(_usage(request, said)) + b"}")
    return Reply(
        http1.STREAM_HEAD + _frame(role),
        tuple(_frame(begin + orjson.dumps(piece) + end) for piece in said),
        closing + _frame(b"[DONE]") + http1.LAST_CHUNK,
        first_s=first_s,
        token_s=token_s,
    )


def _middle(reply: Reply, at: int | None) -> int:
    last = max(0, len(reply.parts) - 1)
    return min(last, len(reply.parts) // 2 if at is None else at)


def _frame(data: bytes) -> bytes:
    return http1.chunk(b"data: " + data + b"\n\n")


def _base(request: ChatRequest, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-test", "object": kind, "created": 0, "model": request.model}


def _usage(request: ChatRequest, said: Sequence[Any]) -> dict[str, int]:
    prompt = sum(len(text.split()) for _, text in request.messages)
    counts = {"prompt_tokens": prompt, "completion_tokens": len(said)}
    return counts | {"total_tokens": sum(counts.values())}
