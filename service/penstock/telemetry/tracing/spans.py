"""How do OpenTelemetry's spans meet what records and questions say of themselves?"""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from penstock.events.envelope import Headers
from penstock.events.trace_context import TraceContext, read, written

Attributes = Mapping[str, Any]

KEY_CHARACTERS = 128
"""Of a record's key; a longer one is left out."""

NOWHERE = Context()
"""A span of it is the first of its trace, whatever goes on around it."""


def within(span: Span) -> Context:
    """What is begun in this context is part of it."""
    return trace.set_span_in_context(span, NOWHERE)


def named_in(headers: Headers) -> SpanContext | None:
    found = read(headers)
    if found is None:
        return None
    return SpanContext(
        int(found.trace_id, 16),
        int(found.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(found.flags),
        trace_state=TraceState.from_header([found.state.decode("ascii", "replace")]),
    )


def parent_in(headers: Headers) -> Context:
    """What they name; nowhere where they name nothing."""
    named = named_in(headers)
    return NOWHERE if named is None else within(trace.NonRecordingSpan(named))


def link_to(headers: Headers) -> list[Link]:
    named = named_in(headers)
    return [] if named is None else [Link(named)]


def headers_of(span: Span) -> Headers:
    """By which others go on from it; empty where there is no such span."""
    context = span.get_span_context()
    if not context.is_valid:
        return ()
    return written(
        TraceContext(
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            context.trace_flags,
            context.trace_state.to_header().encode(),
        )
    )


def trace_id_of(span: Span) -> str | None:
    """None: it is not recorded."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}" if context.trace_flags.sampled else None


def failed(span: Span, error_type: str) -> None:
    """Without a message, which may quote anything."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


def sending(topic: str, partition: int | None = None) -> Attributes:
    """See the messaging conventions for Kafka."""
    return _messaging("send", topic, partition)


def processing(topic: str, partition: int, offset: int, group: str) -> Attributes:
    return {
        **_messaging("process", topic, partition),
        "messaging.kafka.offset": offset,
        "messaging.consumer.group.name": group,
    }


def _messaging(operation: str, topic: str, partition: int | None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": topic,
    }
    if partition is not None:
        said["messaging.destination.partition.id"] = str(partition)
    return said


def key_attribute(key: bytes | None) -> Attributes:
    """Of a key that is a short text."""
    if key is None or len(key) > KEY_CHARACTERS:
        return {}
    try:
        return {"messaging.kafka.message.key": key.decode()}
    except UnicodeDecodeError:
        return {}


PRODUCER, CONSUMER, CLIENT, SERVER, INTERNAL = (
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
    SpanKind.CLIENT,
    SpanKind.SERVER,
    SpanKind.INTERNAL,
)
