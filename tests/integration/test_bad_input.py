"""What producers really write, good and bad, through the whole service on a real Kafka.

All of it goes to one service in one run; every row of the tables is then a test of what came back.
"""

import asyncio
import json
import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.conversation import Headers, Record, conversation, serving
from tests.support.kafka import Call, Topics
from tests.support.model_server import model_server

MIB = 1024 * 1024
KEY = b"customer"
ASKED = {"question": "?"}
STRUCTURED = (("content-type", b"application/cloudevents+json"),)
EVENT = {"specversion": "1.0", "id": "e", "source": "/s", "type": "t"}
LONG_AGO = "2020-01-01T00:00:00Z"


class Row(NamedTuple):
    """A record, and the id it goes by: None where that is its place in the log."""

    value: bytes | dict[str, Any] | None
    question_id: str | None = None
    headers: Headers = ()
    key: bytes | None = KEY


def named(wrong: str) -> Row:
    """A question with the id `n` and one thing wrong."""
    return Row(f'{{"id": "n", "question": "?", {wrong}}}'.encode(), "n")


def event(**attributes: Any) -> Row:
    return Row(EVENT | attributes, "e", STRUCTURED)


BAD = {
    "not UTF-8": Row(b'{"question": "\xff"}', headers=(("trace", b"\xff\x00"), ("empty", b""))),
    "not JSON": Row(b"what is water?"),
    "array": Row(b"[1]"),
    "string": Row(b'"?"'),
    "number": Row(b"7"),
    "null": Row(b"null"),
    "empty": Row(b""),
    "empty with an id": Row(b"", "c", (("ce_id", b"c"),)),
    "tombstone": Row(None),
    # A record with neither key nor value is beyond what the client can send.
    "tombstone with an empty key": Row(None, key=b""),
    "over the bound": Row(b'{"id": "n", "question": "' + b"x" * 2 * MIB + b'"}'),
    "deep": Row(b'{"question": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "no question": Row({"id": "n"}, "n"),
    "question empty": Row({"id": "n", "question": ""}, "n"),
    "question a number": Row({"id": "n", "question": 7}, "n"),
    "question null": Row({"id": "n", "question": None}, "n"),
    "both": named('"inputs": {"question": "?"}'),
    "inputs an array": Row({"id": "n", "inputs": ["?"]}, "n"),
    "input missing": Row({"id": "n", "inputs": {"other": "?"}}, "n"),
    "unknown program": named('"program": "chess"'),
    # Its name must not make the dead letter larger than the topic takes.
    "unknown program of a long name": Row({"program": "p" * 900_000, **ASKED}),
    "timeout negative": named('"timeout_ms": -1'),
    "timeout zero": named('"timeout_ms": 0'),
    "timeout a string": named('"timeout_ms": "soon"'),
    "timeout NaN": named('"timeout_ms": NaN'),
    "expires_at no date": named('"expires_at": "tomorrow"'),
    "id a number": Row({"id": 7, **ASKED}),
    "id long": Row({"id": "i" * 300, **ASKED}),
    "metadata large": Row({"id": "n", "metadata": {"a": "x" * 9_000}, **ASKED}, "n"),
    "event broken": Row(b'{"specversion": "1.0",', headers=STRUCTURED),
    "event without data": event(),
    "event without a type": event(type=None, data=ASKED),
    "surrogate in the question": Row(b'{"id": "n", "question": "\\ud800"}', "n"),
    "surrogate in the id": Row(b'{"id": "\\ud800", "question": "?"}'),
    "surrogate in UTF-8": Row(b'{"question": "\xed\xa0\x80"}'),
    "without a key": Row(b"", key=None),
}

EXPIRED = {
    "expires_at": named(f'"expires_at": "{LONG_AGO}"'),
    "a header": Row({"id": "n", **ASKED}, "n", (("ce_expirytime", LONG_AGO.encode()),)),
}

GOOD = {
    "key not UTF-8": Row(ASKED, key=b"\xff\x00"),
    "no key": Row(ASKED, key=None),
    "empty key": Row(ASKED, key=b""),
    "headers not UTF-8": Row(ASKED, headers=(("x", b"\xff"), ("content-type", b"\xff\xfe"))),
    "ce_id not UTF-8": Row(ASKED, headers=(("ce_id", b"\xff"),)),
    "a BOM": Row(b'\xef\xbb\xbf{"question": "?"}'),
    "unknown fields": Row({"colour": ["blue"], **ASKED}),
    "timeout above the cap": Row({"timeout_ms": 1e12, **ASKED}),
    "text": Row(b"?", headers=(("content-type", b"text/plain; charset=utf-8"),)),
    "binary mode": Row(ASKED, "c", (("ce_id", b"c"), ("ce_specversion", b"1.0"))),
    "structured mode": event(data=ASKED),
    "structured mode, text": event(data="?"),
    "structured mode, base64": event(data_base64=b64encode(b'{"question": "?"}').decode()),
    "a header that expires later": Row(
        ASKED, headers=(("ce_expirytime", b"2099-01-01T00:00:00Z"),)
    ),
    "a header without a value": Row(ASKED, headers=(("x", None), ("ce_correlationid", None))),
    # Answers repeat key and correlation, and their topics take less than this one.
    "a key too long to repeat": Row(ASKED, key=b"k" * 2 * MIB),
    "a header too long to repeat": Row(ASKED, headers=(("ce_correlationid", b"c" * 2 * MIB),)),
    "metadata as deep as it may be": Row(
        b'{"question": "?", "metadata": ' + b'{"a":' * 254 + b"1" + b"}" * 255
    ),
}


@dataclass
class Outcome:
    """What came back, by the offset of the question."""

    offsets: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    topic: str = ""
    completions: list[Record] = field(default_factory=list)
    dead_letters: list[Record] = field(default_factory=list)
    tokens: list[Record] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)

    def completion(self, offset: int) -> dict[str, Any]:
        [only] = [record.body for record in self.completions if record.asked == (0, offset)]
        return only

    def dead(self, offset: int) -> list[Record]:
        wanted = str(offset)
        return [d for d in self.dead_letters if d.header("__dlq.errors.offset") == wanted]


async def _ask(servers: str, topics: Topics, rows: dict[str, Row], **flags: Any) -> Outcome:
    """A good question before and after each, in its partition and with its key."""
    outcome = Outcome(topic=topics.create("questions", 1, {"max.message.bytes": str(4 * MIB)}))
    async with model_server() as models:
        serve = serving(servers, topics, "openai/ok", models.api_base, **flags)
        async with serve as (_, talk):
            for name, row in rows.items():
                await talk.ask(ASKED, row.key)
                outcome.offsets[name] = await talk.ask(_bytes(row), row.key, row.headers)
                outcome.sent = 1 + await talk.ask(ASKED, row.key)
            await talk.completions(outcome.sent)
        # The service has stopped, so whatever it had to say is written.
        async with conversation(talk.kafka, talk.topics) as reader:
            await reader.to_the_end()
            outcome.completions, outcome.dead_letters = reader.completed, reader.dead
            outcome.tokens = reader.tokens
            outcome.committed = await reader.committed()
    return outcome


def _bytes(row: Row) -> bytes | None:
    return json.dumps(row.value).encode() if isinstance(row.value, dict) else row.value


@pytest.fixture(scope="module")
def outcome(
    bootstrap_servers: str, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> Iterator[Outcome]:
    topics = Topics(f"bad-input-{secrets.token_hex(4)}-", kafka_admin, session_loop)
    yield asyncio.run(
        _ask(bootstrap_servers, topics, BAD | EXPIRED | GOOD, duplicates={"window_ms": 0})
    )
    session_loop(kafka_admin.delete_topics(topics.created))


def test_every_record_has_one_completion(outcome: Outcome) -> None:
    assert sorted(offset for _, offset in (c.asked for c in outcome.completions)) == list(
        range(outcome.sent)
    )


def test_every_record_is_committed(outcome: Outcome) -> None:
    assert outcome.committed == {0: outcome.sent}


@pytest.mark.parametrize("name", BAD | EXPIRED | GOOD)
def test_the_neighbours_are_answered(outcome: Outcome, name: str) -> None:
    offset = outcome.offsets[name]

    for neighbour in (outcome.completion(offset - 1), outcome.completion(offset + 1)):
        assert (neighbour["status"], neighbour["answer"]) == ("completed", "You said ?")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_fails(outcome: Outcome, name: str) -> None:
    offset = outcome.offsets[name]
    place = f"{outcome.topic}/0/{offset}"

    completion = outcome.completion(offset)

    assert completion["question_id"] == (BAD[name].question_id or place)
    assert (completion["status"], completion["attempts"]) == ("failed", 0)
    assert completion["error"]["kind"] == "RECORD"
    assert completion["outputs"] is None
    assert completion["dead_letter"] == {"topic": outcome.dead_letters[0].topic}
    _understandable(completion["error"]["message"])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_dead_lettered_whole(outcome: Outcome, name: str) -> None:
    offset, row = outcome.offsets[name], BAD[name]

    [letter] = outcome.dead(offset)

    assert (letter.partition, letter.key, letter.value) == (0, row.key, _bytes(row))
    assert letter.headers[: len(row.headers)] == tuple(row.headers)
    assert letter.header("__dlq.errors.topic") == outcome.topic
    assert letter.header("__dlq.errors.partition") == "0"
    assert letter.header("__dlq.errors.group") == outcome.completion(offset)["source"]["group"]
    assert letter.header("__dlq.errors.delivery.count") == "0"
    assert letter.header("penstock-error-kind") == "RECORD"
    error = outcome.completion(offset)["error"]
    assert letter.header("penstock-error-code") == error["code"]
    assert letter.header("__dlq.errors.message") == error["message"]
    assert letter.header("penstock-error-stage") == "decode"
    datetime.fromisoformat(letter.header("penstock-error-at"))


@pytest.mark.parametrize("name", EXPIRED)
def test_a_question_that_has_expired_is_not_asked(outcome: Outcome, name: str) -> None:
    offset = outcome.offsets[name]

    completion = outcome.completion(offset)

    assert (completion["question_id"], completion["status"]) == ("n", "expired")
    assert (completion["error"]["kind"], completion["attempts"]) == ("DEADLINE", 0)
    [letter] = outcome.dead(offset)
    assert letter.value == _bytes(EXPIRED[name])
    assert letter.header("penstock-error-stage") == "waiting"


@pytest.mark.parametrize("name", GOOD)
def test_what_is_legal_is_answered(outcome: Outcome, name: str) -> None:
    offset, row = outcome.offsets[name], GOOD[name]
    place = f"{outcome.topic}/0/{offset}"

    completion = outcome.completion(offset)

    assert completion["question_id"] == (row.question_id or place)
    assert (completion["status"], completion["answer"]) == ("completed", "You said ?")
    assert not outcome.dead(offset)


def test_answers_have_the_key_of_their_question(outcome: Outcome) -> None:
    rows = BAD | EXPIRED | GOOD
    keys = {offset: rows[name].key for name, offset in outcome.offsets.items()}

    for record in outcome.completions:
        key = keys.get(record.asked[1])
        if key is not None and len(key) < MIB:
            assert record.key == key


def test_nothing_else_is_dead_lettered(outcome: Outcome) -> None:
    assert len(outcome.dead_letters) == len(BAD) + len(EXPIRED)


async def test_expired_questions_need_no_dead_letter(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        serving(
            bootstrap_servers,
            topics,
            "openai/ok",
            models.api_base,
            deadline={"dead_letter": False},
        ) as (_, talk),
    ):
        await talk.ask({"id": "late", "expires_at": LONG_AGO, **ASKED}, KEY)
        await talk.ask({"id": "next", **ASKED}, KEY)
        late, following = await talk.completion("late"), await talk.completion("next")
        await talk.to_the_end()

        assert (late["status"], late["dead_letter"]) == ("expired", None)
        assert following["status"] == "completed"
        assert not talk.dead
        assert len(models.calls) == 1


def _understandable(message: str) -> None:
    """A sentence, not the text of an exception."""
    assert 10 < len(message) < 300
    assert " " in message
    assert "\n" not in message
    for jargon in ("Traceback", "orjson", "pydantic", "Error(", "NoneType"):
        assert jargon not in message
