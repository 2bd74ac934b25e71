"""Bytes to questions. What cannot be one becomes a failure with a message for its author."""

import base64
import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from penstock.core.facts import RecordId
from penstock.core.failure import Failure, Kind
from penstock.errors import RecordError
from penstock.events.again import Redrive, Replay, redrive
from penstock.events.envelope import Headers, text_header
from penstock.events.question import Question
from penstock.events.trace_context import NAMES, carried

STRUCTURED = "application/cloudevents+json"
_BOM = b"\xef\xbb\xbf"
_QUOTED = 64
_FORWARDED_BYTES = 8 * 1024
_FLOAT_BITS = 1023


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as it came, kept for the dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def raw(record: ConsumerRecord) -> Raw:
    """Of the client's."""
    return Raw(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record and what it asks for."""

    record: RecordId
    raw: Raw
    question_id: str
    program: str | None
    lane: Hashable | None
    budget: float
    received_at: float
    """Unix seconds."""
    expires_at: float | None = None
    """Monotonic seconds."""
    question: Question | None = None
    failure: Failure | None = None
    forwarded: Headers = ()
    model: str = ""
    """That its program asks, by its name in the settings."""
    redrive: Redrive | None = None
    """What has made it a question again, where it was a dead letter."""
    replay: Replay | None = None
    """What asks it again, where it was asked before."""
    again_at: int | None = None
    """When the replay began, in Unix milliseconds."""
    marks: Headers = ()
    """On all that is said of it, and on its dead letter."""
    trace: Headers = ()
    """As above: of which trace it is."""

    @property
    def timestamp(self) -> int:
        """Of the record, in Unix milliseconds; -1 where it has none."""
        return self.raw.timestamp_ms

    @property
    def own_id(self) -> bool:
        """Whether its id says nothing of whether it was asked before: we gave it, or it cannot be
        asked at all, or it is asked again on purpose.
        """
        again = self.redrive is not None or self.replay is not None
        return again or self.question is None or self.question.id is None

    @property
    def asked_at(self) -> int:
        """The timestamp, but never in the future, or when it was asked again; Unix milliseconds."""
        if self.again_at is not None:
            return self.again_at
        now = int(self.received_at * 1000)
        return min(self.raw.timestamp_ms, now) if self.raw.timestamp_ms >= 0 else now

    @property
    def streams(self) -> bool:
        return self.question is None or self.question.stream


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a program needs of a question, and the model it asks. `budget` in seconds."""

    inputs: frozenset[str]
    budget: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class Codec:
    """Decodes records by an operator's bounds. Times in seconds.

    `program` answers whatever a question asks for; without `deadlines` no question has one of its
    own.
    """

    programs: Mapping[str, Expectation]
    default_program: str
    ordering: Literal["key", "partition", "none"]
    max_timeout: float
    id_characters: int
    metadata_bytes: int
    value_bytes: int
    forward: frozenset[str]
    program: str | None = None
    deadlines: bool = True

    def decode(self, record: RecordId, raw: Raw, monotonic: float, wall: float) -> Delivery:
        """Never raises: what is wrong with the record is the delivery's `failure`."""
        fallback = text_header(raw.headers, "ce_id") or f"{raw.topic}/{raw.partition}/{raw.offset}"
        if len(fallback) > self.id_characters:
            fallback = f"{raw.topic}/{raw.partition}/{raw.offset}"
        known: dict[str, Any] = {
            "record": record,
            "raw": raw,
            "lane": self._lane(raw),
            "received_at": wall,
            "forwarded": self._forwarded(raw),
            "trace": carried(raw.headers),
            "redrive": (redriven := redrive(raw.headers)),
        }
        try:
            question = self.question(raw)
            program = self.program or question.program or self.default_program
            expectation = self._expectation(question, program)
        except RecordError as error:
            failure = Failure(Kind.RECORD, error.code, error.message, "decode")
            readable = error.question_id or fallback
            return Delivery(
                **known,
                question_id=fallback if len(readable) > self.id_characters else readable,
                program=None,
                budget=0.0,
                failure=failure,
            )
        # The time of who asked first is over.
        expires_at = None
        if redriven is None and self.deadlines:
            expires_at = self._expires_at(question, raw.timestamp_ms / 1000, wall)
        return Delivery(
            **known,
            question=question,
            question_id=question.id or fallback,
            program=program,
            budget=expectation.budget,
            model=expectation.model,
            expires_at=None if expires_at is None else monotonic + (expires_at - wall),
        )

    def _forwarded(self, raw: Raw) -> Headers:
        """Nothing where they are too long to be repeated in every event."""
        wanted = self.forward - NAMES
        found = tuple(pair for pair in raw.headers if pair[0] in wanted)
        size = sum(len(name) + len(value or b"") for name, value in found)
        return found if size <= _FORWARDED_BYTES else ()

    def _lane(self, raw: Raw) -> Hashable | None:
        if self.ordering == "partition":
            return "partition"
        return raw.key if self.ordering == "key" else None

    def question(self, raw: Raw) -> Question:
        """Raises RecordError. Whether there is such a program is not looked at."""
        value = raw.value
        if value is None:
            raise RecordError("tombstone", "the record has no value; a question is JSON or text")
        if not value:
            raise RecordError("empty_value", "the value is empty; a question is JSON or text")
        if len(value) > self.value_bytes:
            raise RecordError(
                "value_too_large",
                f"the value has {len(value)} bytes; the bound is {self.value_bytes}",
            )
        content_type = (
            (text_header(raw.headers, "content-type") or "").partition(";")[0].strip().lower()
        )
        if content_type == "text/plain":
            body: dict[str, Any] = {"question": _text(value)}
        elif content_type == STRUCTURED:
            body = _structured(_json_object(value))
        else:
            body = _json_object(value)
        header_id = text_header(raw.headers, "ce_id")
        if body.get("id") is None and header_id:
            body["id"] = header_id
        expiry = text_header(raw.headers, "ce_expirytime")
        if body.get("expires_at") is None and expiry:
            body["expires_at"] = expiry
        return self._validated(body)

    def _validated(self, body: dict[str, Any]) -> Question:
        question_id = body.get("id")
        readable = question_id if isinstance(question_id, str) else None
        if readable is not None and len(readable) > self.id_characters:
            raise RecordError(
                "invalid_field",
                f"id: {len(readable)} characters; the bound is {self.id_characters}",
            )
        try:
            question = Question.model_validate(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"] if part != "datetime")
            what = first["msg"].removeprefix("Value error, ")
            message = f"{where}: {what}" if where else what
            raise RecordError("invalid_field", message, readable) from error
        if question.expires_at is not None and question.expires_at.tzinfo is None:
            raise RecordError("invalid_field", "expires_at: has no offset from UTC", readable)
        if question.metadata is not None:
            self._bound_metadata(question.metadata, readable)
        return question

    def _bound_metadata(self, metadata: dict[str, Any], question_id: str | None) -> None:
        try:
            size = len(orjson.dumps(metadata))
        except orjson.JSONEncodeError as error:
            raise RecordError("too_deep", "metadata: is nested too deep", question_id) from error
        if size > self.metadata_bytes:
            raise RecordError(
                "metadata_too_large",
                f"metadata: {size} bytes as JSON; the bound is {self.metadata_bytes}",
                question_id,
            )

    def _expectation(self, question: Question, program: str) -> Expectation:
        expectation = self.programs.get(program)
        if expectation is None:
            raise RecordError(
                "unknown_program",
                f"program: {_short(program)!r} is not served here "
                f"(served: {', '.join(self.programs)})",
                question.id,
            )
        if missing := sorted(expectation.inputs - question.fields.keys()):
            raise RecordError(
                "missing_input",
                f"inputs: the program {program!r} also needs {', '.join(missing)}",
                question.id,
            )
        return expectation

    def _expires_at(self, question: Question, asked_at: float, now: float) -> float | None:
        """Unix seconds. A record's timestamp in the future, or none (-1), counts as now."""
        asked_at = min(asked_at, now) if asked_at >= 0 else now
        moments = []
        if question.timeout_ms is not None:
            moments.append(asked_at + question.timeout_ms / 1000)
        if question.expires_at is not None:
            moments.append(question.expires_at.timestamp())
        return min(*moments, asked_at + self.max_timeout) if moments else None


def _text(value: bytes) -> str:
    try:
        return value.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise RecordError(
            "not_utf8", f"the value is not UTF-8: byte {error.start} cannot be decoded"
        ) from error


def _json_object(value: bytes) -> dict[str, Any]:
    text = _text(value)
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _what_is_wrong(text) from None
    if not isinstance(body, dict):
        raise RecordError("not_an_object", f"the value is JSON, but {_a(body)} and not an object")
    return body


def _what_is_wrong(text: str) -> RecordError:
    """Reads again, slower and more leniently, for the sake of the message and the id."""
    try:
        body = json.loads(text)
    except RecursionError:
        return RecordError("too_deep", "the JSON is nested too deep")
    except ValueError as error:
        return RecordError("not_json", f"the value is not JSON: {error}")
    code, message = "too_deep", "the JSON is nested too deep"
    waiting = [("the value", body)]
    while waiting:
        where, item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend((where, key) for key in item)
            waiting.extend(item.items())
        elif isinstance(item, list):
            waiting.extend((where, inner) for inner in item)
        elif isinstance(item, float) and not math.isfinite(item):
            code, message = "not_json", f"{_short(where)}: {item} is not a number in JSON"
        elif isinstance(item, int) and item.bit_length() > _FLOAT_BITS:
            code, message = "not_json", f"{_short(where)}: is too large a number"
        elif isinstance(item, str) and not _encodable(item):
            code = "invalid_text"
            message = f"{_short(where)}: holds half of a surrogate pair, which is no character"
    question_id = body.get("id") if isinstance(body, dict) else None
    readable = isinstance(question_id, str) and _encodable(question_id)
    return RecordError(
        code, message if _encodable(message) else code, question_id if readable else None
    )


def _short(text: str) -> str:
    """What a record says goes into headers and events, which have less room than the record."""
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _a(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _structured(event: dict[str, Any]) -> dict[str, Any]:
    """A CloudEvent in structured mode (CloudEvents JSON Format 1.0.2)."""
    event_id = event.get("id")
    readable = event_id if isinstance(event_id, str) else None
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise RecordError("invalid_event", f"the CloudEvent has no {name}", readable)
    if "data" not in event and "data_base64" not in event:
        raise RecordError("invalid_event", "the CloudEvent has no data", readable)
    data = event.get("data")
    try:
        if data is None and isinstance(event.get("data_base64"), str):
            data = _json_object(base64.b64decode(event["data_base64"], validate=True))
    except (ValueError, RecordError) as error:
        raise RecordError("invalid_event", f"the CloudEvent's data: {error}", readable) from error
    if isinstance(data, str):
        data = {"question": data}
    if not isinstance(data, dict):
        raise RecordError("invalid_event", "the CloudEvent's data is not an object", readable)
    attributes = {"id": event_id, "expires_at": event.get("expirytime")}
    given = {name: value for name, value in data.items() if value is not None}
    return {name: value for name, value in attributes.items() if value is not None} | given
