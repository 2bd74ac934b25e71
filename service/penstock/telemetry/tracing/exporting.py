"""Where do the spans of this process go? To an OTLP endpoint over HTTP, out of a thread of its own,
so that a collector that is away, or slow, holds up nothing.

OpenTelemetry's own variables say where, how many, and as whom.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import ProxyTracerProvider, Tracer

from penstock import __version__

FLUSH_SECONDS = 2.0
"""In which the last spans have to be taken; nobody waits longer for them."""

log = logging.getLogger("penstock.tracing")


_SAID_BY_US = (
    "opentelemetry.exporter",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.sdk._shared_internal",
)
"""Loggers of what sends spans: each of them tells the same loss once more, and at every batch."""


class Exporting:
    """Args:
    name: of the service, where the environment has no other.
    instance: of it, likewise.
    """

    def __init__(self, name: str, instance: str) -> None:
        for of_theirs in _SAID_BY_US:
            logging.getLogger(of_theirs).setLevel(logging.CRITICAL)
        said = {
            "service.name": name,
            "service.version": __version__,
            "service.instance.id": instance,
            "host.name": socket.gethostname(),
        }
        # What the environment says of it wins.
        resource = Resource.create(said).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.sampler = _Unfailing(self._provider.sampler)
        self._provider.add_span_processor(BatchSpanProcessor(_ToldOnce(exporter())))
        if isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
            # Spans that programs open by themselves go where ours go.
            trace.set_tracer_provider(self._provider)

    @property
    def tracer(self) -> Tracer:
        return self._provider.get_tracer("penstock", __version__)

    async def stop(self) -> None:
        """Sends what is left, for a limited time."""
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def tell() -> None:
            # Nobody may wait any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(sent.set)

        self._send_the_rest(tell)
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await sent.wait()

    def end(self) -> None:
        """As `stop`, for who has no loop."""
        self._send_the_rest().join(FLUSH_SECONDS)

    def _send_the_rest(self, then: Callable[[], None] = lambda: None) -> threading.Thread:
        """In a thread that ends with the process."""

        def send() -> None:
            self._provider.shutdown()
            then()

        thread = threading.Thread(target=send, name="penstock-traces", daemon=True)
        thread.start()
        return thread


def exporter() -> SpanExporter:
    return OTLPSpanExporter()


class _Unfailing(Sampler):
    """The environment may name one that anybody has written; its failures cost spans alone."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._failed = False

    def should_sample(self, *asked: Any, **named: Any) -> SamplingResult:
        try:
            return self._sampler.should_sample(*asked, **named)
        except Exception:
            if not self._failed:
                self._failed = True
                log.exception("traces are lost: their sampler fails")
            return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return self._sampler.get_description()


class _ToldOnce(SpanExporter):
    """That traces are lost is told when it begins, and when it ends."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        lost = result is not SpanExportResult.SUCCESS
        if lost and not self._lost:
            log.warning(
                "traces are lost: their endpoint does not take them; see to it, or to "
                "OTEL_EXPORTER_OTLP_ENDPOINT, which is to speak OTLP over HTTP"
            )
        elif self._lost and not lost:
            log.info("traces are taken again")
        self._lost = lost
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
