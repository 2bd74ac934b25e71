"""The whole service on a real Kafka: what a question went through, as one tree of spans."""

from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from penstock.client import HttpClient, KafkaClient
from penstock.telemetry import journal
from tests.support.conversation import Record
from tests.support.gateway import running_gateway
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.stage import Stage, stage
from tests.support.traceparent import SPAN, TRACE, TRACEPARENT
from tests.support.tracing import (
    Spans,
    attributes,
    collector,
    failed,
    forget_the_provider,
    header_of,
    lasted,
    links,
    parent_id,
    span_id,
    spans,
    trace_id,
)

__all__ = ["spans"]

PARENT = ("traceparent", TRACEPARENT)
STATE = ("tracestate", b"vendor=1")
AT_ONCE = {"base_ms": 1}


def asking(on: Stage) -> KafkaClient:
    return KafkaClient(
        on.servers,
        questions=on.topics.name("questions"),
        tokens=on.topics.name("tokens"),
        completions=on.topics.name("completions"),
        control=on.topics.name("control"),
    )


def context(record: Record) -> dict[str, bytes]:
    found = [(name, value) for name, value in record.headers if name.startswith("trace")]
    assert len(found) == len(dict(found)), "one is told twice"
    return dict(found)


async def test_a_question_that_is_tried_again_is_one_tree_from_who_asks_to_what_is_said(
    bootstrap_servers: str, topics: Topics, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, journal)
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = lambda turn, _: "500" if turn == 1 else "ok"
        async with on.serving("openai/flaky", retry=AT_ONCE) as (_, talk):
            async with asking(on) as client:
                with trace.get_tracer("theirs").start_as_current_span("the asker"):
                    events = [e async for e in client.stream("?", key="k", question_id="q")]
            [completion] = await talk.completions(1)
            tokens = list(talk.tokens)
        requests = list(on.models.headers)

    asker, sent, process, said = (
        spans.one(begin)
        for begin in (
            "the asker",
            f"send {topics.name('questions')}",
            f"process {topics.name('questions')}",
            f"send {topics.name('completions')}",
        )
    )
    attempts, calls = spans.named("invoke_workflow qa"), spans.named("chat flaky")
    assert {trace_id(span) for span in spans.all} == {trace_id(asker)}
    assert len(spans.all) == len({span_id(span) for span in spans.all}) == 8
    assert parent_id(asker) is None
    assert parent_id(sent) == span_id(asker)
    assert parent_id(process) == span_id(sent)
    assert [parent_id(span) for span in attempts] == [span_id(process)] * 2
    assert [parent_id(span) for span in calls] == [span_id(span) for span in attempts]
    assert parent_id(said) == span_id(process)
    assert lasted(process)[0] <= lasted(attempts[0])[0] <= lasted(calls[0])[0]
    assert lasted(said)[1] <= lasted(process)[1]

    kinds = [span.kind for span in (sent, process, attempts[0], calls[0], said)]
    assert kinds == [
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
        SpanKind.INTERNAL,
        SpanKind.CLIENT,
        SpanKind.PRODUCER,
    ]
    of_kafka = {"messaging.system": "kafka", "messaging.destination.partition.id": "0"}
    assert attributes(process) == of_kafka | {
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": topics.name("questions"),
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": topics.name("group"),
        "penstock.question_id": "q",
        "penstock.program": "qa",
        "penstock.status": "completed",
        "penstock.attempts": 2,
    }
    assert attributes(said) == of_kafka | {
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": topics.name("completions"),
        "messaging.kafka.offset": completion.offset,
    }
    assert [failed(span) for span in attempts] == ["model_error", None]
    assert [failed(span) for span in calls] == ["model_error", None]
    assert [attributes(span)["penstock.attempt"] for span in attempts] == [1, 2]
    assert all(attributes(s)["gen_ai.operation.name"] == "invoke_workflow" for s in attempts)
    assert [attributes(s)["gen_ai.agent.name"] for s in attempts] == ["qa", "qa"]
    assert attributes(calls[0])["http.response.status_code"] == 500
    answered = attributes(calls[1])
    assert answered.pop("gen_ai.response.time_to_first_chunk") > 0
    assert answered.pop("server.port") > 0
    usage = completion.body["usage"]
    assert answered == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "flaky",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "flaky",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "server.address": "127.0.0.1",
    }
    assert all(failed(span) is None for span in (asker, sent, process, said))

    logged = [line for line in heard.lines if line.get("question_id") == "q"]
    assert [line["trace_id"] for line in logged] == [trace_id(asker)] * 2

    assert len(tokens) == len(events) - 1 > 0
    assert [context(record) for record in tokens] == [{"traceparent": header_of(process)}] * len(
        tokens
    )
    assert context(completion) == {"traceparent": header_of(said)}
    assert [one["traceparent"].encode() for one in requests] == [header_of(c) for c in calls]


async def test_a_dead_letter_carries_on_the_trace_and_a_redrive_links_to_it(
    bootstrap_servers: str, topics: Topics, spans: Spans
) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving() as (_, talk):
        await talk.ask("no JSON", None, [PARENT, STATE, ("a", b"1")])
        [letter] = await talk.dead_letters(1)
        redriven = [("penstock-redrive", f"all/{letter.topic}/0/0".encode())]
        carried = [(name, value.decode()) for name, value in context(letter).items()]
        await talk.ask(
            {"id": "q", "question": "?"},
            None,
            [*((name, value.encode()) for name, value in carried), *redriven],
        )
        completions = await talk.completions(2)

    failing, again = spans.named("process")
    sent = spans.one(f"send {topics.name('dead-letters')}")
    first, second = spans.named(f"send {topics.name('completions')}")
    assert (trace_id(failing), parent_id(failing)) == (TRACE, SPAN)
    assert failed(failing) == "not_json"
    assert [parent_id(span) for span in (sent, first)] == [span_id(failing)] * 2
    assert context(letter) == {"traceparent": header_of(sent), "tracestate": STATE[1]}
    assert letter.header("penstock-error-trace") == TRACE
    assert letter.header("a") == "1"

    # A trace of its own: the other one has ended, days ago maybe.
    assert parent_id(again) is None
    assert trace_id(again) != TRACE
    assert links(again) == [span_id(sent)]
    assert [f"{link.context.trace_id:032x}" for link in again.links] == [TRACE]
    assert attributes(again)["penstock.redrive"] == "all"
    assert (trace_id(second), parent_id(second)) == (trace_id(again), span_id(again))
    assert [context(record)["traceparent"] for record in completions] == [
        header_of(first),
        header_of(second),
    ]


async def test_without_it_a_trace_passes_through(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, journal)
    nonsense = ("traceparent", b"00-nonsense")
    async with (
        stage(bootstrap_servers, topics) as on,
        on.serving() as (_, talk),
        running_gateway(bootstrap_servers, topics) as gateway,
        httpx.AsyncClient(base_url=gateway.address) as http,
    ):
        await talk.ask({"id": "q", "question": "?"}, None, [nonsense, PARENT, STATE])
        await talk.ask("no JSON", None, [PARENT, STATE])
        await talk.ask("no JSON", None, [PARENT, nonsense])
        await talk.completions(3)
        over_http = [("traceparent", PARENT[1].decode()), ("tracestate", STATE[1].decode())]
        for headers in (over_http, [("traceparent", "nonsense")]):
            asked = await http.post("/v1/questions", json={"question": "?"}, headers=headers)
            assert asked.is_success
        completions = await talk.completions(5)
        letters = await talk.dead_letters(2)
        await talk.to_the_end()

    theirs = dict([PARENT, STATE])
    ended = heard.said("question ended")
    assert [line.get("trace_id") for line in ended] == [TRACE, TRACE, None, TRACE, None]
    assert [context(record) for record in completions] == [theirs, theirs, {}, theirs, {}]
    assert [context(record) for record in talk.tokens if record.body["question_id"] == "q"]
    assert all(context(r) == theirs for r in talk.tokens if r.body["question_id"] == "q")
    assert letters[0].headers[:2] == (PARENT, STATE)
    assert letters[0].header("penstock-error-trace") == TRACE
    # As it came, byte for byte.
    assert letters[1].headers[:2] == (PARENT, nonsense)


async def test_they_arrive_over_otlp(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_the_provider(monkeypatch)
    async with collector(monkeypatch) as received:
        async with (
            stage(bootstrap_servers, topics) as on,
            on.serving(),
            running_gateway(bootstrap_servers, topics) as gateway,
            HttpClient(gateway.address) as client,
        ):
            with trace.get_tracer("theirs").start_as_current_span("ask"):
                await client.ask("?")
        found = received.spans

    inside = {span.span_id: span for span in found}

    def path(span: Any) -> list[str]:
        """The names of all that it is part of, from the outside to the inside."""
        around = inside.get(span.parent_span_id)
        return [*([] if around is None else path(around)), span.name]

    asked, completed = (f"send {topics.name(name)}" for name in ("questions", "completions"))
    process = ["ask", "POST /v1/questions", asked, f"process {topics.name('questions')}"]
    assert sorted(map(path, found)) == sorted(
        [
            *(process[:depth] for depth in range(1, 5)),
            [*process, "invoke_workflow qa"],
            [*process, "invoke_workflow qa", "chat ok"],
            [*process, completed],
        ]
    )
    assert len({span.trace_id for span in found}) == 1
