"""Of which trace is what is asked here?

Of the span of whoever asks, where this process traces; else of the request that it answers. By
itself this imports nothing of OpenTelemetry, and costs nothing where nobody traces.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from penstock import __version__
from penstock.events.envelope import Headers
from penstock.events.trace_context import carried

_received: ContextVar[Headers] = ContextVar("penstock_trace", default=())
"""The context of the request that is being answered."""


@contextmanager
def sending(topic: str) -> Iterator[Headers]:
    """One record is sent in this block, and carries these headers."""
    if not _traces():
        yield _received.get()
        return
    from opentelemetry import trace  # noqa: PLC0415

    from penstock.telemetry.tracing import spans  # noqa: PLC0415

    with trace.get_tracer("penstock", __version__).start_as_current_span(
        f"send {topic}",
        kind=spans.PRODUCER,
        attributes=spans.sending(topic),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield spans.headers_of(span) or _received.get()
        except BaseException as error:
            spans.failed(span, type(error).__name__)
            raise


def here() -> Headers:
    """What a request carries that is sent here."""
    if not _traces():
        return _received.get()
    from opentelemetry import trace  # noqa: PLC0415

    from penstock.telemetry.tracing import spans  # noqa: PLC0415

    return spans.headers_of(trace.get_current_span()) or _received.get()


def hide(attribute: str) -> None:
    """Of the span of whoever asks: it may be a secret."""
    if _traces():
        from opentelemetry import trace  # noqa: PLC0415

        trace.get_current_span().set_attribute(attribute, "REDACTED")


@contextmanager
def within(headers: Headers) -> Iterator[None]:
    """A request with these headers is answered in this block."""
    token = _received.set(carried(headers))
    try:
        yield
    finally:
        _received.reset(token)


def _traces() -> bool:
    """Whether this process does, and has said where to."""
    trace = sys.modules.get("opentelemetry.trace")
    return trace is not None and not isinstance(
        trace.get_tracer_provider(), trace.ProxyTracerProvider
    )
