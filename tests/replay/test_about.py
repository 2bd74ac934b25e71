"""Which records are about a question, by whichever name it goes."""

from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord

from penstock.replay.about import About

SOURCE = {"topic": "questions", "partition": 1, "offset": 7}
PLACE = "questions/1/7"


def record(said: Any, topic: str = "answers", offset: int = 3) -> ConsumerRecord:
    value = said if isinstance(said, bytes | None) else orjson.dumps(said)
    return ConsumerRecord(topic, 1, offset, 0, 0, None, value, None, -1, -1, ())


def event(ce_id: bytes, said: Any = None) -> ConsumerRecord:
    return ConsumerRecord(
        "answers", 1, 3, 0, 0, None, said, None, -1, -1, (("x", b"\xff"), ("ce_id", ce_id))
    )


def dead_letter(origin: bytes) -> ConsumerRecord:
    headers = (("penstock-origin", origin),)
    return ConsumerRecord("dead", 1, 3, 0, 0, None, b"not json", None, -1, -1, headers)


@pytest.mark.parametrize(
    ("found", "question_id"),
    [
        (record({"question_id": "a"}), "a"),
        (record({"id": "a", "question": "?"}), "a"),
        (record({"specversion": "1.0", "id": "e", "data": {"id": "a"}}), "a"),
        (record({"question_id": "a", "source": SOURCE}), PLACE),
        (record(b"not json", "questions", 7), PLACE),
        (record(None, "questions", 7), PLACE),
        (event(b"a", b"plain text"), "a"),
        (event(b"questions/1/7/writer/12"), PLACE),
        (dead_letter(b"questions/1/7/group"), PLACE),
    ],
)
def test_it_is_found(found: ConsumerRecord, question_id: str) -> None:
    assert About(question_id)(found)
    assert not About("b")(found)


@pytest.mark.parametrize(
    ("other", "question_id"),
    [
        (record({"question_id": ["a"], "data": "a", "source": "a"}), "a"),
        (record([]), "a"),
        (event(b"questions/1/77/writer/12"), PLACE),
        (event(b"questions/1/7/writer/12"), "questions"),
        (record({"question_id": "a", "source": SOURCE | {"offset": 8}}), PLACE),
        (record(None), ""),
    ],
)
def test_others_are_not(other: ConsumerRecord, question_id: str) -> None:
    assert not About(question_id)(other)


def test_a_place_tells_the_partition_of_topics_that_are_meant() -> None:
    assert About(PLACE).partition({"questions"}) == 1
    # An id may look like one.
    assert About("order/1/7").partition({"questions"}) is None
    assert About("questions/1").partition({"questions"}) is None
