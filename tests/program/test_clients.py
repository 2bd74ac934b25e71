"""One contract for every client: what a misbehaving model makes of a question.

Seen where the service sees it: what `dspy.Predict` raises, and which failure that is. Where DSPy's
own client or LiteLLM does otherwise, `OTHERWISE` says so.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple

import pytest
from dspy.utils import exceptions as raised

from penstock.core.failure import Kind
from penstock.program.classify import classify
from penstock.program.reading import Timeouts
from tests.support.asking import QUESTION, Sink, ask, sink_if
from tests.support.clients import KEY, NATIVE, OURS, Client, every_client
from tests.support.http1 import REQUEST_ID
from tests.support.model_server import model_server

streamed_or_not = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])


class Raised(NamedTuple):
    """What DSPy raises, and which failure that is."""

    error: type[Any]
    status: int | None
    provider_code: str | None
    kind: Kind
    code: str
    retry_after: float | None = None


INVALID = "invalid_request_error"
BAD_REQUEST = (Kind.RECORD, "invalid_request")
TOO_LONG = (Kind.RECORD, "context_window_exceeded")
TOO_LARGE = (Kind.RECORD, "request_too_large")
UNKNOWN_MODEL = (Kind.OPERATOR, "unknown_model")
NO_KEY = (Kind.OPERATOR, "model_auth")
UNPAID = (Kind.OPERATOR, "model_unpaid")
RATE_LIMITED = (Kind.UPSTREAM, "rate_limited")
LATE = (Kind.UPSTREAM, "model_timeout")
TROUBLE = (Kind.UPSTREAM, "model_error")
LOST = (Kind.UPSTREAM, "connection_lost")
BROKEN = (Kind.UPSTREAM, "stream_broken")
UNPARSABLE = (Kind.ANSWER, "unparsable_answer")

# ruff: noqa: E501 - a table is read by its columns
# fmt: off
REFUSED = {
    "400": Raised(raised.LMInvalidRequestError, 400, INVALID, *BAD_REQUEST),
    "ok?unknown=1": Raised(raised.LMInvalidRequestError, 400, INVALID, *BAD_REQUEST),
    "401": Raised(raised.LMAuthError, 401, "invalid_api_key", *NO_KEY),
    "402": Raised(raised.LMBillingError, 402, "insufficient_balance", *UNPAID),
    "403": Raised(raised.LMAuthError, 403, "forbidden", *NO_KEY),
    "404": Raised(raised.LMUnsupportedModelError, 404, "model_not_found", *UNKNOWN_MODEL),
    "never-heard-of": Raised(raised.LMUnsupportedModelError, 404, "model_not_found", *UNKNOWN_MODEL),
    "408": Raised(raised.LMTimeoutError, 408, "timeout", *LATE),
    "413": Raised(raised.LMInvalidRequestError, 413, INVALID, *BAD_REQUEST),
    "429": Raised(raised.LMRateLimitError, 429, "rate_limit_exceeded", *RATE_LIMITED, 1.0),
    "429?retry_after=7": Raised(raised.LMRateLimitError, 429, "rate_limit_exceeded", *RATE_LIMITED, 7.0),
    "429?retry_after=": Raised(raised.LMRateLimitError, 429, "rate_limit_exceeded", *RATE_LIMITED),
    "429?retry_after=&retry_after_ms=1500":
        Raised(raised.LMRateLimitError, 429, "rate_limit_exceeded", *RATE_LIMITED, 1.5),
    "429?text=You exceeded your quota, check your plan and billing details.&retry_after=":
        Raised(raised.LMRateLimitError, 429, "rate_limit_exceeded", *RATE_LIMITED),
    "too-large": Raised(raised.LMRateLimitError, 429, "rate_limit_exceeded", *TOO_LARGE),
    "quota": Raised(raised.LMBillingError, 429, "insufficient_quota", *UNPAID),
    "500": Raised(raised.LMServerError, 500, "server_error", *TROUBLE),
    "502": Raised(raised.LMServerError, 502, "upstream_error", *TROUBLE),
    "503": Raised(raised.LMServerError, 503, "overloaded", *TROUBLE),
    "503?retry_after=3": Raised(raised.LMServerError, 503, "overloaded", *TROUBLE, 3.0),
    "504": Raised(raised.LMTimeoutError, 504, "timeout", *LATE),
    "context": Raised(raised.ContextWindowExceededError, 400, "context_length_exceeded", *TOO_LONG),
    "context-vllm": Raised(raised.ContextWindowExceededError, 400, "BadRequestError", *TOO_LONG),
    "context-llama": Raised(raised.ContextWindowExceededError, 400, "400", *TOO_LONG),
    "html": Raised(raised.LMServerError, 502, None, *TROUBLE),
    "html?status=404": Raised(raised.LMInvalidRequestError, 404, None, *UNKNOWN_MODEL),
    "html?status=429": Raised(raised.LMRateLimitError, 429, None, *RATE_LIMITED),
    "bare?status=400": Raised(raised.LMInvalidRequestError, 400, None, *BAD_REQUEST),
    "bare?status=401": Raised(raised.LMAuthError, 401, None, *NO_KEY),
    "bare?status=503": Raised(raised.LMServerError, 503, None, *TROUBLE),
}
"""A status that says no, streamed or not."""

IN_STREAM = {
    "html?status=200": Raised(raised.LMStreamAssemblyError, None, None, *BROKEN),
    "bare?status=200": Raised(raised.LMStreamAssemblyError, None, None, *BROKEN),
    "cut-before": Raised(raised.LMTransportError, None, None, *LOST),
    "cut": Raised(raised.LMTransportError, None, None, *LOST),
    "cut?at=0": Raised(raised.LMTransportError, None, None, *LOST),
    "reset?token_ms=2": Raised(raised.LMTransportError, None, None, *LOST),
    "malformed": Raised(raised.LMStreamAssemblyError, None, None, *BROKEN),
    "truncated": Raised(raised.LMStreamAssemblyError, None, None, *BROKEN),
    "no-finish": Raised(raised.LMStreamAssemblyError, None, None, *BROKEN),
    "error-frame": Raised(raised.LMServerError, None, "server_error", *TROUBLE),
    "error-frame?error=429": Raised(raised.LMRateLimitError, None, "rate_limit_exceeded", *RATE_LIMITED),
    "error-frame?error=quota": Raised(raised.LMBillingError, None, "insufficient_quota", *UNPAID),
    "error-frame?error=502": Raised(raised.LMProviderError, None, "upstream_error", *TROUBLE),
    "error-frame?error=openrouter": Raised(raised.LMServerError, 502, "502", *TROUBLE),
    "empty": Raised(raised.AdapterParseError, None, None, *UNPARSABLE),
    "refuses": Raised(raised.AdapterParseError, None, None, *UNPARSABLE),
    "unparsable": Raised(raised.AdapterParseError, None, None, *UNPARSABLE),
    "plain": Raised(raised.AdapterParseError, None, None, *UNPARSABLE),
}
"""The status had said 200."""

IN_BODY = {
    **{name: was for name, was in IN_STREAM.items() if name not in {"truncated", "no-finish"}},
    "html?status=200": Raised(raised.LMProviderError, 200, None, *TROUBLE),
    "bare?status=200": Raised(raised.LMProviderError, 200, None, *TROUBLE),
    "malformed": Raised(raised.LMProviderError, 200, None, *TROUBLE),
}
"""The same, of an answer that is not streamed."""
# fmt: on

# fmt: off
NATIVE_OTHERWISE = {
    "context-vllm": Raised(raised.LMInvalidRequestError, 400, "BadRequestError", *BAD_REQUEST),
    "context-llama": Raised(raised.LMInvalidRequestError, 400, "400", *BAD_REQUEST),
    "malformed": Raised(raised.LMUnexpectedError, None, None, *TROUBLE),
    "truncated": Raised(raised.LMUnexpectedError, None, None, *TROUBLE),
    "error-frame?error=openrouter": Raised(raised.LMProviderError, None, "502", *TROUBLE),
}
NATIVE_OTHERWISE_IN_BODY = {
    "error-frame": Raised(raised.LMServerError, None, None, *TROUBLE),
    "error-frame?error=502": Raised(raised.LMServerError, None, None, *TROUBLE),
    "error-frame?error=quota": Raised(raised.LMServerError, None, "insufficient_quota", *TROUBLE),
    "error-frame?error=openrouter": Raised(raised.LMServerError, None, "502", *TROUBLE),
}
# fmt: on
LITELLM_ACCEPTS = {"truncated", "no-finish"}
"""Half an answer is one to LiteLLM: another reason why it has to be asked for."""
LITELLM_KINDS = {
    "error-frame?error=quota": Kind.UPSTREAM,
    "html?status=200": Kind.ANSWER,
    "bare?status=200": Kind.ANSWER,
}
"""Where it takes the failure for another."""


async def _failure(client: Client, model: str, sink: Sink | None) -> Any:
    async with model_server() as server:
        with pytest.raises(raised.DSPyError) as caught:
            await client.ask(server, model, sink=sink)
    return caught.value


def _seen(error: Any) -> Raised:
    failure = classify(error)
    assert KEY not in f"{error} {error!r} {failure.message}"
    assert failure.retry_after == error.retry_after
    return Raised(
        type(error),
        error.status,
        error.provider_code,
        failure.kind,
        failure.code,
        failure.retry_after,
    )


@streamed_or_not
@pytest.mark.parametrize("model", REFUSED)
@every_client
async def test_a_refusal(client: Client, model: str, streamed: bool) -> None:
    error = await _failure(client, model, sink_if(streamed))
    expected = REFUSED[model]
    if client.engine == "litellm":
        assert classify(error).kind is expected.kind
        return
    if client.engine == "native":
        expected = NATIVE_OTHERWISE.get(model, expected)
    assert _seen(error) == expected
    told = model.partition("?")[0] not in {"html", "bare"}
    assert error.request_id == (REQUEST_ID if told else None)


@pytest.mark.parametrize("model", IN_STREAM)
@every_client
async def test_a_spoilt_stream(client: Client, model: str) -> None:
    if client.engine == "litellm":
        if model not in LITELLM_ACCEPTS:
            error = await _failure(client, model, Sink())
            assert classify(error).kind is LITELLM_KINDS.get(model, IN_STREAM[model].kind)
        return
    error = await _failure(client, model, Sink())
    otherwise = NATIVE_OTHERWISE if client.engine == "native" else {}
    assert _seen(error) == otherwise.get(model, IN_STREAM[model])
    if model.startswith("error-frame"):
        assert error.request_id == REQUEST_ID


@pytest.mark.parametrize("model", IN_BODY)
@every_client
async def test_a_spoilt_body(client: Client, model: str) -> None:
    error = await _failure(client, model, None)
    expected = IN_BODY[model]
    if client.engine == "litellm":
        kind = {} if model.endswith("=200") else LITELLM_KINDS
        assert classify(error).kind is kind.get(model, expected.kind)
        return
    otherwise = NATIVE_OTHERWISE_IN_BODY if client.engine == "native" else {}
    assert _seen(error) == otherwise.get(model, expected)


WHOLE = ["ok", "crumbs", "crumbs?at=7", "commented", "no-done", "no-usage", "thinking"]
OURS_ALONE = ["lost-after-finish", "whole", "at-once?tokens=20000"]
"""DSPy's own client takes none of these for an answer, which is paid for all the same."""


@pytest.mark.parametrize("model", WHOLE)
@every_client
async def test_an_answer_is_heard_and_told(client: Client, model: str) -> None:
    sink = Sink()
    async with model_server() as server:
        answer = await client.ask(server, model, sink=sink)
    assert answer.answer == f"You said {QUESTION}"
    assert "[[ ## answer ## ]]\nYou said" in "".join(sink.pieces)
    if model != "no-usage":
        (usage,) = answer.get_lm_usage().values()
        assert usage["prompt_tokens"] > usage["completion_tokens"] > 0


@pytest.mark.parametrize("model", OURS_ALONE)
@pytest.mark.parametrize("client", [OURS, Client("openai", in_thread=True)])
async def test_what_is_whole_is_an_answer(client: Client, model: str) -> None:
    async with model_server() as server:
        answer = await client.ask(server, model, sink=Sink())
    assert answer.answer.startswith(f"You said {QUESTION}")


@every_client
async def test_retry_after_may_be_a_date(client: Client) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    error = await _failure(client, f"429?retry_after={when}", None)
    assert type(error) is raised.LMRateLimitError
    if client.engine != "litellm":
        assert 30 < (classify(error).retry_after or 0) <= 40


@streamed_or_not
@pytest.mark.parametrize("client", [OURS, Client("openai", in_thread=True)])
@pytest.mark.parametrize("behaviour", ["401", "500", "error-frame?error=500"])
async def test_a_key_that_the_model_repeats_is_in_no_message(
    client: Client, behaviour: str, streamed: bool
) -> None:
    query = "&" if "?" in behaviour else "?"
    async with model_server() as server:
        server.script["indiscreet"] = lambda *_: f"{behaviour}{query}text=No such key: {KEY}"
        with pytest.raises(raised.LMError) as caught:
            await client.ask(server, "indiscreet", sink=sink_if(streamed))
    error = caught.value
    assert "No such key: ***" in str(error)
    assert KEY not in f"{error!r} {classify(error)} {error.__cause__!r} {error.__cause__}"


@pytest.mark.parametrize("behaviour", ["400", "error-frame?error=400"])
async def test_what_stands_for_a_key_is_left_in_messages(behaviour: str) -> None:
    said = "none of the models is nonexistent"
    query = "&" if "?" in behaviour else "?"
    async with model_server() as server:
        server.script["wordy"] = lambda *_: f"{behaviour}{query}text={said}"
        with pytest.raises(raised.LMError, match=said):
            await ask(server, "wordy", engine="openai", api_key="none", sink=Sink())


NOBODY = "http://127.0.0.1:1/v1"
UNREACHABLE = [
    pytest.param(NOBODY, "127.0.0.1:1", id="refused"),
    pytest.param("http://nowhere.invalid/v1", "resolve|nowhere.invalid", id="no-such-host"),
]


class At(NamedTuple):
    api_base: str


@streamed_or_not
@pytest.mark.parametrize(("address", "said"), UNREACHABLE)
@every_client
async def test_a_model_that_cannot_be_reached(
    client: Client, address: str, said: str, streamed: bool
) -> None:
    with pytest.raises(raised.LMError) as caught:
        await client.ask(At(address), "ok", sink=sink_if(streamed))
    failure = classify(caught.value)
    assert failure.kind is Kind.UPSTREAM
    if client.engine != "litellm":
        assert type(caught.value) is raised.LMTransportError
        assert failure.code == "connection_lost"
    if client.engine == "openai":
        assert any(part in failure.message for part in said.split("|"))


@pytest.mark.parametrize("client", [OURS, Client("openai", in_thread=True), NATIVE])
async def test_no_tls(client: Client) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(raised.LMTransportError, match="TLS") as caught:
            await client.ask(At(f"https://127.0.0.1:{port}/v1"), "ok")
    assert classify(caught.value).code == "connection_lost"


@streamed_or_not
@pytest.mark.parametrize("model", ["hang-before", "hang-during"])
@pytest.mark.parametrize(
    "client",
    [OURS, Client("openai", in_thread=True), NATIVE],
    ids=["ours", "in-a-thread", "native"],
)
async def test_a_silent_model_is_late_and_left(client: Client, model: str, streamed: bool) -> None:
    async with model_server() as server:
        with pytest.raises((raised.LMTransportError, raised.LMTimeoutError)) as caught:
            await client.ask(
                server, model, sink=sink_if(streamed), timeouts=Timeouts(5.0, 0.1, 0.1)
            )
        assert classify(caught.value).kind is Kind.UPSTREAM
        await server.disconnected()


@pytest.mark.parametrize("client", [OURS, NATIVE], ids=["ours", "native"])
async def test_a_cancelled_question_leaves_the_model_midway(client: Client) -> None:
    async with model_server() as server:
        sink = Sink()
        asking = asyncio.create_task(client.ask(server, "ok?token_ms=20&tokens=500", sink=sink))
        await sink.first.wait()
        asking.cancel()
        await server.disconnected()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert 0 < server.calls[0].chunks < 500


async def test_it_says_what_the_model_can_do() -> None:
    class Nowhere:
        api_base = "http://127.0.0.1:1/v1"

    lm = OURS.build(Nowhere(), "gpt-4o-mini").lm
    assert lm.supports_function_calling
    assert lm.supports_response_schema
    assert not lm.supports_reasoning
    assert {"temperature", "response_format", "tools"} <= lm.supported_params
