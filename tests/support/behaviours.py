"""What a model does, chosen by its name: `ok`, `429?retry_after=2`, `cut?at=3&token_ms=5`, ...

Parameters, all optional: `first_ms` and `token_ms` pace the answer, `tokens` sets the length of
its text in words, `text` says which words, `at` is the number of chunks before a fault,
`retry_after` and `retry_after_ms` the headers, `status` that of a page which is no answer, `error`
which refusal an `error-frame` carries. A refusal says `text`, in which `*headers*` stands for those
of the request, the key among them. `bench` takes `slower` times as long for a question in which
there is the word `slowly`. `held` says all but its last chunk,
which waits for `ModelServer.let_end`. `serves` is how many the model answers at once; the others
wait in line.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import cycle, islice
from typing import Any
from urllib.parse import parse_qsl

from penstock.local.prompt import ChatRequest, OutputField, Style, sample, written
from tests.support import openai_wire as wire
from tests.support.openai_wire import Ending, Refusal, Reply

BENCH_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Params:
    first_ms: float = 0.0
    token_ms: float = 0.0
    tokens: int | None = None
    at: int | None = None
    retry_after: str | None = None
    retry_after_ms: str | None = None
    text: str | None = None
    error: str = "500"
    status: int = 502
    serves: int | None = None
    slower: float | None = None

    def read(self, query: str) -> "Params":
        """These, with what the query says in their place. Raises ValueError for what is none."""
        known = {field.name for field in fields(self)}
        said: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        if not known.issuperset(said):
            raise ValueError(f"a model has no parameter {sorted(said.keys() - known)}")
        numbers = ("tokens", "at", "status", "serves")
        kinds = {"first_ms": float, "token_ms": float, "slower": float} | dict.fromkeys(
            numbers, int
        )
        for name, kind in kinds.items():
            if name in said:
                said[name] = kind(said[name])
        return replace(self, **said)


Behaviour = Callable[[ChatRequest, Params], Reply]


def reply(request: ChatRequest, name: str, defaults: Params) -> Reply:
    """What the model called `name` answers. A name nobody knows is an unknown model."""
    kind, _, query = name.partition("?")
    try:
        params = replace(defaults, **_OWN_DEFAULTS.get(kind, {})).read(query)
    except ValueError as wrong:
        return wire.refused(replace(_REFUSALS["400"], message=str(wrong)), (), 0.0)
    answer = BEHAVIOURS.get(kind, _refusal("404"))(request, params)
    return answer if params.serves is None else replace(answer, serves=params.serves)


def bench_text(tokens: int = BENCH_TOKENS) -> str:
    """The `answer` of the model `bench`: every word of it is one chunk."""
    return " ".join(islice(cycle(("water", "finds", "its", "own", "level")), tokens))


def _text(request: ChatRequest, params: Params) -> str:
    text = params.text or f"You said {request.question}"
    if params.tokens is None:
        return text
    return " ".join(islice(cycle(text.split()), params.tokens))


def _say(request: ChatRequest, params: Params, text: str) -> Reply:
    paces = params.first_ms / 1000, params.token_ms / 1000
    return wire.told(request, wire.pieces(text), *paces)


def _answer(style: Style | None = None) -> Behaviour:
    def behave(request: ChatRequest, params: Params) -> Reply:
        text = _text(request, params)
        return _say(request, params, written(request, lambda f: sample(request, f, text), style))

    return behave


_ok = _answer()


def _echo(request: ChatRequest, params: Params) -> Reply:
    question = request.question
    return _say(request, params, written(request, lambda f: sample(request, f, question)))


def _refusal(kind: str) -> Behaviour:
    def behave(_: ChatRequest, params: Params) -> Reply:
        said = {"Retry-After": params.retry_after, "retry-after-ms": params.retry_after_ms}
        headers = tuple((name, value) for name, value in said.items() if value)
        refusal = _REFUSALS[kind]
        refusal = replace(refusal, message=params.text or refusal.message)
        return wire.refused(refusal, headers, params.first_ms / 1000)

    return behave


def _page(body: bytes, content_type: str) -> Behaviour:
    return lambda _, params: wire.page(params.status, body, content_type)


def _streamed(change: Callable[[Reply, Params], Reply]) -> Behaviour:
    """What can only be done to a stream; an answer that is not one is as it should be."""

    def behave(request: ChatRequest, params: Params) -> Reply:
        told = _ok(request, params)
        return change(told, params) if request.stream else told

    return behave


def _whole(request: ChatRequest, params: Params) -> Reply:
    """Whatever was asked for, the answer is not a stream."""
    return _ok(replace(request, stream=False), params)


def _at_once(request: ChatRequest, params: Params) -> Reply:
    text = _text(request, params)
    return wire.told(request, [written(request, lambda f: sample(request, f, text))], 0.0, 0.0)


def _thinking(name: str) -> Behaviour:
    def behave(request: ChatRequest, params: Params) -> Reply:
        text = _text(request, params)
        answer = written(request, lambda f: sample(request, f, text))
        thoughts = [{name: piece} for piece in wire.pieces("First I think of water.")]
        words = [{"content": piece} for piece in wire.pieces(answer)]
        role = {"role": "assistant", "content": ""}
        return wire.told_in_deltas(request, [role, *thoughts, *words], "stop")

    return behave


def _tools(request: ChatRequest, _: Params) -> Reply:
    """Two calls, their arguments in pieces."""

    def call(index: int, arguments: str, **more: str) -> dict[str, Any]:
        name = {"name": more.pop("name")} if "name" in more else {}
        return {"index": index, **more, "function": {**name, "arguments": arguments}}

    first = call(0, "", id="call-a", type="function", name="look_up")
    second = call(1, '{"topic":', id="call-b", type="function", name="look_up")
    rest = [call(0, '{"topic": '), call(0, '"pipes"}')]
    deltas: list[dict[str, Any]] = [
        {"content": "I look."},
        *({"tool_calls": [c]} for c in (first, *rest)),
    ]
    deltas += [{"tool_calls": [second]}, {"tool_calls": [call(1, '"dams"}')]}]
    return wire.told_in_deltas(request, deltas, "tool_calls")


def _refuses(request: ChatRequest, _: Params) -> Reply:
    return wire.told_in_deltas(request, [{"refusal": "I will "}, {"refusal": "not."}], "stop")


def _stop(ending: Ending) -> Behaviour:
    return lambda request, params: wire.stopped(_ok(request, params), params.at, ending)


def _held(request: ChatRequest, params: Params) -> Reply:
    return replace(_ok(request, params), ending=Ending.HELD)


def _malformed(request: ChatRequest, params: Params) -> Reply:
    return wire.malformed(request, _ok(request, params), params.at)


def _error_frame(request: ChatRequest, params: Params) -> Reply:
    refusal = _REFUSALS[params.error]
    refusal = replace(refusal, message=params.text or refusal.message)
    return wire.interrupted(request, _ok(request, params), params.at, refusal)


def _unparsable(request: ChatRequest, params: Params) -> Reply:
    return _say(request, params, params.text or "I would rather not fill in a form today.")


def _react(request: ChatRequest, params: Params) -> Reply:
    """Calls the first tool, then finishes, then answers."""
    used = "[[ ## tool_name_0 ## ]]" in request.last("user")
    tool, arguments = ("finish", {}) if used else _first_tool(request)
    turn = {
        "next_thought": "I know enough." if used else f"I will ask {tool}.",
        "next_tool_name": tool,
        "next_tool_args": arguments,
    }
    text = _text(request, params)

    def value(field: OutputField) -> Any:
        return turn[field.name] if field.name in turn else sample(request, field, text)

    return _say(request, params, written(request, value))


def _first_tool(request: ChatRequest) -> tuple[str, dict[str, Any]]:
    pattern = r"^\s*\(1\) (\w+).*?It takes arguments (\{.*\})\.$"
    named = re.search(pattern, request.last("system"), re.MULTILINE)
    if not named:
        return "finish", {}
    values = {"integer": 7, "number": 0.5, "boolean": True, "array": [], "object": {}}
    arguments = {
        name: values.get(schema.get("type"), request.question)
        for name, schema in ast.literal_eval(named[2]).items()
        if "default" not in schema
    }
    return named[1], arguments


def _bench(request: ChatRequest, params: Params) -> Reply:
    tokens = BENCH_TOKENS if params.tokens is None else params.tokens
    times = 1.0
    if params.slower is not None and "slowly" in request.last("user"):
        times = params.slower
    paces = params.first_ms * times / 1000, params.token_ms * times / 1000
    return _bench_reply(request.model, request.stream, request.include_usage, tokens, paces)


@lru_cache(maxsize=64)
def _bench_reply(
    model: str, stream: bool, include_usage: bool, tokens: int, paces: tuple[float, float]
) -> Reply:
    # Encoded once: the prompt is not looked at, so its token count is a made-up one.
    prompt = (("user", "word " * 100),)
    text = f"[[ ## answer ## ]]\n{bench_text(tokens)}\n\n[[ ## completed ## ]]"
    request = ChatRequest(model, prompt, stream, include_usage)
    return wire.told(request, wire.pieces(text), *paces)


_REFUSALS = {
    "400": Refusal(400, "invalid_request_error", None, "The request makes no sense."),
    "401": Refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "403": Refusal(403, "invalid_request_error", "forbidden", "Your project has no access."),
    "402": Refusal(402, "billing_error", "insufficient_balance", "Insufficient balance."),
    "404": Refusal(404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "408": Refusal(408, "timeout", None, "The request took too long."),
    "413": Refusal(413, "invalid_request_error", None, "The request is too large."),
    "429": Refusal(429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "too-large": Refusal(
        429,
        "tokens",
        "rate_limit_exceeded",
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.",
    ),
    "quota": Refusal(429, "insufficient_quota", "insufficient_quota", "You exceeded your quota."),
    "500": Refusal(500, "server_error", None, "The server had an error."),
    "502": Refusal(502, "upstream_error", None, "A type of error only this provider has."),
    "503": Refusal(503, "server_error", "overloaded", "The engine is overloaded."),
    "504": Refusal(504, "timeout", None, "The upstream took too long."),
    "openrouter": Refusal(502, "upstream", 502, "Provider returned error."),
    "context-vllm": Refusal(
        400, "BadRequestError", None, "This model's maximum context length is 4096 tokens. Shorten."
    ),
    "context-llama": Refusal(
        400, "exceed_context_size_error", 400, "The request exceeds the available context size."
    ),
    "context": Refusal(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 4096 tokens.",
    ),
}

_OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "429": {"retry_after": "1"},
    "slow": {"first_ms": 5000.0, "token_ms": 50.0},
}

BEHAVIOURS: dict[str, Behaviour] = {
    **{kind: _refusal(kind) for kind in _REFUSALS},
    "ok": _ok,
    "slow": _ok,
    "json": _answer(Style.JSON),
    "plain": _answer(Style.PLAIN),
    "echo": _echo,
    "hang-before": lambda _request, _params: wire.silent(),
    "hang-during": _stop(Ending.HANG),
    "held": _held,
    "held-end": _streamed(lambda told, _: wire.holding_its_end(told)),
    "cut": _stop(Ending.CLOSE),
    "cut-before": lambda _request, _params: replace(wire.silent(), ending=Ending.CLOSE),
    "reset": _stop(Ending.RESET),
    "truncated": _streamed(lambda told, params: wire.truncated(told, params.at)),
    "crumbs": _streamed(lambda told, params: wire.recut(told, params.at or 1)),
    "commented": _streamed(lambda told, _: wire.commented(told)),
    "no-done": _streamed(lambda told, _: wire.ending_early(told, 1)),
    "no-usage": _streamed(lambda told, _: wire.ending_early(told, 2)),
    "no-finish": _streamed(lambda told, _: wire.ending_early(told, 3)),
    "lost-after-finish": _streamed(lambda told, _: wire.cut_short(wire.ending_early(told, 2))),
    "whole": _whole,
    "at-once": _at_once,
    "thinking": _thinking("reasoning_content"),
    "thinking-aloud": _thinking("reasoning"),
    "tools": _tools,
    "refuses": _refuses,
    "html": _page(b"<html><body>Bad Gateway</body></html>", "text/html"),
    "bare": _page(b"", "text/plain"),
    "malformed": _malformed,
    "error-frame": _error_frame,
    "empty": lambda request, params: _say(request, params, ""),
    "unparsable": _unparsable,
    "react": _react,
    "bench": _bench,
}
