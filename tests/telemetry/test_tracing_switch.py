"""Whether traces are on, and what becomes of them where nobody takes them."""

import logging
import threading

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased

from penstock.clock import Clock
from penstock.telemetry.tracing import exporting, switch
from penstock.telemetry.tracing.service import Untraced, traces
from tests.support.tracing import ENDPOINT, Spans, forget_the_provider, spans

__all__ = ["spans"]

NOWHERE = "http://127.0.0.1:9"


def _on() -> bool:
    sends = switch.exporting("penstock", "here")
    if sends is not None:
        sends.end()
    return sends is not None


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: NOWHERE}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{NOWHERE}/v1/traces"}, True),
        ({ENDPOINT: NOWHERE, "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: NOWHERE, "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_says_whether_they_are(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], on: bool
) -> None:
    forget_the_provider(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(exporting, "exporter", InMemorySpanExporter)

    assert _on() is on


def test_what_is_not_installed_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, NOWHERE)
    monkeypatch.setattr(switch, "PARTS", ("opentelemetry.nowhere.at.all",))

    assert isinstance(traces("here", "group", Clock(), str), Untraced)
    [line] = caplog.messages
    assert "pip install 'penstock[otel]'" in line


def test_variables_that_contradict_each_other_cost_the_traces_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, NOWHERE)
    # Below the size of a batch.
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")

    assert isinstance(traces("here", "group", Clock(), str), Untraced)
    [line] = [record for record in caplog.records if record.name == "penstock.tracing"]
    assert "max_queue_size" in line.getMessage()


def test_a_sampler_that_fails_costs_the_traces_alone_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("for once")

    monkeypatch.setattr(ParentBased, "should_sample", fails)
    sends = exporting.Exporting("penstock", "here")
    for _ in range(2):
        sends.tracer.start_span("one").end()
    sends.end()

    assert not spans.all
    assert [record.name for record in caplog.records] == ["penstock.tracing"]


async def test_a_collector_that_is_away_holds_up_nobody_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forget_the_provider(monkeypatch)
    monkeypatch.setenv(ENDPOINT, NOWHERE)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    sends = exporting.Exporting("penstock", "here")
    for _ in range(3):
        sends.tracer.start_span("one").end()
    await sends.stop()

    ours = [record for record in caplog.records if record.name == "penstock.tracing"]
    assert [record.levelno for record in ours] == [logging.WARNING]


async def test_who_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(exporting, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(spans.exporter, "export", lambda _: answered.wait(30))
    sends = exporting.Exporting("penstock", "here")
    sends.tracer.start_span("one").end()

    await sends.stop()
    sends.end()
    assert not answered.is_set()
    answered.set()


def test_they_are_named_by_the_environment_or_else_by_us(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    def named() -> dict[str, object]:
        sends = exporting.Exporting("penstock", "here")
        span = sends.tracer.start_span("one")
        assert isinstance(span, ReadableSpan)
        sends.end()
        return dict(span.resource.attributes)

    ours = named()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "answers")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=7,tier=gold")
    theirs = named()

    assert (ours["service.name"], ours["service.instance.id"]) == ("penstock", "here")
    assert ours["service.version"] == theirs["service.version"]
    assert (theirs["service.name"], theirs["service.instance.id"]) == ("answers", "7")
    assert theirs["tier"] == "gold"
