"""W3C trace context: what is one, what is none, and how it travels on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.envelope import Headers
from penstock.events.trace_context import (
    PARENT_BYTES,
    STATE_BYTES,
    TraceContext,
    carried,
    read,
    replaced,
    trace_id,
    written,
)
from tests.support.traceparent import SPAN, TRACE, TRACEPARENT

_hex = st.sampled_from("0123456789abcdef")


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(_hex, min_size=count, max_size=count).filter(lambda text: set(text) != {"0"})


_states = st.binary(max_size=STATE_BYTES)
contexts = st.builds(TraceContext, _digits(32), _digits(16), st.integers(0, 255), _states)
# A header without a value is legal in Kafka.
_headers = st.lists(
    st.tuples(
        st.sampled_from(["traceparent", "tracestate", "a"]),
        st.none() | st.binary() | st.just(TRACEPARENT) | st.just(b"vendor=1"),
    )
).map(tuple)


def parent(value: bytes) -> Headers:
    return (("traceparent", value),)


@given(contexts)
def test_what_is_written_is_read(context: TraceContext) -> None:
    assert read(written(context)) == context
    assert carried(written(context)) == written(context)


@given(_headers)
def test_whatever_the_headers_are_at_most_one_context_travels_on(headers: Any) -> None:
    found = carried(headers)

    assert len({name for name, _ in found}) == len(found) <= 2
    assert (read(headers) is None) == (found == ()) == (trace_id(headers) is None)
    assert carried(found) == found
    assert read(found) == read(headers)


@given(_headers, contexts)
def test_another_context_takes_the_place_of_all_there_are(
    headers: Any, context: TraceContext
) -> None:
    ours = written(context)

    instead = replaced(headers, ours)

    assert carried(instead) == ours
    assert [one for one in instead if one[0] == "a"] == [one for one in headers if one[0] == "a"]
    assert replaced(instead, ours) is instead
    assert replaced(headers, carried(headers)) is headers


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        TRACEPARENT[:-1],
        TRACEPARENT + b"0",
        TRACEPARENT.upper(),
        TRACEPARENT.replace(b"-01", b"-0g"),
        b"ff" + TRACEPARENT[2:],
        TRACEPARENT + b"-more",
        b" " + TRACEPARENT,
        TRACEPARENT + b"\n",
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        b"\xff" * 55,
        (b"01" + TRACEPARENT[2:] + b"-").ljust(PARENT_BYTES + 1, b"x"),
    ],
)
def test_what_is_none_is_as_if_it_were_not_there(value: bytes) -> None:
    headers = (*parent(value), ("tracestate", b"vendor=1"))

    assert read(headers) is None
    assert carried(headers) == ()


def test_a_later_version_may_have_more_behind_it() -> None:
    longest = (b"01" + TRACEPARENT[2:] + b"-").ljust(PARENT_BYTES, b"x")
    for value in (b"01" + TRACEPARENT[2:], b"cc" + TRACEPARENT[2:] + b"-what-will-be", longest):
        assert carried(parent(value)) == parent(value)
        assert read(parent(value)) == TraceContext(TRACE, SPAN, 1)


def test_the_last_of_several_counts_and_their_states_are_one() -> None:
    other = TRACEPARENT.replace(b"-01", b"-00")
    headers = (
        *parent(TRACEPARENT),
        ("tracestate", b"a=1"),
        *parent(other),
        ("tracestate", b"b=2"),
    )

    assert carried(headers) == (*parent(other), ("tracestate", b"a=1,b=2"))
    found = read(headers)
    assert found is not None
    assert not found.sampled
    # Not that before it: whoever wrote the last one began anew.
    assert carried((*parent(TRACEPARENT), *parent(b"nonsense"))) == ()


def test_a_state_too_long_to_repeat_is_left_out() -> None:
    longest = b"a" * STATE_BYTES

    assert carried((*parent(TRACEPARENT), ("tracestate", longest)))[1:] == (
        ("tracestate", longest),
    )
    assert carried((*parent(TRACEPARENT), ("tracestate", longest + b"a"))) == parent(TRACEPARENT)
