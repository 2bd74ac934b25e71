"""What is shown of the records that are read, and how they look on a terminal."""

import io
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from penstock.cli.tail_lines import line
from penstock.cli.tail_records import latest, said
from penstock.cli.tail_show import Bytes, Lines, Piped, Running
from penstock.replay.about import About

AT = 1_795_790_000_123
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("question_id", "sequence", "status", "error", "program", "timing", "answer", "text", "id")


def record(
    value: Any,
    offset: int = 0,
    partition: int = 0,
    at: int = AT,
    key: bytes | None = b"k",
    **headers: bytes,
) -> ConsumerRecord:
    raw = value if isinstance(value, bytes | None) else orjson.dumps(value)
    named = tuple(headers.items())
    return ConsumerRecord("t", partition, offset, at, 0, key, raw, None, -1, -1, named)


def event(type_: str, sequence: int, stream: str = "q/0/1", **more: Any) -> ConsumerRecord:
    body = {"type": type_, "question_id": "a", "sequence": sequence, "attempt": 1, **more}
    return record(body, sequence, ce_id=f"{stream}/writer/{sequence}".encode())


def token(text: str, sequence: int, field: str = "answer", stream: str = "q/0/1") -> ConsumerRecord:
    output = field == "answer"
    more = {"field": field, "text": text, "step": "self", "call": 0, "output": output}
    return event("token", sequence, stream, **more)


async def stream(records: Iterable[ConsumerRecord]) -> AsyncIterator[ConsumerRecord]:
    for one in records:
        yield one


async def test_the_last_ones_are_in_order_within_a_partition() -> None:
    records = [
        record(b"", offset, partition, at)
        for partition, offset, at in [(0, 0, 5), (0, 1, 1), (0, 2, 7), (1, 0, 6), (1, 1, 3)]
    ]
    found = [(r.partition, r.offset) async for r in latest(stream(records), 4)]
    assert found == [(0, 1), (1, 0), (1, 1), (0, 2)]


async def test_what_is_said_about_a_question_ends_with_it() -> None:
    other = record({"type": "end", "question_id": "b"})
    standing = [token("x", 0), other, event("end", 1, status="completed")]
    coming = [token("again", 0), other, event("end", 1, status="failed"), token("late", 2)]

    async def found(about: About | None, before: list[ConsumerRecord]) -> list[ConsumerRecord]:
        return [one async for one in said(about, stream(before), stream(coming))]

    assert await found(About("a"), standing) == [standing[0], standing[2]]
    assert await found(About("a"), standing[:1]) == [standing[0], coming[0], coming[2]]
    # It was asked once more.
    again = [*standing, token("once more", 0)]
    assert await found(About("a"), again) == [standing[0], *again[2:], coming[0], coming[2]]
    assert await found(None, standing) == [*standing, *coming]


def test_running_text(capsys: pytest.CaptureFixture[str]) -> None:
    printed = io.StringIO()
    console = Console(file=printed)
    show = Running(console, Lines(console))
    for one in (
        token("A\x1b[31m thought", 0, "reasoning"),
        token("An ", 1),
        token("answer", 2),
        event("restart", 3, reason="a\nreason"),
        token("Better", 4),
        event("status", 5, text="a tool"),
        event("end", 6, status="completed"),
        # Another of the same id, which a second process begins anew.
        token("Other", 0, stream="q/1/1"),
        token("Anew", 0, stream="q/1/1"),
    ):
        show(one)
    show.close()
    assert printed.getvalue().splitlines() == [
        "reasoning: A[31m thought",
        "An answer",
        "↻ starting over: a",
        "reason",
        "Better",
        "· a tool",
        "· q/1/1",
        "Other",
        "↻ starting over: another process has begun anew",
        "Anew",
    ]
    assert capsys.readouterr().err == "penstock: a: completed\n"


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (record(b"\xff\x1b[1m\ntext", 7, 2), "     2/7 k \ufffd[1m text"),
        (record(None, key=b"pause/all"), "     0/0 pause/all taken back"),
        (record(b"", key=None, at=-1), "     0/0 -"),
        (token(" a \n", 3), '     0/3 a #3 answer: " a \\n"'),
        (event("end", 4, status="expired"), "     0/4 a #4 end expired"),
        (record({"question": "Why?", "program": "p"}, 5), "     0/5 t/0/5 p key k Why?"),
        (
            record({"type": "completion", "question_id": "a", "status": "completed"}),
            "     0/0 a completed",
        ),
    ],
)
def test_a_line(one: ConsumerRecord, shown: str) -> None:
    when = "-" if one.timestamp < 0 else "2026-11-27T14:33:20.123Z"
    assert line(one).plain == f"{when} {shown}"


def test_a_line_of_what_says_microseconds_and_of_a_letter_that_was_one_before() -> None:
    said = {
        "kafka_dlt-exception-message": b"theirs",
        "penstock-error-kind": b"UPSTREAM",
        "penstock-error-code": b"model_error",
        "__dlq.errors.message": b"ours",
    }
    shown = line(record(b"?", 0, 0, AT * 1000, None, **said)).plain
    assert shown == "9999-12-31T23:59:59.999Z      0/0 t/0/0 UPSTREAM model_error ours"


@given(
    st.sampled_from(["completion", "token", "restart", "status", "end", "cancel"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_nothing_breaks_a_line(type_: str, said: dict[str, Any]) -> None:
    shown = line(record({"type": type_, **said})).plain
    assert shown.isprintable() or not any(ord(letter) < ord(" ") for letter in shown)


def test_nobody_who_reads_ends_it() -> None:
    class Closed(io.BytesIO):
        def write(self, _: Any) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Bytes(Closed(), lambda _: b"x", at_once=False)(record(b""))
    console = Piped(file=io.TextIOWrapper(Closed(), write_through=True))
    with pytest.raises(BrokenPipeError):
        Lines(console)(record(b""))
