"""What of a dead letter goes back, and what stays."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.dead_letter import (
    Style,
    Tried,
    attempts,
    dead_letter_headers,
    message,
    original,
)
from penstock.events.envelope import Headers
from penstock.kafka.codec import Raw
from penstock.replay import redrive_name
from penstock.replay.merge_patch import applied
from penstock.replay.redrive import Elsewhere, Policy, Question, Refused, again
from tests.support.letters import CAUSE

POLICY = Policy(id="all", questions="asked", partitions=4, limit=2_000, most=3)
STYLES: tuple[Style, ...] = ("kafka", "spring", "connect")


def letter(
    headers: Headers = (),
    value: bytes | None = b'{"id": "a"}',
    style: Style = "kafka",
    **cause: Any,
) -> Raw:
    why = replace(CAUSE, topic="asked", partition=3, **cause)
    said = tuple(dead_letter_headers(headers, why, style))
    return Raw("dead", 1, 7, 0, b"\xff", value, said)


def test_it_goes_to_the_partition_it_came_from_with_two_headers_of_ours() -> None:
    assert again(letter((("n", b"1"),)), POLICY) == Question(
        3,
        b"\xff",
        b'{"id": "a"}',
        (("n", b"1"), ("penstock-redrive", b"all/dead/1/7"), ("penstock-redrives", b"1")),
    )


def test_how_often_is_counted_and_has_an_end() -> None:
    raw = letter()
    for count in (1, 2, 3):
        found = again(raw, POLICY)
        assert isinstance(found, Question)
        assert found.headers[-1] == ("penstock-redrives", b"%d" % count)
        assert len(found.headers) == 2
        raw = letter(found.headers)
    assert again(raw, POLICY) == Refused("redriven 3 times or more before (--max-redrives)")
    assert isinstance(again(raw, replace(POLICY, most=4)), Question)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (Raw("dead", 0, 0, 0, None, b"?", ()), "no header penstock-origin"),
        (Raw("dead", 0, 0, 0, None, b"?", (("penstock-origin", b"\xff"),)), "no header"),
        (Raw("dead", 0, 0, 0, None, b"?", (("penstock-origin", b"asked/x/1/g"),)), "no header"),
        (Raw("dead", 0, 0, 0, None, b"?", (("penstock-origin", b"asked/4/1/g"),)), "partition"),
        (letter(value=b"." * 2_000), "larger than the 2000 bytes that asked takes"),
    ],
)
def test_what_cannot_go(raw: Raw, says: str) -> None:
    found = again(raw, POLICY)
    assert isinstance(found, Refused)
    assert says in found.reason


def test_what_was_asked_elsewhere_is_none_of_ours() -> None:
    assert again(letter(), replace(POLICY, questions="others")) == Elsewhere("asked")


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "kafka_dlt-x", "__connect.errors.x", "penstock-attempts-x"]),
        st.binary(max_size=3),
    ),
    max_size=6,
).map(tuple)


@given(headers=HEADERS, style=st.sampled_from(STYLES), tried=st.booleans())
def test_the_headers_of_whoever_asked_come_back_as_they_were(
    headers: Headers, style: Style, *, tried: bool
) -> None:
    before = (Tried(1, "UPSTREAM", "model_error", "away", "then"),) if tried else ()
    found = original(letter(headers, style=style, tried=before).headers)
    assert found == headers


@pytest.mark.parametrize("style", STYLES)
def test_also_where_somebody_has_mixed_them(style: Style) -> None:
    said = letter((("a", b"1"), ("b", b"2")), style=style).headers
    assert original(said[::-1]) == (("b", b"2"), ("a", b"1"))
    more = ("mirrored", b"yes")
    assert original((*said, more)) == (("a", b"1"), ("b", b"2"), more)


@pytest.mark.parametrize("style", STYLES)
def test_why_is_read_from_whoever_says_it_last(style: Style) -> None:
    theirs = ("__connect.errors.exception.message", "kafka_dlt-exception-message")
    said = letter(tuple((name, b"theirs") for name in theirs), style=style)
    assert message(said.headers) == "the model is away"
    assert message(()) is None
    assert attempts((("penstock-attempts", b"{"),)) == []


PATCHED = [
    # The examples of RFC 7396, appendix A, that begin with an object.
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("document", "patch", "result"), PATCHED)
def test_a_merge_patch(document: str, patch: str, result: str) -> None:
    assert applied(json.loads(patch), json.loads(document)) == json.loads(result)


def test_what_is_edited_goes_back_if_it_is_a_question() -> None:
    asked = letter(value=b'{"question": "?", "program": "old"}')
    found = again(asked, replace(POLICY, patch={"program": None}))
    assert isinstance(found, Question)
    assert found.value == b'{"question":"?"}'
    both = again(asked, replace(POLICY, patch={"inputs": {"question": "!"}}))
    assert isinstance(both, Refused)
    assert both.reason.startswith("edited it is no question: both question and inputs")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[1]",
        b"{",
        b"\xff{}",
        b'{"a": NaN}',
        b'{"a": 1e400}',
        b"[" * 100_000,
        b'{"a":"\\ud800"}',
    ],
)
def test_what_is_no_object_is_not_edited(value: bytes | None) -> None:
    raw = letter(value=value)
    patched = replace(POLICY, patch={"b": 1}, limit=10**6)
    assert again(raw, patched) == Refused("the value is no JSON object, as --edit needs")


def test_numbers_of_any_size_stay_what_they_are() -> None:
    value = b'{"question":"\xc3\xa9","n":123456789012345678901}'
    found = again(letter(value=value), replace(POLICY, patch={"m": None}))
    assert isinstance(found, Question)
    assert found.value == value


def test_the_name_is_that_of_the_words() -> None:
    words = ["--where kind=UPSTREAM", "--partition 3"]
    assert redrive_name.name([]) == "all"
    assert redrive_name.name(words) == redrive_name.name(words[::-1] + words)
    assert redrive_name.name(words) != redrive_name.name(words[:1])
