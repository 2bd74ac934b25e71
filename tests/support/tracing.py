"""The spans that a process would send, kept here.

    async with on.serving() as (_, talk):
        ...
    process = spans.one("process")

All is there when a service has ended.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from penstock.telemetry.tracing import exporting

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


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
    """Traces are on, for whoever starts now."""
    kept = _Kept()
    monkeypatch.setenv(ENDPOINT, "http://localhost:1")
    monkeypatch.setattr(exporting, "exporter", lambda: kept)
    forget_the_provider(monkeypatch)
    return Spans(kept)


@dataclass
class Collector:
    """What has arrived over OTLP."""

    requests: list[Any] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for one in request.resource_spans
            for scope in one.scope_spans
            for span in scope.spans
        ]

    def processes(self) -> list[dict[str, str]]:
        """What is told of those who have sent something."""
        said = {
            tuple((one.key, one.value.string_value) for one in sent.resource.attributes)
            for request in self.requests
            for sent in request.resource_spans
        }
        return [dict(attributes) for attributes in said]


@asynccontextmanager
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """Processes that start in this block send their spans here."""
    there = Collector()

    async def take(request: web.Request) -> web.Response:
        there.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield there
    finally:
        await runner.cleanup()


def forget_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry takes one for the whole life of a process."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def links(span: ReadableSpan) -> list[str]:
    """To spans, by their ids."""
    return [f"{link.context.span_id:016x}" for link in span.links]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def failed(span: ReadableSpan) -> str | None:
    """How, where it has."""
    assert not span.events, "what was raised may quote anything"
    assert span.status.description is None
    error = attributes(span).get("error.type")
    assert (error is None) == span.status.is_unset
    return error


def header_of(span: ReadableSpan) -> bytes:
    """The `traceparent` of what carries it."""
    assert span.context is not None
    return f"00-{trace_id(span)}-{span_id(span)}-{span.context.trace_flags:02x}".encode()


def lasted(span: ReadableSpan) -> tuple[int, int]:
    """From and to, in nanoseconds."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time
