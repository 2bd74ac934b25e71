"""How do a request and an answer look on the wire of OpenAI's chat completions?

DSPy's own dialect writes the request, so it is what DSPy's own client would send (30 µs a call).
Of an answer, the frames that hold nothing but text or reasoning, which is nearly all, are read
here; whatever else they hold is read by DSPy's dialect again. So an answer is the same through
either client.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import orjson
from dspy._vendor.lm15.providers.base import HttpResponse, _attach_error_metadata
from dspy._vendor.lm15.result import coalesce_stream
from dspy._vendor.lm15.sse import SSEEvent
from dspy.clients.engines.stream_guard import error_from_event
from dspy.lm15 import (
    ContextLengthError,
    InvalidRequestError,
    Message,
    OpenAIChatLM,
    ProviderError,
    Request,
    Response,
    StreamAssemblyError,
    StreamEndEvent,
    TextPart,
    ThinkingDelta,
    UnsupportedFeatureError,
)

DONE = b"[DONE]"

MAX_BODY = 16 * 1024 * 1024
"""Bytes of an answer that is not streamed; more than this is none."""

_SHORTEST_KEY = 8
"""Characters. What is shorter guards nothing, such as the `none` that stands for a key where none
is asked for, and would be found in the middle of words."""

_TOO_LONG = ("maximum context length", "available context size")
"""Said by vLLM and llama.cpp, which have no code for it. DSPy shortens what it can, told so."""

Headers = list[tuple[str, str]]


class Call(NamedTuple):
    """A request as it goes out."""

    url: str
    headers: Headers
    body: bytes
    model: str
    adaptations: tuple[Any, ...]
    """What of the request this endpoint takes only in another form."""


class ChatWire:
    """One endpoint's wire. Never says its key: where an endpoint quotes it, it is left out."""

    def __init__(self, dialect: OpenAIChatLM) -> None:
        self._dialect = dialect
        key = dialect.api_key
        self._key = key if isinstance(key, str) and len(key) >= _SHORTEST_KEY else None

    def call(self, request: Request, model: str, *, stream: bool) -> Call:
        """Raises an LM15Error for what this wire cannot carry."""
        request = replace(request, model=model)
        if not stream and self._dialect._judgments_via_token_scoring(request):  # noqa: SLF001
            raise UnsupportedFeatureError(
                "measured probabilities take several requests, which DSPy's own client makes; "
                "set the model's ENGINE to native",
                feature="config.probabilities",
            )
        sent, adaptations = self._dialect._build(request, stream=stream)  # noqa: SLF001 - build_request, and what it adapted
        return Call(sent.url, sent.headers, sent.body, model, adaptations)

    def response(self, request: Request, call: Call, headers: Headers, body: bytes) -> Response:
        """Of a whole answer. Raises ProviderError where it is none."""
        if len(body) > MAX_BODY:
            wrong = f"the reply (HTTP 200) is longer than {MAX_BODY >> 20} MiB"
            raise self._described(ProviderError(wrong, status=200), headers)
        try:
            said = _json(body)
            if error := said.get("error"):
                raise self.told_error(error, headers)
            _ = said["choices"][0]
            response = self._dialect.response_from_openai_chat(
                said, model=call.model, response_format=request.config.response_format
            )
        except ProviderError as error:
            raise self._described(error, headers) from None
        except (ValueError, TypeError, LookupError, AttributeError):
            kind = HttpResponse(200, "", headers, b"").header("content-type") or "no content type"
            wrong = f"the reply (HTTP 200, {kind}, {len(body)} bytes) is no answer in JSON"
            raise self._described(ProviderError(wrong, status=200), headers) from None
        return replace(response, adaptations=call.adaptations) if call.adaptations else response

    def refusal(self, status: int, headers: Headers, body: bytes) -> ProviderError:
        """What an answer with this status means."""
        text = self._without_key(body.decode("utf-8", "replace"))
        error = self._dialect._http_error(  # noqa: SLF001 - normalize_error, and what the headers say
            HttpResponse(status, "", headers, text.encode(), provider=self._dialect.provider)
        )
        too_long = any(said in error.message for said in _TOO_LONG)
        if type(error) is InvalidRequestError and too_long:
            known = ("provider", "provider_code", "status", "request_id", "retry_after")
            return ContextLengthError(
                error.message, **{name: getattr(error, name) for name in known}
            )
        return error

    def answer(self, request: Request, call: Call, headers: Headers) -> "Answer":
        return Answer(self, replace(request, model=call.model), headers)

    def events(self, request: Request, frame: bytes) -> Iterator[Any]:
        """Of one frame, by DSPy's dialect."""
        return self._dialect.parse_stream_events(request, SSEEvent(None, frame.decode()))  # type: ignore[no-any-return] # untyped

    def told_error(self, said: Any, headers: Headers) -> ProviderError:
        """An error that was told in a body whose status had said 200."""
        code = said.get("code") if isinstance(said, Mapping) else None
        if isinstance(code, int) and 400 <= code <= 599:  # noqa: PLR2004 - an HTTP status, as OpenRouter and vLLM give it
            return self.refusal(code, headers, orjson.dumps({"error": said}))
        provider = self._dialect.provider
        if not isinstance(said, Mapping):
            return self._described(ProviderError(str(said), provider=provider), headers)
        [event] = self._dialect.parse_stream_events(
            Request(model="-", messages=(Message.user("-"),)),
            SSEEvent(None, orjson.dumps({"error": said}).decode()),
        )
        return self._described(error_from_event(event, provider=provider), headers)

    def broken(self, why: str, headers: Headers) -> StreamAssemblyError:
        return self._described(StreamAssemblyError(why), headers)

    def _described(self, error: Any, headers: Headers) -> Any:
        """Without the key, and with what only the headers tell: request id, retry-after."""
        error.message = self._without_key(error.message)
        error.args = (error.message,)
        error.provider = error.provider or self._dialect.provider
        _attach_error_metadata(error, headers)
        return error

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class Answer:
    """A streamed answer: a frame in, what it says out."""

    def __init__(self, wire: ChatWire, request: Request, headers: Headers) -> None:
        self.done = False
        """`[DONE]` was said: nothing follows."""
        self.model: str | None = None
        """That answers, by its own words; known by the end."""
        self.pieces = 0
        """Of text, thought or a tool's arguments; mostly one token each."""
        self._wire = wire
        self._request = request
        self._headers = headers
        self._ends: list[StreamEndEvent] = []
        self._finished = False
        self._frames = 0

    def read(self, frame: bytes) -> list[Any]:
        """What this frame says: text as `str`, all else as the deltas of `dspy.lm15`.

        Raises:
            ProviderError: the frame tells an error.
            StreamAssemblyError: it cannot be read.
        """
        if self.done:
            return []
        self._frames += 1
        if frame == DONE:
            self.done = True
            self._ends.append(StreamEndEvent())
            return []
        try:
            said = _json(frame)
            deltas = _only_text(said)
            if deltas is None:
                deltas = self._read_by_dialect(frame, said)
        except (ValueError, TypeError, AttributeError, LookupError):
            # Without the cause: it quotes what the model said.
            raise self.broken(f"frame {self._frames} of the stream cannot be read") from None
        self.pieces += len(deltas)
        return deltas

    def end(self) -> StreamEndEvent:
        """Once the stream is over. Raises StreamAssemblyError where the answer is not."""
        if not self._frames:
            raise self.broken("the reply (HTTP 200) holds no event of a stream")
        if not self.whole:
            raise self.broken("the stream ended without a finish reason")
        *_, end = coalesce_stream(iter(self._ends))
        return end

    @property
    def whole(self) -> bool:
        """The model has said all: what may still come is its usage."""
        return self._finished or self.done

    def broken(self, why: str) -> StreamAssemblyError:
        return self._wire.broken(why, self._headers)

    def _read_by_dialect(self, frame: bytes, said: dict[str, Any]) -> list[Any]:
        if error := said.get("error"):
            raise self._wire.told_error(error, self._headers)
        self.model = said.get("model") or self.model
        deltas: list[Any] = []
        for event in self._wire.events(self._request, frame):
            if event.type == "end":
                self._ends.append(event)
                self._finished = self._finished or event.finish_reason is not None
            else:
                deltas.append(event.delta)
        return deltas


def _only_text(said: dict[str, Any]) -> list[Any] | None:
    """None where there is more in it than text or reasoning."""
    choices = said.get("choices")
    choice = choices[0] if choices else {}
    delta = choice.get("delta") or {}
    text = delta.get("content") or ""
    if (
        choice.get("finish_reason")
        or said.get("usage")
        or delta.get("tool_calls")
        or choice.get("logprobs")
        or said.get("error")
        or not isinstance(text, str)
    ):
        return None
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    thought = [ThinkingDelta(text=str(reasoning))] if reasoning else []
    return [*thought, text] if text else thought


def _json(text: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Half a surrogate pair, or NaN: Python takes them, and DSPy's own client does.
        said = json.loads(text)
    if not isinstance(said, dict):
        raise TypeError("it is no JSON object")
    return said


def streamable(response: Response) -> Response:
    """Without what a stream has no event for: a refusal, which is no answer in a stream either."""
    said = tuple(part for part in response.message.parts if part.type != "refusal")
    return replace(response, message=Message(role="assistant", parts=said or (TextPart(text=""),)))
