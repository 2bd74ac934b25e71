"""Bytes to questions, without Kafka: what is refused and why, what is legal, and when it expires."""

import base64
import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.facts import RecordId
from penstock.core.failure import Kind
from penstock.events.envelope import Headers
from penstock.kafka.codec import Codec, Delivery, Expectation, Raw

NOW = 1_700_000_000.0
MONOTONIC = 50.0
BUDGET = 120.0
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
PLAIN: Headers = (("content-type", b"text/plain"),)
NAME = "questions/3/7"


def codec(ordering: Literal["key", "partition", "none"] = "key") -> Codec:
    return Codec(
        programs={
            "qa": Expectation(frozenset({"question"}), BUDGET),
            "compare": Expectation(frozenset({"left", "right"}), 5.0),
        },
        default_program="qa",
        ordering=ordering,
        max_timeout=600.0,
        id_characters=256,
        metadata_bytes=8 * 1024,
        value_bytes=1024 * 1024,
        forward=frozenset({"ce_correlationid"}),
    )


def decode(
    value: bytes | dict[str, Any] | None,
    headers: Headers = (),
    *,
    key: bytes | None = b"key",
    age: float = 0.0,
    by: Codec | None = None,
) -> Delivery:
    """`age`: seconds between the record's timestamp and now."""
    body = json.dumps(value).encode() if isinstance(value, dict) else value
    raw = Raw("questions", 3, 7, int((NOW - age) * 1000), key, body, headers)
    return (by or codec()).decode(RecordId(3, 1, 7), raw, MONOTONIC, NOW)


def event(**attributes: Any) -> dict[str, Any]:
    """A CloudEvent in structured mode; an attribute that is None is left out."""
    whole = {
        "specversion": "1.0",
        "id": "e",
        "source": "/s",
        "type": "t",
        "data": {"question": "?"},
    }
    return {name: value for name, value in (whole | attributes).items() if value is not None}


def nested(depth: int) -> bytes:
    return b'{"id": "deep", "question": ' + b"[" * depth + b"]" * depth + b"}"


BAD: dict[str, tuple[bytes | dict[str, Any] | None, Headers, str, str, str]] = {
    # What it is: value, headers, the code, a part of the message, and the id it goes by.
    "tombstone": (None, (), "tombstone", "no value", NAME),
    "tombstone with an id": (None, (("ce_id", b"c"),), "tombstone", "no value", "c"),
    "empty": (b"", (), "empty_value", "empty", NAME),
    "empty text": (b"", PLAIN, "empty_value", "empty", NAME),
    "only a BOM": (b"\xef\xbb\xbf", PLAIN, "invalid_field", "question", NAME),
    "over the bound": (b"x" * 1_048_577, (), "value_too_large", "1048577 bytes", NAME),
    "not UTF-8": (b'{"question": "\xff"}', (), "not_utf8", "byte 14", NAME),
    "text not UTF-8": (b"\xff\xfe", PLAIN, "not_utf8", "byte 0", NAME),
    "UTF-16": ('{"question": "?"}'.encode("utf-16"), (), "not_utf8", "byte 0", NAME),
    "a surrogate in UTF-8": (b'{"question": "\xed\xa0\x80"}', (), "not_utf8", "byte 14", NAME),
    "not JSON": (b"what is water?", (), "not_json", "Expecting value", NAME),
    "half JSON": (b'{"question": "?"', (), "not_json", "delimiter", NAME),
    "two values": (b'{"question": "?"} {}', (), "not_json", "Extra data", NAME),
    "array": (b"[]", (), "not_an_object", "an array", NAME),
    "string": (b'"?"', (), "not_an_object", "a string", NAME),
    "number": (b"7", (), "not_an_object", "a number", NAME),
    "boolean": (b"true", (), "not_an_object", "a boolean", NAME),
    "null": (b"null", (), "not_an_object", "null", NAME),
    "deep": (nested(20_000), (), "too_deep", "deep", NAME),
    "deep for one parser": (nested(1_500), (), "too_deep", "deep", "deep"),
    "deep metadata": (
        {"id": "m", "question": "?", "metadata": json.loads('{"a":' * 500 + "1" + "}" * 500)},
        (),
        "too_deep",
        "metadata",
        "m",
    ),
    "no question": ({"id": "n"}, (), "invalid_field", "neither question nor inputs", "n"),
    "empty question": ({"id": "n", "question": ""}, (), "invalid_field", "question", "n"),
    "question a number": ({"id": "n", "question": 7}, (), "invalid_field", "question", "n"),
    "question null": ({"id": "n", "question": None}, (), "invalid_field", "neither", "n"),
    "both": ({"id": "n", "question": "?", "inputs": {}}, (), "invalid_field", "both", "n"),
    "inputs an array": ({"id": "n", "inputs": ["?"]}, (), "invalid_field", "inputs", "n"),
    "unknown program": (
        {"id": "n", "question": "?", "program": "chess"},
        (),
        "unknown_program",
        "'chess' is not served here (served: qa, compare)",
        "n",
    ),
    "program a number": (
        {"id": "n", "question": "?", "program": 1},
        (),
        "invalid_field",
        "pro",
        "n",
    ),
    "missing inputs": (
        {"id": "n", "inputs": {"left": 1}, "program": "compare"},
        (),
        "missing_input",
        "right",
        "n",
    ),
    "timeout negative": (
        {"question": "?", "timeout_ms": -1},
        (),
        "invalid_field",
        "timeout_ms",
        NAME,
    ),
    "timeout zero": ({"question": "?", "timeout_ms": 0}, (), "invalid_field", "timeout_ms", NAME),
    "timeout a string": (
        {"question": "?", "timeout_ms": "9"},
        (),
        "invalid_field",
        "timeout_ms",
        NAME,
    ),
    "timeout true": (
        {"question": "?", "timeout_ms": True},
        (),
        "invalid_field",
        "timeout_ms",
        NAME,
    ),
    "timeout NaN": (
        b'{"id": "n", "question": "?", "timeout_ms": NaN}',
        (),
        "not_json",
        "timeout_ms: nan is not a number",
        "n",
    ),
    "timeout beyond floats": (
        b'{"id": "n", "question": "?", "timeout_ms": 1' + b"0" * 400 + b"}",
        (),
        "not_json",
        "timeout_ms: is too large a number",
        "n",
    ),
    "expires_at no date": (
        {"question": "?", "expires_at": "tomorrow"},
        (),
        "invalid_field",
        "expires_at",
        NAME,
    ),
    "expires_at a number": (
        {"question": "?", "expires_at": 9},
        (),
        "invalid_field",
        "expires_at",
        NAME,
    ),
    "expires_at without offset": (
        {"question": "?", "expires_at": "2030-01-01T00:00:00"},
        (),
        "invalid_field",
        "no offset",
        NAME,
    ),
    "ce_expirytime no date": (
        {"question": "?"},
        (("ce_expirytime", b"soon"),),
        "invalid_field",
        "expires_at",
        NAME,
    ),
    "id a number": ({"id": 7, "question": "?"}, (), "invalid_field", "id", NAME),
    "id empty": ({"id": "", "question": "?"}, (), "invalid_field", "id", NAME),
    "id long": ({"id": "i" * 300, "question": "?"}, (), "invalid_field", "300 characters", NAME),
    "ce_id long": (
        {"question": "?"},
        (("ce_id", b"i" * 300),),
        "invalid_field",
        "300 characters",
        NAME,
    ),
    "stream a string": ({"question": "?", "stream": "no"}, (), "invalid_field", "stream", NAME),
    "metadata an array": ({"question": "?", "metadata": []}, (), "invalid_field", "metadata", NAME),
    "metadata large": (
        {"id": "n", "question": "?", "metadata": {"a": "x" * 9_000}},
        (),
        "metadata_too_large",
        "8192",
        "n",
    ),
    "surrogate in the question": (
        b'{"id": "n", "question": "\\ud800"}',
        (),
        "invalid_text",
        "question: holds half of a surrogate pair",
        "n",
    ),
    "surrogate in the id": (
        b'{"id": "\\ud800", "question": "?"}',
        (),
        "invalid_text",
        "id: holds half of a surrogate pair",
        NAME,
    ),
    "surrogate in a name": (b'{"\\ud800": "?"}', (), "invalid_text", "surrogate", NAME),
    "event broken": (b"{", STRUCTURED, "not_json", "Expecting", NAME),
    "event an array": (b"[]", STRUCTURED, "not_an_object", "an array", NAME),
    "event without type": (event(type=None), STRUCTURED, "invalid_event", "no type", "e"),
    "event without id": (event(id=None), STRUCTURED, "invalid_event", "no id", NAME),
    "event without data": (event(data=None), STRUCTURED, "invalid_event", "no data", "e"),
    "event with an array": (event(data=[]), STRUCTURED, "invalid_event", "not an object", "e"),
    "event with bad base64": (
        event(data=None, data_base64="%"),
        STRUCTURED,
        "invalid_event",
        "data",
        "e",
    ),
    "event with no JSON in base64": (
        event(data=None, data_base64=base64.b64encode(b"{").decode()),
        STRUCTURED,
        "invalid_event",
        "not JSON",
        "e",
    ),
    # What a record says must not make its dead letter larger than the topic takes.
    "long name of a program": (
        {"id": "n", "question": "?", "program": "p" * 900_000},
        (),
        "unknown_program",
        "is not served here",
        "n",
    ),
    "long name of a field": (
        b'{"id": "n", "' + b"f" * 900_000 + b'": NaN}',
        (),
        "not_json",
        "is not a number",
        "n",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_record_that_is_no_question_says_what_is_wrong_with_it(case: str):
    value, headers, code, message, question_id = BAD[case]

    delivery = decode(value, headers)

    failure = delivery.failure
    assert failure is not None
    assert (failure.kind, failure.code, failure.stage) == (Kind.RECORD, code, "decode")
    assert message in failure.message
    assert len(failure.message) <= 1_000
    assert delivery.question_id == question_id
    assert delivery.question is None


GOOD: dict[str, tuple[bytes | dict[str, Any], Headers, str, dict[str, Any]]] = {
    # What it is: value, headers, the id it goes by, and the program's inputs.
    "bare": ({"question": "?"}, (), NAME, {"question": "?"}),
    "bare with an id": ({"id": "n", "question": "?"}, (), "n", {"question": "?"}),
    "inputs": (
        {"inputs": {"question": "?", "more": [1]}},
        (),
        NAME,
        {"question": "?", "more": [1]},
    ),
    "binary mode": ({"question": "?"}, (("ce_id", b"c"),), "c", {"question": "?"}),
    "two ids": ({"id": "n", "question": "?"}, (("ce_id", b"c"),), "n", {"question": "?"}),
    "ce_id not UTF-8": ({"question": "?"}, (("ce_id", b"\xff"),), NAME, {"question": "?"}),
    "a longest id": ({"id": "i" * 256, "question": "?"}, (), "i" * 256, {"question": "?"}),
    "nulls": (
        {"id": None, "question": "?", "inputs": None, "timeout_ms": None, "metadata": None},
        (),
        NAME,
        {"question": "?"},
    ),
    "unknown fields": ({"question": "?", "colour": {"a": 1}}, (), NAME, {"question": "?"}),
    "a BOM": (b'\xef\xbb\xbf{"question": "?"}', (), NAME, {"question": "?"}),
    "blanks around": (b' \n{"question": "?"}\t', (), NAME, {"question": "?"}),
    "text": (b"what is water?", PLAIN, NAME, {"question": "what is water?"}),
    "text like JSON": (b'{"question": 7}', PLAIN, NAME, {"question": '{"question": 7}'}),
    "text with a BOM": (b"\xef\xbb\xbfwater?", PLAIN, NAME, {"question": "water?"}),
    "text with a charset": (
        "Wärme?".encode(),
        (("content-type", b"text/plain; charset=utf-8"),),
        NAME,
        {"question": "Wärme?"},
    ),
    "content type not UTF-8": (
        {"question": "?"},
        (("content-type", b"\xff"),),
        NAME,
        {"question": "?"},
    ),
    "structured": (event(), STRUCTURED, "e", {"question": "?"}),
    "structured with an id inside": (
        event(data={"id": "n", "question": "?"}),
        STRUCTURED,
        "n",
        {"question": "?"},
    ),
    "structured with text": (event(data="why?"), STRUCTURED, "e", {"question": "why?"}),
    "structured with base64": (
        event(data=None, data_base64=base64.b64encode(b'{"question": "why?"}').decode()),
        STRUCTURED,
        "e",
        {"question": "why?"},
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_question_may_come_in_many_forms(case: str):
    value, headers, question_id, inputs = GOOD[case]

    delivery = decode(value, headers)

    assert delivery.failure is None
    assert delivery.question is not None
    assert delivery.question.fields == inputs
    assert delivery.question_id == question_id
    assert (delivery.program, delivery.budget) == ("qa", BUDGET)


TIMES: dict[str, tuple[dict[str, Any], Headers, float, float | None]] = {
    # What it is: body, headers, the record's age, and in how many seconds it expires.
    "no deadline": ({}, (), 3_600.0, None),
    "timeout": ({"timeout_ms": 5_000}, (), 0.0, 5.0),
    "counts from the record's timestamp": ({"timeout_ms": 5_000}, (), 2.0, 3.0),
    "already over": ({"timeout_ms": 5_000}, (), 7.0, -2.0),
    "a timestamp in the future counts as now": ({"timeout_ms": 5_000}, (), -60.0, 5.0),
    "no timestamp counts as now": ({"timeout_ms": 5_000}, (), NOW + 0.001, 5.0),
    "a fraction of a millisecond": ({"timeout_ms": 0.5}, (), 0.0, 0.0005),
    "capped": ({"timeout_ms": 3_600_000}, (), 0.0, 600.0),
    "capped from the timestamp": ({"timeout_ms": 3_600_000}, (), 100.0, 500.0),
    "far too long": ({"timeout_ms": 1e300}, (), 0.0, 600.0),
    "a moment": ({"expires_at": "2023-11-14T22:13:30Z"}, (), 0.0, 10.0),
    "a moment elsewhere": ({"expires_at": "2023-11-14T23:13:30+01:00"}, (), 0.0, 10.0),
    "a moment long ago": ({"expires_at": "2023-11-14T22:13:10Z"}, (), 0.0, -10.0),
    "a moment capped": ({"expires_at": "2099-01-01T00:00:00Z"}, (), 0.0, 600.0),
    "the earlier is the timeout": (
        {"timeout_ms": 5_000, "expires_at": "2023-11-14T22:13:30Z"},
        (),
        0.0,
        5.0,
    ),
    "the earlier is the moment": (
        {"timeout_ms": 50_000, "expires_at": "2023-11-14T22:13:30Z"},
        (),
        0.0,
        10.0,
    ),
    "a header": ({}, (("ce_expirytime", b"2023-11-14T22:13:30Z"),), 0.0, 10.0),
    "the body is nearer than a header": (
        {"expires_at": "2023-11-14T22:13:40Z"},
        (("ce_expirytime", b"2023-11-14T22:13:30Z"),),
        0.0,
        20.0,
    ),
}


@pytest.mark.parametrize("case", TIMES)
def test_a_deadline_becomes_one_monotonic_moment(case: str):
    body, headers, age, seconds = TIMES[case]

    delivery = decode({"question": "?"} | body, headers, age=age)

    assert delivery.failure is None
    wanted = None if seconds is None else pytest.approx(MONOTONIC + seconds, abs=1e-3)
    assert delivery.expires_at == wanted


def test_a_structured_event_may_expire():
    delivery = decode(event(expirytime="2023-11-14T22:13:30Z"), STRUCTURED)

    assert delivery.expires_at == pytest.approx(MONOTONIC + 10.0, abs=1e-3)


def test_a_program_has_a_budget_of_its_own():
    delivery = decode({"inputs": {"left": 1, "right": 2}, "program": "compare"})

    assert (delivery.program, delivery.budget, delivery.expires_at) == ("compare", 5.0, None)


@pytest.mark.parametrize(
    ("ordering", "lane"), [("key", b"\xff\x00"), ("partition", "partition"), ("none", None)]
)
def test_the_lane_follows_the_ordering(
    ordering: Literal["key", "partition", "none"], lane: bytes | str | None
):
    assert decode({"question": "?"}, key=b"\xff\x00", by=codec(ordering)).lane == lane
    # Also of a record that is no question.
    assert decode(b"", key=b"\xff\x00", by=codec(ordering)).lane == lane


def test_named_headers_travel_on_and_others_do_not():
    delivery = decode(
        {"question": "?"}, (("ce_correlationid", b"\xff1"), ("x", b"2"), ("ce_correlationid", b"3"))
    )

    assert delivery.forwarded == (("ce_correlationid", b"\xff1"), ("ce_correlationid", b"3"))


def test_a_record_that_is_no_question_is_told_about_in_token_events():
    assert decode(b"").streams
    assert decode({"question": "?"}).streams
    assert not decode({"question": "?", "stream": False}).streams


_names = st.sampled_from(
    ["content-type", "ce_id", "ce_type", "ce_expirytime", "ce_correlationid", "traceparent"]
) | st.text(max_size=20)
_header_values = (
    st.binary(max_size=40)
    | st.sampled_from([b"text/plain", b"application/cloudevents+json", b"2030-01-01T00:00:00Z"])
    # A header without a value is legal in Kafka.
    | st.none()
)
_fields = st.sampled_from(
    ["id", "question", "inputs", "program", "timeout_ms", "expires_at", "stream", "metadata"]
    + ["specversion", "source", "type", "data", "data_base64", "expirytime"]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
_values = (
    st.none()
    | st.binary()
    | st.dictionaries(_fields, _json).map(lambda body: json.dumps(body).encode())
)


@given(
    value=_values,
    headers=st.lists(st.tuples(_names, _header_values), max_size=6),
    key=st.none() | st.binary(),
    timestamp=st.integers(-1, 2**63 - 1),
)
def test_decoding_never_raises(
    value: bytes | None, headers: list[tuple[str, Any]], key: bytes | None, timestamp: int
):
    raw = Raw("questions", 3, 7, timestamp, key, value, tuple(headers))

    delivery = codec().decode(RecordId(3, 1, 7), raw, MONOTONIC, NOW)

    assert (delivery.question is None) == (delivery.failure is not None)
    assert delivery.raw is raw
    assert 1 <= len(delivery.question_id.encode()) <= 4 * 256
    if delivery.failure is not None:
        assert delivery.failure.kind is Kind.RECORD
        assert 0 < len(delivery.failure.message.encode()) <= 4_000
    if delivery.expires_at is not None:
        assert delivery.expires_at <= MONOTONIC + 600.0
