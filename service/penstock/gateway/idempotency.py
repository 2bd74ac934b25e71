"""By which id does a question go that names none, but an `Idempotency-Key`?"""

import hashlib
from typing import Annotated

from fastapi import Header
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from penstock.events.question import Question
from penstock.gateway.caller import Caller
from penstock.gateway.problem import ProblemError

# Its bounds stand inside: FastAPI does not describe those of what may be missing.
_Key = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        pattern=r'^[!#-~]([ !#-~]*[!#-~])?$|^"[ !#-\[\]-~]+"$',
    ),
]

IdempotencyKey = Annotated[
    _Key | SkipJsonSchema[None],
    Header(
        description="Yours alone; in quotes or without. The same again, with the same body, is "
        "the same question and its answer."
    ),
]


def named(question: Question, idempotency_key: str | None, caller: Caller) -> Question:
    """With the id that its key gives it.

    Raises:
        ProblemError: (400) it has an id of its own as well.
    """
    if idempotency_key is None:
        return question
    if question.id is not None:
        raise ProblemError(
            400, "two_names", "both an id and an Idempotency-Key are given; choose one of them"
        )
    return question.model_copy(update={"id": named_by(caller, idempotency_key)})


def named_by(caller: Caller, idempotency_key: str) -> str:
    """The id of a question by an `Idempotency-Key`, which is its asker's alone."""
    # In quotes, as the draft has it, or without.
    name = idempotency_key.strip('"')
    said = f"{caller.subject}\0{name}"
    return f"idem-{hashlib.sha256(said.encode()).hexdigest()[:32]}"
