"""What does a question look like over HTTP? As it is asked, and as it stands."""

from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

from penstock.events.completion import Completion
from penstock.events.question import ONE_OF, Question
from penstock.gateway.index import Entry, Status

ASKED: dict[str, Any] = {"question": "Why is the sky blue?"}

COMPLETION: dict[str, Any] = {
    "type": "completion",
    "question_id": "b0a6f3c2",
    "status": "completed",
    "answer": "Short waves scatter more.",
    "outputs": {"answer": "Short waves scatter more."},
    "error": None,
    "program": {"name": "qa", "version": "5f1c09a7be32"},
    "model": "openai/gpt-4o-mini",
    "usage": {"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30, "estimated": False},
    "attempts": 1,
    "timing": {"queued_ms": 4.1, "first_token_ms": 182.0, "duration_ms": 611.0},
    "last_sequence": 6,
    "source": {
        "topic": "penstock.questions",
        "partition": 0,
        "offset": 41,
        "timestamp": 1767225600000,
        "group": "penstock",
    },
}

STANDING: dict[str, Any] = {"id": "b0a6f3c2", "status": "queued"}

VIEW: dict[str, Any] = {
    "id": "b0a6f3c2",
    "status": "completed",
    "program": "qa",
    "asked_at": 1767225600000,
    "partition": 0,
    "offset": 41,
    "first_token_at": 1767225600186,
    "completion": COMPLETION,
}


class Ask(Question):
    """A question, and the key by which it stands in line."""

    model_config = ConfigDict(title="Ask", json_schema_extra={**ONE_OF, "examples": [ASKED]})

    key: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Questions of one key are answered one after the other."
    )

    @property
    def asked(self) -> Question:
        """Without its key, which is the record's."""
        said = {name: getattr(self, name) for name in Question.model_fields}
        return Question.model_validate(said)


class Standing(BaseModel):
    """Which question it is, and how far it has come."""

    model_config = ConfigDict(json_schema_extra={"examples": [STANDING]})

    id: str
    status: Status = Field(description="`running` from its first token event on.")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(id=entry.question_id, status=entry.status)


class View(Standing):
    """All that is known of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [VIEW]})

    program: str | None = Field(description="Null where it names none and has not ended.")
    asked_at: int = Field(description="The timestamp of its record, in Unix milliseconds.")
    partition: int
    offset: int
    first_token_at: int | None = Field(
        description="When its first token event was written, in Unix milliseconds; of one that had "
        "ended before this gateway started, when the model began to speak."
    )
    completion: Completion | None = Field(description="As on its topic; null until it has ended.")


def view(entry: Entry, completion: bytes | None) -> bytes:
    """A `View` as JSON. `completion`: as it stands in its topic."""
    return orjson.dumps(
        {
            "id": entry.question_id,
            "status": entry.status if completion is None else orjson.loads(completion)["status"],
            "program": entry.program,
            "asked_at": entry.timestamp,
            "partition": entry.place.partition,
            "offset": entry.place.offset,
            "first_token_at": _first_token_at(entry),
            "completion": None if completion is None else orjson.Fragment(completion),
        }
    )


def _first_token_at(entry: Entry) -> int | None:
    ended = entry.ended
    if entry.first_at is not None or ended is None:
        return entry.first_at
    if ended.first_token_ms is None or ended.duration_ms is None:
        return None
    return round(ended.at - ended.duration_ms + ended.first_token_ms)
