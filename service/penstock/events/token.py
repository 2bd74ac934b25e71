"""What is being said: the records of the tokens topic."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, RootModel

from penstock.events.completion import CompletionStatus
from penstock.events.text import whole_characters


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore")

    question_id: str
    sequence: Annotated[int, Field(ge=0)] = Field(
        description="Starts at 0 and has no gaps, across attempts too."
    )
    attempt: Annotated[int, Field(ge=0)] = Field(
        description="Counts from 1; 0 where the question never started."
    )


class Token(_Event):
    """A piece of one field's text, in order."""

    type: Literal["token"] = "token"
    field: str
    text: str
    step: str = Field(description="The predictor's name in the program.")
    call: int = Field(description="0, 1, ... where a predictor runs more than once.")
    output: bool = Field(description="Whether the field is one of the program's outputs.")


class Restart(_Event):
    """Drop everything said before about this question."""

    type: Literal["restart"] = "restart"
    reason: str


class Progress(_Event):
    """A step or a tool call of the program, for people to read."""

    type: Literal["status"] = "status"
    text: str


class End(_Event):
    """The last event of a question."""

    type: Literal["end"] = "end"
    status: CompletionStatus


class TokenEvent(
    RootModel[Annotated[Token | Restart | Progress | End, Field(discriminator="type")]]
):
    """One record of the tokens topic. Readers skip types they do not know."""


def encode(kind: str, question_id: str, sequence: int, attempt: int, **body: Any) -> bytes:
    """The hot path: the same bytes as the models give, without building one per token."""
    event = {"type": kind, "question_id": question_id, "sequence": sequence, "attempt": attempt}
    try:
        return orjson.dumps(event | body)
    except TypeError:
        return orjson.dumps(event | {name: whole_characters(value) for name, value in body.items()})
