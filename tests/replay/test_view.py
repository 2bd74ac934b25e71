"""What can be asked of a record."""

from typing import Any

import pytest

from penstock.kafka.codec import Raw
from penstock.replay import view
from penstock.replay.where import COMPLETION, DEAD_LETTER, QUESTION, holds, parse


def record(value: bytes | None, key: bytes | None = b"k", **headers: bytes) -> Raw:
    named = tuple((name.replace("_", "-"), said) for name, said in headers.items())
    return Raw("questions", 2, 7, 1_000, key, value, named)


def wanted(text: str, record: Raw, completion: dict[str, Any] | None = None) -> bool:
    seen = view.of_question(record, completion, "qa")
    return holds(parse([text], QUESTION + COMPLETION), seen)


ASKED = record(b'{"id": "q", "question": "?", "program": "slow", "metadata": {"tenant": "acme"}}')


@pytest.mark.parametrize(
    "text",
    ["id=q", "key=k", "program=slow", "metadata.tenant=acme", "status=unanswered"],
)
def test_a_question_that_nobody_has_answered(text: str) -> None:
    assert wanted(text, ASKED)
    assert not wanted(text, record(b'{"id": "p", "question": "?"}', b"other"), {"status": "failed"})


def test_an_answered_one_is_what_its_completion_says() -> None:
    said = {
        "question_id": "q",
        "status": "failed",
        "program": {"name": "slow", "version": "5f"},
        "error": {"kind": "ANSWER", "code": "unparsable"},
        "model": "openai/x",
        "metadata": {"tenant": "other"},
    }
    for text in (
        "id=q",
        "key=k",
        "status=failed",
        "program=slow",
        "version=5f",
        "error.kind=ANSWER",
        "error.code=unparsable",
        "model=openai/x",
        "metadata.tenant=other",
    ):
        assert wanted(text, ASKED, said), text


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"question": 7}', b"\xff"])
def test_what_is_no_question_has_the_id_that_the_service_gives_it(value: bytes | None) -> None:
    assert wanted("id=questions/2/7", record(value))
    assert wanted("key=k", record(value))
    assert wanted("status=unanswered", record(value))
    assert not wanted("program=qa", record(value))
    assert view.question(record(value)) is None


def test_a_question_without_a_program_is_for_the_default_one() -> None:
    assert wanted("program=qa", record(b'{"question": "?"}'))
    # It failed before anybody knew what it wanted.
    assert wanted("program=qa", record(b'{"question": "?"}'), {"status": "failed"})


def test_it_reads_what_any_service_may_have_read() -> None:
    long = "x" * 100_000
    body = b'{"id": "%s", "question": "?", "metadata": {"a": "%s"}}' % (
        long.encode(),
        long.encode(),
    )
    assert wanted(f"metadata.a={long}", record(body))


@pytest.mark.parametrize("part", ["x", 7, [], ["x"], None, True])
def test_a_completion_of_strangers_is_equal_to_nothing(part: object) -> None:
    said = {"question_id": part, "program": part, "metadata": part, "error": part, "status": part}
    for text in ("version=1", "metadata.a=1", "error.kind=ANSWER", "status=failed"):
        assert not wanted(text, ASKED, said)


def test_a_dead_letter() -> None:
    letter = record(
        b'{"question": "?", "metadata": {"tenant": "acme"}}',
        None,
        penstock_error_kind=b"ANSWER",
        penstock_error_code=b"unparsable",
    )
    seen = view.of_dead_letter(letter, "qa")
    for text in ("kind=ANSWER", "code=unparsable", "metadata.tenant=acme", "program=qa"):
        assert holds(parse([text], DEAD_LETTER), seen), text
    for text in ("key=k", "kind=UPSTREAM", "group=g"):
        assert not holds(parse([text], DEAD_LETTER), seen), text
