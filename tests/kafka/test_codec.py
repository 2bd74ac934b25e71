"""Records that are questions, without Kafka: their many forms, and when they expire."""

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.facts import RecordId
from penstock.core.failure import Kind
from penstock.events.again import Redrive
from penstock.events.envelope import Headers
from penstock.kafka.codec import Raw
from tests.support.decoding import (
    BUDGET,
    LONGEST,
    MONOTONIC,
    NAME,
    NOW,
    PLAIN,
    STRUCTURED,
    Ordering,
    Value,
    codec,
    decode,
    event,
)

ASKED = {"question": "?"}


class Good(NamedTuple):
    value: Value
    inputs: dict[str, Any] = ASKED
    question_id: str = NAME
    headers: Headers = ()


GOOD = {
    "bare": Good(ASKED),
    "bare with an id": Good({"id": "n", **ASKED}, question_id="n"),
    "inputs": Good({"inputs": {"question": "?", "more": [1]}}, {"question": "?", "more": [1]}),
    "binary mode": Good(ASKED, question_id="c", headers=(("ce_id", b"c"),)),
    "two ids": Good({"id": "n", **ASKED}, question_id="n", headers=(("ce_id", b"c"),)),
    "ce_id not UTF-8": Good(ASKED, headers=(("ce_id", b"\xff"),)),
    "a longest id": Good({"id": "i" * 256, **ASKED}, question_id="i" * 256),
    "nulls": Good({"id": None, "inputs": None, "timeout_ms": None, "metadata": None, **ASKED}),
    "unknown fields": Good({"colour": {"a": 1}, **ASKED}),
    "a BOM": Good(b'\xef\xbb\xbf{"question": "?"}'),
    "blanks around": Good(b' \n{"question": "?"}\t'),
    "text": Good(b"what is water?", {"question": "what is water?"}, headers=PLAIN),
    "text like JSON": Good(b'{"question": 7}', {"question": '{"question": 7}'}, headers=PLAIN),
    "text with a BOM": Good(b"\xef\xbb\xbf?", headers=PLAIN),
    "text with a charset": Good(
        "Wärme?".encode(),
        {"question": "Wärme?"},
        headers=(("content-type", b"text/plain; charset=utf-8"),),
    ),
    "content type not UTF-8": Good(ASKED, headers=(("content-type", b"\xff"),)),
    "structured": Good(event(), question_id="e", headers=STRUCTURED),
    "structured, id inside": Good(
        event(data={"id": "n", **ASKED}), question_id="n", headers=STRUCTURED
    ),
    "structured text": Good(event(data="?"), question_id="e", headers=STRUCTURED),
    "structured base64": Good(
        event(data=None, data_base64=b64encode(b'{"question": "?"}').decode()),
        question_id="e",
        headers=STRUCTURED,
    ),
}


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD)
def test_a_question_may_come_in_many_forms(good: Good) -> None:
    delivery = decode(good.value, good.headers)

    assert delivery.failure is None
    assert delivery.question is not None
    assert delivery.question.fields == good.inputs
    assert delivery.question_id == good.question_id
    assert (delivery.program, delivery.budget) == ("qa", BUDGET)


class Time(NamedTuple):
    body: dict[str, Any]
    expires_in: float | None
    age: float = 0.0
    """Seconds between the record's timestamp and now."""
    headers: Headers = ()


IN_10_S = "2023-11-14T22:13:30Z"

TIMES = {
    "no deadline": Time({}, None, age=3_600.0),
    "timeout": Time({"timeout_ms": 5_000}, 5.0),
    "from the record's timestamp": Time({"timeout_ms": 5_000}, 3.0, age=2.0),
    "already over": Time({"timeout_ms": 5_000}, -2.0, age=7.0),
    "a timestamp in the future counts as now": Time({"timeout_ms": 5_000}, 5.0, age=-60.0),
    "a fraction of a millisecond": Time({"timeout_ms": 0.5}, 0.0005),
    "capped": Time({"timeout_ms": 3_600_000}, 600.0),
    "capped from the timestamp": Time({"timeout_ms": 3_600_000}, 500.0, age=100.0),
    "far too long": Time({"timeout_ms": 1e300}, 600.0),
    "a moment": Time({"expires_at": IN_10_S}, 10.0),
    "a moment elsewhere": Time({"expires_at": "2023-11-14T23:13:30+01:00"}, 10.0),
    "a moment long ago": Time({"expires_at": "2023-11-14T22:13:10Z"}, -10.0),
    "a moment capped": Time({"expires_at": "2099-01-01T00:00:00Z"}, 600.0),
    "the earlier is the timeout": Time({"timeout_ms": 5_000, "expires_at": IN_10_S}, 5.0),
    "the earlier is the moment": Time({"timeout_ms": 50_000, "expires_at": IN_10_S}, 10.0),
    "a header": Time({}, 10.0, headers=(("ce_expirytime", IN_10_S.encode()),)),
    "the body is nearer than a header": Time(
        {"expires_at": "2023-11-14T22:13:40Z"}, 20.0, headers=(("ce_expirytime", IN_10_S.encode()),)
    ),
}


@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_a_deadline_becomes_one_monotonic_moment(time: Time) -> None:
    timestamp_ms = int((NOW - time.age) * 1000)

    delivery = decode(ASKED | time.body, time.headers, timestamp_ms=timestamp_ms)

    assert delivery.failure is None
    seconds = time.expires_in
    wanted = None if seconds is None else pytest.approx(MONOTONIC + seconds, abs=1e-4)
    assert delivery.expires_at == wanted


def test_a_record_without_a_timestamp_counts_from_now() -> None:
    delivery = decode({"timeout_ms": 5_000, **ASKED}, timestamp_ms=-1)

    assert delivery.expires_at == pytest.approx(MONOTONIC + 5.0)


def test_a_structured_event_may_expire() -> None:
    delivery = decode(event(expirytime=IN_10_S), STRUCTURED)

    assert delivery.expires_at == pytest.approx(MONOTONIC + 10.0, abs=1e-4)


def test_a_program_has_a_budget_of_its_own() -> None:
    delivery = decode({"inputs": {"left": 1, "right": 2}, "program": "compare"})

    assert (delivery.program, delivery.budget, delivery.expires_at) == ("compare", 5.0, None)


@pytest.mark.parametrize(
    ("ordering", "lane"), [("key", b"\xff\x00"), ("partition", "partition"), ("none", None)]
)
@pytest.mark.parametrize("value", [b'{"question": "?"}', b""], ids=["question", "none"])
def test_the_lane_follows_the_ordering(
    ordering: Ordering, lane: bytes | str | None, value: bytes
) -> None:
    assert decode(value, key=b"\xff\x00", by=codec(ordering)).lane == lane


def test_named_headers_travel_on_and_others_do_not() -> None:
    first, other, second = ("ce_correlationid", b"\xff"), ("x", b"2"), ("ce_correlationid", b"3")

    assert decode(ASKED, (first, other, second)).forwarded == (first, second)


def test_the_trace_travels_on_by_itself_and_once() -> None:
    parent = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    by = replace(codec(), forward=frozenset({"traceparent", "x"}))

    delivery = decode(ASKED, (parent, ("x", b"1")), by=by)

    assert (delivery.trace, delivery.forwarded) == ((parent,), (("x", b"1"),))
    assert decode(b"no question", (parent,)).trace == (parent,)
    assert decode(ASKED, (("traceparent", b"00-no"),)).trace == ()


def test_headers_too_long_to_repeat_do_not_travel_on() -> None:
    long = tuple(("ce_correlationid", b"c" * 1_024) for _ in range(9))

    assert decode(ASKED, long[:7]).forwarded == long[:7]
    assert decode(ASKED, long).forwarded == ()


def test_token_events_of_a_record_that_is_no_question_are_wanted() -> None:
    assert decode(b"").streams
    assert decode(ASKED).streams
    assert not decode({"stream": False, **ASKED}).streams


def test_what_a_redrive_has_left_is_read_and_repeated_only_where_it_is_one() -> None:
    def of(said: bytes, *more: tuple[str, bytes]) -> Redrive | None:
        return decode(ASKED, (("penstock-redrive", said), *more)).redrive

    letter = Redrive(id="all", topic="dead", partition=1, offset=7)
    assert of(b"all/dead/1/7") == letter
    assert of(b"all/dead/1/7", ("penstock-redrives", b"0")) == letter
    thrice = letter.model_copy(update={"count": 3})
    assert of(b"all/dead/1/7", ("penstock-redrives", b"3")) == thrice
    for said in (
        *(b"", b"\xff", b"all", b"all/dead/1", b"//1/7", b"all/dead/1/-7", b"all/dead/1/7/8"),
        *(b"all/dead/1/" + b"7" * length for length in (19, 5_000)),
        *(b"i" * 101 + b"/dead/1/7", b"all/" + b"t" * 250 + b"/1/7"),
    ):
        assert of(said) is None


_header_names = st.text(max_size=20) | st.sampled_from(
    (
        *("content-type", "ce_id", "ce_type", "ce_expirytime", "ce_correlationid", "traceparent"),
        *("penstock-redrive", "penstock-redrives"),
    )
)
# A header without a value is legal in Kafka.
_header_values = (
    st.none()
    | st.binary(max_size=40)
    | st.sampled_from([b"text/plain", b"application/cloudevents+json", IN_10_S.encode()])
    | st.sampled_from([b"all/dead/0/7", b"all/dead/0/" + b"9" * 5_000])
)
_fields = st.sampled_from(
    (
        *("id", "question", "inputs", "program", "timeout_ms", "expires_at", "stream", "metadata"),
        *("specversion", "source", "type", "data", "data_base64", "expirytime"),
    )
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
_bodies = st.dictionaries(_fields, _json).map(lambda body: json.dumps(body).encode())


@given(
    value=st.none() | st.binary() | _bodies,
    headers=st.lists(st.tuples(_header_names, _header_values), max_size=6),
    key=st.none() | st.binary(),
    timestamp=st.integers(-1, 2**63 - 1),
)
def test_decoding_never_raises(
    value: bytes | None, headers: list[tuple[str, Any]], key: bytes | None, timestamp: int
) -> None:
    raw = Raw("questions", 3, 7, timestamp, key, value, tuple(headers))

    delivery = codec().decode(RecordId(3, 1, 7), raw, MONOTONIC, NOW)

    assert (delivery.question is None) == (delivery.failure is not None)
    assert delivery.raw is raw
    # What goes into events has to be text that can be encoded.
    assert 1 <= len(delivery.question_id.encode()) <= 4 * 256
    if delivery.failure is not None:
        assert delivery.failure.kind is Kind.RECORD
        assert 0 < len(delivery.failure.message.encode()) <= 4_000
    if delivery.expires_at is not None:
        assert delivery.expires_at <= MONOTONIC + LONGEST
