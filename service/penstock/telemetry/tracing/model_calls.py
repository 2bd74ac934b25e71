"""Which span has the call of a model? See the conventions for generative AI, client inference."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, Tracer

from penstock.clock import Clock
from penstock.program.classify import classify
from penstock.telemetry.tracing import spans

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Where the conventions have another name for one than DSPy."""

_ASKED = {
    "temperature": ("gen_ai.request.temperature", float),
    "top_p": ("gen_ai.request.top_p", float),
    "max_tokens": ("gen_ai.request.max_tokens", int),
    "max_completion_tokens": ("gen_ai.request.max_tokens", int),
    "seed": ("gen_ai.request.seed", int),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", float),
    "presence_penalty": ("gen_ai.request.presence_penalty", float),
}

_PORTS = {"http": 80, "https": 443}
_CANCELLED = "cancelled"


class ModelCalls:
    """Of one attempt; see `penstock.program.calls`.

    Args:
        tracer: of this process.
        attempt: its span.
        clock: of the service.
        hide: takes secrets out of a text.
        tells_content: whether what models are asked, and answer, is part of it.
    """

    def __init__(
        self,
        tracer: Tracer,
        attempt: Span,
        clock: Clock,
        hide: Callable[[str], str],
        *,
        tells_content: bool,
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._attempt = attempt
        self._within = spans.within(attempt)
        self._hide = hide
        self._tells_content = tells_content

    @contextmanager
    def running(self) -> Iterator[None]:
        """Spans of the program's own are part of the attempt."""
        token = contexts.attach(self._within)
        try:
            yield
        finally:
            contexts.detach(token)

    def begin(self, lm: Any, asked: Mapping[str, Any]) -> "_Call":
        provider, model = _named(lm)
        said = {**getattr(lm, "kwargs", {}), **(asked.get("kwargs") or {})}
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
            "gen_ai.request.model": model,
            **_address(said.get("api_base")),
            **_options(said),
        }
        span = self._tracer.start_span(f"chat {model}", self._around(), spans.CLIENT, attributes)
        if self._tells_content and span.is_recording():
            messages = asked.get("messages") or [{"role": "user", "content": asked.get("prompt")}]
            span.set_attribute("gen_ai.input.messages", self._hide(_messages(messages)))
        return _Call(span, self._clock, self._hide, tells_content=self._tells_content)

    def _around(self) -> contexts.Context:
        """A span of the program's own, or else the attempt: threads that a program makes by itself
        know of neither.
        """
        here = trace.get_current_span().get_span_context()
        ours = here.is_valid and here.trace_id == self._attempt.get_span_context().trace_id
        return contexts.get_current() if ours else self._within


class _Call:
    def __init__(
        self, span: Span, clock: Clock, hide: Callable[[str], str], *, tells_content: bool
    ) -> None:
        self._span = span
        self._clock = clock
        self._hide = hide
        self._tells_content = tells_content
        self._sent_at: float | None = None
        self._begun = False
        self._reasons: list[str] = []

    def sent(self, url: str | None, *, stream: bool) -> list[tuple[str, str]]:
        self._sent_at = self._clock.monotonic()
        for name, value in _address(url).items():
            self._span.set_attribute(name, value)
        if stream:
            self._span.set_attribute("gen_ai.request.stream", value=True)
        return [(name, value.decode("latin-1")) for name, value in spans.headers_of(self._span)]

    def begun(self) -> None:
        if not self._begun and self._sent_at is not None:
            self._begun = True
            seconds = self._clock.monotonic() - self._sent_at
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def answered(self, model: str | None, finish_reason: str | None) -> None:
        if isinstance(model, str):
            self._span.set_attribute("gen_ai.response.model", model)
        if finish_reason is not None:
            self._reasons.append(finish_reason)

    def used(self, usage: Mapping[str, Any]) -> None:
        for name, of in (("prompt_tokens", "input"), ("completion_tokens", "output")):
            if isinstance(count := usage.get(name), int):
                self._span.set_attribute(f"gen_ai.usage.{of}_tokens", count)

    def end(self, outputs: Any, error: BaseException | None) -> None:
        span = self._span
        if self._reasons:
            span.set_attribute("gen_ai.response.finish_reasons", self._reasons)
        if self._tells_content and outputs and span.is_recording():
            said = self._hide(_answers(outputs, self._reasons))
            span.set_attribute("gen_ai.output.messages", said)
        if error is not None:
            _failed(span, error)
        span.end()


def _failed(span: Span, error: BaseException) -> None:
    if not isinstance(error, Exception) or isinstance(error, asyncio.CancelledError):
        spans.failed(span, _CANCELLED)
        return
    spans.failed(span, classify(error).code)
    status = getattr(error, "status", None)
    if isinstance(status, int):
        span.set_attribute("http.response.status_code", status)


def _named(lm: Any) -> tuple[str, str]:
    """Its provider, and its name there."""
    before, slash, behind = str(lm.model).partition("/")
    return (before, behind) if slash else (type(lm).__name__.lower(), before)


def _address(url: Any) -> dict[str, Any]:
    """Of an address, which may be wrong, and hold a password."""
    if not isinstance(url, str):
        return {}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return {}
    return {"server.address": host, "server.port": port} if host and port else {}


def _options(said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (attribute, kind) in _ASKED.items():
        value = said.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[attribute] = kind(value)
    count = said.get("n")
    if isinstance(count, int) and count != 1:
        found["gen_ai.request.choice.count"] = count
    return found


# --- what is said, where that is asked for --------------------------------------------------------


def _messages(messages: Any) -> str:
    told = (one for one in messages if isinstance(one, Mapping))
    return _json([{"role": one.get("role"), "parts": _parts(one)} for one in told])


def _answers(outputs: Any, reasons: list[str]) -> str:
    told = []
    for number, one in enumerate(outputs if isinstance(outputs, list) else [outputs]):
        said = one if isinstance(one, dict) else {"content": one}
        reason = reasons[number] if number < len(reasons) else "stop"
        told.append({"role": "assistant", "parts": _parts(said), "finish_reason": reason})
    return _json(told)


def _parts(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of text and tool calls; of all else only that there was some."""
    content = said.get("content") if "content" in said else said.get("text")
    parts: list[dict[str, Any]] = []
    if reasoning := said.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": str(reasoning)})
    for one in content if isinstance(content, list) else [content]:
        if isinstance(one, str):
            parts.append({"type": "text", "content": one})
        elif isinstance(one, dict) and isinstance(one.get("text"), str):
            parts.append({"type": "text", "content": one["text"]})
        elif isinstance(one, dict):
            parts.append({"type": str(one.get("type"))})
    for call in said.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": function.get("name"),
                "arguments": function.get("arguments"),
            }
        )
    return parts


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
