"""What can be asked of a question and its recorded completion, or of a dead letter?"""

from typing import Any

from penstock.errors import RecordError
from penstock.events import dead_letter
from penstock.events.again import redrives
from penstock.events.envelope import text_header
from penstock.events.question import Question
from penstock.kafka.codec import Codec, Raw
from penstock.kafka.completed import json_object
from penstock.replay.where import UNANSWERED

LENIENT = Codec(
    programs={},
    default_program="",
    ordering="none",
    max_timeout=0.0,
    id_characters=1 << 20,
    metadata_bytes=1 << 30,
    value_bytes=1 << 30,
    forward=frozenset(),
)
"""It reads whatever the service with its own bounds may have read."""


def question(record: Raw) -> Question | None:
    """None where it cannot be read."""
    try:
        return LENIENT.question(record)
    except RecordError:
        return None


def of_question(
    record: Raw, completion: dict[str, Any] | None, default_program: str
) -> dict[str, Any]:
    """See `penstock.replay.where` for its fields."""
    if completion is None:
        return {**_asked(record, default_program), "status": UNANSWERED}
    program = completion.get("program")
    program = program if isinstance(program, dict) else {}
    asked = {} if program else _asked(record, default_program)
    return {
        "id": completion.get("question_id"),
        "key": _key(record),
        "program": program.get("name") or asked.get("program"),
        "version": program.get("version"),
        "metadata": completion.get("metadata") or {},
        "status": completion.get("status"),
        "error": completion.get("error") or {},
        "model": completion.get("model"),
    }


def of_dead_letter(record: Raw, default_program: str) -> dict[str, Any]:
    """See `penstock.replay.where` for its fields."""
    return {
        **_asked(record, default_program),
        "kind": text_header(record.headers, "penstock-error-kind"),
        "code": text_header(record.headers, "penstock-error-code"),
        "stage": text_header(record.headers, "penstock-error-stage"),
        "group": (*dead_letter.origin(record.headers), *[None] * 4)[3],
        "redrives": redrives(record.headers),
    }


def _asked(record: Raw, default_program: str) -> dict[str, Any]:
    asked = question(record)
    if asked is None:
        return _refused(record)
    return {
        "id": asked.id or _own_id(record),
        "key": _key(record),
        "program": asked.program or default_program,
        "metadata": asked.metadata or {},
    }


def _refused(record: Raw) -> dict[str, Any]:
    """What it says of itself all the same that could not be asked."""
    body = json_object(record.value)
    id_, program, metadata = (body.get(name) for name in ("id", "program", "metadata"))
    return {
        "id": id_ if isinstance(id_, str) and id_ else _own_id(record),
        "key": _key(record),
        "program": program if isinstance(program, str) else None,
        "metadata": metadata if isinstance(metadata, dict) else {},
    }


def _own_id(record: Raw) -> str:
    """As the service names what has no id; of a dead letter, by where the question was."""
    origin = dead_letter.origin(record.headers)
    where = origin[:3] if origin else (record.topic, str(record.partition), str(record.offset))
    return text_header(record.headers, "ce_id") or "/".join(where)


def _key(record: Raw) -> str | None:
    return None if record.key is None else record.key.decode(errors="replace")
