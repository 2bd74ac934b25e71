"""The spans that a process would send, kept here.

async with on.serving() as (_, talk):
    ...
process = spans.one("process")   # after the block: all is sent when a service has ended
"""

from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from penstock.telemetry.tracing import exporting


@dataclass(frozen=True)
class Spans:
    exporter: InMemorySpanExporter

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, begin: str) -> list[ReadableSpan]:
        """Those whose names begin so, in the order in which they began."""
        found = [span for span in self.all if span.name.startswith(begin)]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, begin: str) -> ReadableSpan:
        [span] = self.named(begin)
        return span


class _Kept(InMemorySpanExporter):
    def shutdown(self) -> None:
        """Another service may follow."""


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Traces are on."""
    kept = _Kept()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1")
    monkeypatch.setattr(exporting, "exporter", lambda: kept)
    # OpenTelemetry takes one for the whole life of a process.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    return Spans(kept)


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def header_of(span: ReadableSpan, flags: str = "01") -> str:
    """The `traceparent` of what carries it."""
    return f"00-{trace_id(span)}-{span_id(span)}-{flags}"
