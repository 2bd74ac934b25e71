"""Of which trace is this? W3C trace context in the headers of a record or a request.

See https://www.w3.org/TR/trace-context/. What is no context is as if it were not there.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from penstock.events.envelope import Headers

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
NAMES = frozenset({TRACEPARENT, TRACESTATE})

STATE_BYTES = 512
"""That everybody passes on; a longer one is left out, for every token repeats it."""

PARENT_BYTES = 128
"""A longer one is none, of whichever version, as above; one of the first has 55."""

_SAMPLED = 1
_FIRST_VERSION = b"00"
_PARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]*)?"
)
"""A later version may have more behind it."""


class TraceContext(NamedTuple):
    """Args:
    trace_id: 32 hexadecimal digits, not all of them 0.
    span_id: 16 of them, as above.
    flags: 0 to 255.
    state: of the vendors, as it came.
    """

    trace_id: str
    span_id: str
    flags: int
    state: bytes = b""

    @property
    def sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)


def carried(headers: Headers) -> Headers:
    """What of them is to be passed on: the context byte for byte, each header once; else nothing.

    Of several contexts the last one counts, as of every header in Kafka.
    """
    parent = b""
    states: list[bytes] = []
    for name, value in headers:
        if name == TRACEPARENT:
            parent = value or b""
        elif name == TRACESTATE and value:
            states.append(value)
    if not parent or _matched(parent) is None:
        return ()
    state = b",".join(states)
    if not 0 < len(state) <= STATE_BYTES:
        return ((TRACEPARENT, parent),)
    return ((TRACEPARENT, parent), (TRACESTATE, state))


def read(headers: Headers) -> TraceContext | None:
    """None: they name none."""
    found = dict(carried(headers))
    if not found or (matched := _matched(found[TRACEPARENT])) is None:
        return None
    _, trace_id, span_id, flags, _ = matched.groups()
    return TraceContext(
        trace_id.decode(), span_id.decode(), int(flags, 16), found.get(TRACESTATE, b"")
    )


def written(context: TraceContext) -> Headers:
    """As `read` reads it."""
    parent = f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}".encode()
    state = ((TRACESTATE, context.state),) if context.state else ()
    return ((TRACEPARENT, parent), *state)


def trace_id(headers: Headers) -> str | None:
    """None: they name none."""
    context = read(headers)
    return None if context is None else context.trace_id


def replaced(headers: Headers, context: Headers) -> Headers:
    """The same headers, of this context; untouched where it is theirs already."""
    if carried(headers) == context:
        return headers
    return (*without(headers), *context)


def without(headers: Iterable[tuple[str, bytes]]) -> Headers:
    return tuple(one for one in headers if one[0] not in NAMES)


def _matched(parent: bytes) -> re.Match[bytes] | None:
    matched = _PARENT.fullmatch(parent) if len(parent) <= PARENT_BYTES else None
    if matched is not None and matched[1] == _FIRST_VERSION and matched[5] is not None:
        return None
    return matched
