"""What kcat prints of a record, we print."""

import json
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.kcat_format import NULL, compiled, envelope
from penstock.errors import ConfigurationError

HEADERS = (("a", b"1"), ("b", b""), ("a", None), ("raw", b"\x00\xff"))


def record(
    key: bytes | None = b"k", value: bytes | None = b"v", headers: Any = (), timestamp: int = 1_000
) -> ConsumerRecord:
    return ConsumerRecord("t", 3, 42, timestamp, 0, key, value, None, -1, -1, headers)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", b""),
        (r"%t [%p] at %o: key %k: %s\n", b"t [3] at 42: key k: value\n"),
        ("%K %S %T", b"1 5 1000"),
        ("%R%s", b"\x00\x00\x00\x05value"),
        ("%h", b"a=1,b=,a=NULL,raw=\x00\xff"),
        ("100%%", b"100%"),
        (r"\n\r\t", b"\n\r\t"),
        (r"\x41\x0a\x7e9", b"A\n~9"),
        (r"\xff", b"\xff"),
        (r"\0\033\65", b"\x00\x1bA"),
        (r"\\n\q", b"\\nq"),
        ("\\%s\\", b"\\value\\"),
        ("ü \udcff", b"\xc3\xbc \xff"),
        ("\n%s\n", b"\nvalue\n"),
    ],
)
def test_a_format(text: str, printed: bytes) -> None:
    assert compiled(text)(record(value=b"value", headers=HEADERS)) == printed


@pytest.mark.parametrize(
    ("nothing", "null", "printed"),
    [
        (None, b"", b"|-1||-1|\xff\xff\xff\xff"),
        (b"", b"", b"|0||0|\x00\x00\x00\x00"),
        (None, NULL, b"NULL|-1|NULL|-1|\xff\xff\xff\xff"),
        # So kcat has it.
        (b"", NULL, b"NULL|0|NULL|0|\x00\x00\x00\x00"),
    ],
)
def test_what_is_not_there(nothing: bytes | None, null: bytes, printed: bytes) -> None:
    assert compiled("%k|%K|%s|%S|%R", null)(record(nothing, nothing)) == printed
    assert compiled("%h", null)(record()) == b""


@pytest.mark.parametrize(("text", "why"), [("%x", "no %x"), ("a %", "lone %"), ("%s%%%", "lone %")])
def test_what_there_is_not_is_said_on_one_line(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^-f {text}: [^\n]*{why}[^\n]*%o[^\n]*$"):
        compiled(text)


@given(st.none() | st.binary(), st.none() | st.binary(), st.lists(st.binary(), max_size=3))
def test_bytes_are_passed_through(
    key: bytes | None, value: bytes | None, headers: list[bytes]
) -> None:
    named = tuple(("h", header) for header in headers)
    printed = compiled("%R%s%K:%k%h")(record(key, value, named))
    length = int.from_bytes(printed[:4], "big", signed=True)
    assert length == (-1 if value is None else len(value))
    rest = printed[4:]
    assert rest.startswith(value or b"")
    size, _, rest = rest[len(value or b"") :].partition(b":")
    assert int(size) == (-1 if key is None else len(key))
    assert rest == (key or b"") + b",".join(b"h=" + header for header in headers)


@given(st.text())
def test_any_text_can_be_written(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("%", "%%")
    assert compiled(escaped)(record()) == text.encode()


def test_an_envelope() -> None:
    line = envelope(record(headers=HEADERS), 7)
    assert line.endswith(b"}\n")
    assert list(json.loads(line).items()) == [
        ("topic", "t"),
        ("partition", 3),
        ("offset", 42),
        ("tstype", "create"),
        ("ts", 1000),
        ("broker", 7),
        ("headers", ["a", "1", "b", "", "a", None, "raw", "\x00\ufffd"]),
        ("key", "k"),
        ("payload", "v"),
    ]


def test_an_envelope_without_what_is_not_there() -> None:
    said = json.loads(envelope(record(None, None, timestamp=-1), -1))
    assert said == {
        "topic": "t",
        "partition": 3,
        "offset": 42,
        "broker": -1,
        "key": None,
        "payload": None,
    }


@given(st.none() | st.binary(), st.none() | st.binary())
def test_an_envelope_is_one_line_of_json(key: bytes | None, value: bytes | None) -> None:
    line = envelope(record(key, value), 0)
    assert line.count(b"\n") == 1
    said = json.loads(line)
    for name, raw in (("key", key), ("payload", value)):
        assert said[name] == (None if raw is None else raw.decode(errors="replace"))
