"""What is no question, without Kafka: each is refused with a code and a sentence for its author."""

import json
from base64 import b64encode
from typing import NamedTuple

import pytest

from penstock.core.failure import Kind
from penstock.events.envelope import Headers
from tests.support.decoding import NAME, PLAIN, STRUCTURED, Value, decode, event


class Bad(NamedTuple):
    value: Value
    code: str
    says: str
    question_id: str = NAME
    headers: Headers = ()


def field(wrong: str, says: str, code: str = "invalid_field") -> Bad:
    return Bad(f'{{"id": "n", "question": "?", {wrong}}}'.encode(), code, says, "n")


VALUES = {
    "tombstone": Bad(None, "tombstone", "no value"),
    "tombstone with an id": Bad(None, "tombstone", "no value", "c", (("ce_id", b"c"),)),
    "empty": Bad(b"", "empty_value", "empty"),
    "empty text": Bad(b"", "empty_value", "empty", headers=PLAIN),
    "only a BOM": Bad(b"\xef\xbb\xbf", "invalid_field", "question", headers=PLAIN),
    "over the bound": Bad(b"x" * 1_048_577, "value_too_large", "1048577 bytes"),
    "not UTF-8": Bad(b'{"question": "\xff"}', "not_utf8", "byte 14"),
    "text not UTF-8": Bad(b"\xff\xfe", "not_utf8", "byte 0", headers=PLAIN),
    "UTF-16": Bad('{"question": "?"}'.encode("utf-16"), "not_utf8", "byte 0"),
    "a surrogate in UTF-8": Bad(b'{"question": "\xed\xa0\x80"}', "not_utf8", "byte 14"),
    "not JSON": Bad(b"what is water?", "not_json", "Expecting value"),
    "half JSON": Bad(b'{"question": "?"', "not_json", "delimiter"),
    "two values": Bad(b'{"question": "?"} {}', "not_json", "Extra data"),
    "array": Bad(b"[]", "not_an_object", "an array"),
    "string": Bad(b'"?"', "not_an_object", "a string"),
    "number": Bad(b"7", "not_an_object", "a number"),
    "boolean": Bad(b"true", "not_an_object", "a boolean"),
    "null": Bad(b"null", "not_an_object", "null"),
    "deep": Bad(b'{"question": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "too_deep", "deep"),
    "surrogate in the question": Bad(
        b'{"id": "n", "question": "\\ud800"}', "invalid_text", "question: holds half of a", "n"
    ),
    "surrogate in the id": Bad(
        b'{"id": "\\ud800", "question": "?"}', "invalid_text", "id: holds half of a surrogate"
    ),
    "surrogate in a name": Bad(b'{"\\ud800": "?"}', "invalid_text", "surrogate"),
}

FIELDS = {
    "no question": Bad({"id": "n"}, "invalid_field", "neither question nor inputs", "n"),
    "question empty": Bad({"id": "n", "question": ""}, "invalid_field", "question: ", "n"),
    "question a number": Bad({"id": "n", "question": 7}, "invalid_field", "question: ", "n"),
    "question null": Bad({"id": "n", "question": None}, "invalid_field", "neither", "n"),
    "both": field('"inputs": {}', "both"),
    "inputs an array": Bad({"inputs": ["?"]}, "invalid_field", "inputs: "),
    "program a number": field('"program": 1', "program: "),
    "program unknown": Bad(
        {"id": "n", "question": "?", "program": "chess"},
        "unknown_program",
        "'chess' is not served here (served: qa, compare)",
        "n",
    ),
    # Programs are those of the settings: what a record names is looked up, and never imported.
    "program of Python": field('"program": "os:system"', "'os:system' is not", "unknown_program"),
    "program as a signature": field('"program": "a -> b"', "'a -> b' is not", "unknown_program"),
    "inputs missing": Bad(
        {"id": "n", "inputs": {"left": 1}, "program": "compare"}, "missing_input", "right", "n"
    ),
    "timeout negative": field('"timeout_ms": -1', "timeout_ms: "),
    "timeout zero": field('"timeout_ms": 0', "timeout_ms: "),
    "timeout a string": field('"timeout_ms": "9"', "timeout_ms: "),
    "timeout true": field('"timeout_ms": true', "timeout_ms: "),
    "timeout NaN": field('"timeout_ms": NaN', "timeout_ms: nan is not a", "not_json"),
    "timeout beyond floats": field(
        f'"timeout_ms": 1{"0" * 400}', "timeout_ms: is too large a number", "not_json"
    ),
    "expires_at no date": field('"expires_at": "tomorrow"', "expires_at: "),
    "expires_at a number": field('"expires_at": 9', "expires_at: "),
    "expires_at without offset": field('"expires_at": "2030-01-01T00:00:00"', "no offset"),
    "ce_expirytime no date": Bad(
        {"question": "?"}, "invalid_field", "expires_at: ", headers=(("ce_expirytime", b"soon"),)
    ),
    "id a number": Bad({"id": 7, "question": "?"}, "invalid_field", "id: "),
    "id empty": Bad({"id": "", "question": "?"}, "invalid_field", "id: "),
    "id long": Bad({"id": "i" * 300, "question": "?"}, "invalid_field", "id: 300 characters"),
    "ce_id long": Bad(
        {"question": "?"}, "invalid_field", "300 characters", headers=(("ce_id", b"i" * 300),)
    ),
    "stream a string": field('"stream": "no"', "stream: "),
    "metadata an array": field('"metadata": []', "metadata: "),
    "metadata large": Bad(
        {"id": "n", "question": "?", "metadata": {"a": "x" * 9_000}},
        "metadata_too_large",
        "the bound is 8192",
        "n",
    ),
    "metadata deep": Bad(
        {"id": "n", "question": "?", "metadata": json.loads('{"a":' * 500 + "1" + "}" * 500)},
        "too_deep",
        "metadata: ",
        "n",
    ),
    # What a record says must not make its dead letter larger than the topic takes.
    "program of a long name": Bad(
        {"id": "n", "question": "?", "program": "p" * 900_000}, "unknown_program", "not served", "n"
    ),
    "field of a long name": Bad(
        b'{"id": "n", "' + b"f" * 900_000 + b'": NaN}', "not_json", "is not a number", "n"
    ),
}

EVENTS = {
    "broken": Bad(b"{", "not_json", "Expecting"),
    "an array": Bad(b"[]", "not_an_object", "an array"),
    "without a type": Bad(event(type=None), "invalid_event", "no type", "e"),
    "without an id": Bad(event(id=None), "invalid_event", "no id"),
    "id a number": Bad(event(id=7), "invalid_event", "no id"),
    "without data": Bad(event(data=None), "invalid_event", "no data", "e"),
    "data an array": Bad(event(data=[]), "invalid_event", "not an object", "e"),
    "no base64": Bad(event(data=None, data_base64="%"), "invalid_event", "data: ", "e"),
    "base64 of no JSON": Bad(
        event(data=None, data_base64=b64encode(b"{").decode()), "invalid_event", "not JSON", "e"
    ),
    "wrong inside": Bad(event(data={"question": 7}), "invalid_field", "question: ", "e"),
}

BAD = {
    **VALUES,
    **FIELDS,
    **{f"event {name}": bad._replace(headers=STRUCTURED) for name, bad in EVENTS.items()},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_record_that_is_no_question_says_what_is_wrong_with_it(bad: Bad) -> None:
    delivery = decode(bad.value, bad.headers)

    failure = delivery.failure
    assert failure is not None
    assert (failure.kind, failure.code, failure.stage) == (Kind.RECORD, bad.code, "decode")
    assert bad.says in failure.message
    assert len(failure.message) <= 1_000
    assert delivery.question_id == bad.question_id
    assert delivery.question is None
    assert delivery.program is None
