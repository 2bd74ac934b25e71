"""The spans of model calls, wherever a program makes them, without Kafka."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Span

from penstock.clock import Clock
from penstock.telemetry.tracing.exporting import Exporting
from penstock.telemetry.tracing.model_calls import ModelCalls
from tests.support.running import Running, runner
from tests.support.tracing import (
    Spans,
    attributes,
    failed,
    header_of,
    parent_id,
    span_id,
    spans,
    trace_id,
)

__all__ = ["spans"]

THREADS = "tests.support.thread_programs"
TRACED = "tests.support.traced_programs"


@asynccontextmanager
async def traced(
    entry: str, model: str = "ok", *, tells_content: bool = False, **more: Any
) -> AsyncIterator[tuple[Running, ModelCalls, Span]]:
    exporting = Exporting("penstock", "here")
    attempt = exporting.tracer.start_span("attempt")
    calls = ModelCalls(exporting.tracer, attempt, Clock(), _hide, tells_content=tells_content)
    async with runner(entry, model, **more) as run:
        yield run, calls, attempt
    attempt.end()
    await exporting.stop()


def _hide(text: str) -> str:
    return text.replace("hunter2hunter2", "***")


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_forward_in_a_thread_is_part_of_its_attempt(spans: Spans, stream: bool) -> None:
    async with traced(f"{THREADS}:Forward") as (run, calls, _):
        ran = await run(question="?", stream=stream, calls=calls)
        [headers] = run.models.headers

    call, attempt = spans.one("chat ok"), spans.one("attempt")
    assert (trace_id(call), parent_id(call)) == (trace_id(attempt), span_id(attempt))
    assert headers["traceparent"].encode() == header_of(call)
    said = attributes(call)
    assert said["gen_ai.usage.output_tokens"] == ran.report.usage.completion_tokens
    assert said["gen_ai.response.finish_reasons"] == ("stop",)
    assert said.get("gen_ai.request.stream", False) == stream
    assert ("gen_ai.response.time_to_first_chunk" in said) == stream


async def test_threads_that_a_program_makes_by_itself_are_part_of_it(spans: Spans) -> None:
    async with traced(f"{THREADS}:InParallel") as (run, calls, _):
        await run(question="?", calls=calls)
        sent = [headers["traceparent"].encode() for headers in run.models.headers]

    attempt, made = spans.one("attempt"), spans.named("chat")
    assert [parent_id(call) for call in made] == [span_id(attempt)] * 3
    assert sorted(sent) == sorted(header_of(call) for call in made)


async def test_a_call_is_part_of_a_span_of_the_programs_own(spans: Spans) -> None:
    async with traced(f"{TRACED}:WithASpan") as (run, calls, _):
        await run(question="?", calls=calls)

    attempt, own, call = (spans.one(name) for name in ("attempt", "look up", "chat"))
    assert parent_id(own) == span_id(attempt)
    assert parent_id(call) == span_id(own)


async def test_a_language_model_of_the_programs_own_has_one_too(spans: Spans) -> None:
    async with traced(f"{TRACED}:WithItsOwnModel") as (run, calls, _):
        assert (await run(question="?", stream=False, calls=calls)).answer == "mine"

    said = attributes(spans.one("chat mine"))
    assert said["gen_ai.provider.name"] == "ownmodel"
    assert said["gen_ai.request.temperature"] == 0.5
    assert said["gen_ai.usage.input_tokens"] == 3


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_dspys_own_client_tells_what_it_knows(spans: Spans, stream: bool) -> None:
    async with traced("question -> answer", engine="native") as (run, calls, _):
        ran = await run(question="?", stream=stream, calls=calls)

    said = attributes(spans.one("chat ok"))
    assert said["gen_ai.response.model"] == "ok"
    assert said["gen_ai.response.finish_reasons"] == ("stop",)
    assert said["gen_ai.usage.input_tokens"] == ran.report.usage.prompt_tokens
    assert said.get("gen_ai.request.stream", False) == stream
    assert ("gen_ai.response.time_to_first_chunk" in said) == stream


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("429", "rate_limited", 429),
        ("401", "model_auth", 401),
        ("cut", "connection_lost", None),
    ],
)
async def test_a_call_that_fails_says_how(
    spans: Spans, model: str, error: str, status: int | None
) -> None:
    async with traced("question -> answer", model) as (run, calls, _):
        await run(question="?", calls=calls)

    call = spans.one("chat")
    assert failed(call) == error
    assert attributes(call).get("http.response.status_code") == status


async def test_what_is_said_is_told_to_who_asks_for_it(spans: Spans) -> None:
    async with traced(f"{THREADS}:Forward", tells_content=True) as (run, calls, _):
        await run(question="what is hunter2hunter2?", calls=calls)

    said = attributes(spans.one("chat"))
    asked = json.loads(said["gen_ai.input.messages"])
    [answer] = json.loads(said["gen_ai.output.messages"])
    assert [message["role"] for message in asked] == ["system", "user"]
    assert "what is ***?" in asked[1]["parts"][0]["content"]
    assert answer["role"] == "assistant"
    assert answer["finish_reason"] == "stop"
    assert "You said what is ***?" in answer["parts"][0]["content"]
    assert "hunter2" not in str(said)


@pytest.mark.parametrize("model", ["ok", "unparsable", "500"])
async def test_and_to_nobody_else(spans: Spans, model: str) -> None:
    async with traced("question -> answer", model) as (run, calls, _):
        await run(question="an open secret", calls=calls)

    for span in spans.all:
        assert "secret" not in span.to_json()
        failed(span)


async def test_nobody_is_told_where_nobody_asks(spans: Spans) -> None:
    async with runner(f"{THREADS}:Forward") as run:
        await run(question="?")
        assert "traceparent" not in run.models.headers[0]
    assert not trace.get_current_span().get_span_context().is_valid
    assert spans.all == ()
