"""Dead letters by the names that other tools know, byte for byte as they stand on a real Kafka."""

import json
from dataclasses import replace
from typing import Any

import pytest

from penstock.events.dead_letter import Cause, Style, Tried, dead_letter_headers
from tests.support.conversation import Record
from tests.support.kafka import Topics
from tests.support.stage import Stage, stage

TIMESTAMP = 1_795_434_000_123
ORIGINAL = (("trace", b"\xff\x00"), ("empty", b""), ("twice", b"1"), ("twice", b"2"))
BEFORE = 2
"""Questions in the partition before it."""
MESSAGE = "the answer does not hold the fields asked for: answer"

OURS = {
    "penstock-error-kind": b"ANSWER",
    "penstock-error-code": b"unparsable_answer",
    "penstock-error-stage": b"running",
    "penstock-first-error-kind": b"UPSTREAM",
    "penstock-first-error-code": b"model_error",
}
"""Besides what tells the time, in every style."""


def expected(on: Stage, style: str) -> dict[str, bytes]:
    """The partition is 1."""
    topic, group = on.topics.name("questions").encode(), on.topics.name("group").encode()
    styles: dict[str, dict[str, bytes]] = {
        "kafka": {
            "__dlq.errors.topic": topic,
            "__dlq.errors.partition": b"1",
            "__dlq.errors.offset": b"2",
            "__dlq.errors.group": group,
            "__dlq.errors.delivery.count": b"2",
            "__dlq.errors.message": MESSAGE.encode(),
        },
        "spring": {
            "kafka_dlt-original-topic": topic,
            "kafka_dlt-original-partition": bytes.fromhex("00000001"),
            "kafka_dlt-original-offset": bytes.fromhex("0000000000000002"),
            "kafka_dlt-original-timestamp": bytes.fromhex("000001a20834aefb"),
            "kafka_dlt-original-consumer-group": group,
            "kafka_dlt-exception-fqcn": b"ANSWER.unparsable_answer",
            "kafka_dlt-exception-message": MESSAGE.encode(),
        },
        "connect": {
            "__connect.errors.topic": topic,
            "__connect.errors.partition": b"1",
            "__connect.errors.offset": b"2",
            "__connect.errors.connector.name": group,
            "__connect.errors.task.id": b"0",
            "__connect.errors.stage": b"running",
            "__connect.errors.class.name": b"penstock",
            "__connect.errors.exception.class.name": b"ANSWER.unparsable_answer",
            "__connect.errors.exception.message": MESSAGE.encode(),
        },
    }
    return styles[style]


async def _letter(on: Stage, style: str) -> tuple[Record, bytes]:
    """And the value of its question."""
    flags: dict[str, Any] = {
        "retry": {"base_ms": 1, "answer_attempts": 1},
        "dead_letters": {"headers": style},
    }
    on.models.script["moody"] = lambda number, _: "500" if number == 1 else "unparsable"
    value = b' {"id": "dead", "question": "\\u003f", "unknown": 1}\n'
    async with on.serving("openai/moody", **flags) as (_, talk):
        for _ in range(BEFORE):
            await talk.ask({"id": "other", "question": None}, partition=1)
        await talk.dead_letters(BEFORE)
        await talk.ask(value, b"\xffkey", ORIGINAL, 1, TIMESTAMP)
        letters = await talk.dead_letters(BEFORE + 1)
        [letter] = [one for one in letters if one.value == value]
        # Where its question was.
        assert letter.partition == 1
        assert letter.key == b"\xffkey"
        return letter, value


@pytest.mark.parametrize("style", ["kafka", "spring", "connect"])
async def test_headers(bootstrap_servers: str, topics: Topics, style: str) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        letter, _ = await _letter(on, style)

        assert letter.headers[: len(ORIGINAL)] == ORIGINAL
        said = dict(letter.headers[len(ORIGINAL) :])
        at = said.pop("penstock-error-at").decode()
        tried = json.loads(said.pop("penstock-attempts"))
        assert "500" in said.pop("penstock-first-error-message").decode()
        origin = f"{topics.name('questions')}/1/2/{topics.name('group')}".encode()
        assert said.pop("penstock-origin") == origin
        assert said == expected(on, style) | OURS
        assert [one.pop("at") <= at for one in tried] == [True, True]
        assert tried == [
            {"attempt": 1, "kind": "UPSTREAM", "code": "model_error"},
            {"attempt": 2, "kind": "ANSWER", "code": "unparsable_answer"},
        ]
        names = [name for name, _ in letter.headers[len(ORIGINAL) :]]
        assert len(names) == len(set(names))


async def test_what_fails_again_after_it_was_sent_back_says_only_the_last(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        stage(bootstrap_servers, topics) as on,
        on.serving(dead_letters={"headers": "spring"}) as (_, talk),
    ):
        await talk.ask(b"no question", b"k", ORIGINAL)
        [first] = await talk.dead_letters(1)
        await talk.ask(first.value, first.key, first.headers)
        _, second = await talk.dead_letters(2)

        assert second.headers[: len(ORIGINAL)] == ORIGINAL
        names = [name for name, _ in second.headers[len(ORIGINAL) :]]
        assert len(names) == len(set(names)) == len(first.headers) - len(ORIGINAL)
        assert dict(second.headers)["kafka_dlt-original-offset"] == (1).to_bytes(8, "big")


CAUSE = Cause("q", 1, 2, TIMESTAMP, "g", 2, "ANSWER", "code", "running", "message", "now")
FAMILIES = {"kafka": "__dlq.", "spring": "kafka_dlt-", "connect": "__connect."}


@pytest.mark.parametrize("before", FAMILIES)
@pytest.mark.parametrize("style", FAMILIES)
def test_a_second_failure_replaces_the_first_by_whichever_names(
    before: Style, style: Style
) -> None:
    tried = (Tried(1, "UPSTREAM", "code", "message", "now"),)
    first = dead_letter_headers(ORIGINAL, replace(CAUSE, tried=tried), before)
    second = dead_letter_headers(tuple(first), replace(CAUSE, offset=9), style)
    assert second == dead_letter_headers(ORIGINAL, replace(CAUSE, offset=9), style)


def test_what_other_tools_said_of_a_question_stays() -> None:
    theirs = (("kafka_dlt-original-topic", b"theirs"), ("__connect.errors.stage", b"theirs"))
    headers = dead_letter_headers(theirs, CAUSE, "connect")
    assert [header for header in theirs if header in headers] == list(theirs[:1])
