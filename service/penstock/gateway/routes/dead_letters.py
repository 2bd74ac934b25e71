"""What could not be answered, why, and once more."""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from penstock.gateway.described import COMMON, example
from penstock.gateway.parts import Gateway, Operator
from penstock.gateway.problem import problems
from penstock.replay.where import Condition

router = APIRouter(prefix="/v1/dead-letters", tags=["console"], dependencies=[Operator])

Partition = Annotated[int, Path(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Path(ge=0, le=2**63 - 1)]
Before = Annotated[
    str | None,
    Query(
        pattern="^[0-9]{1,9}-[0-9]{1,18}(,[0-9]{1,9}-[0-9]{1,18})*$",
        max_length=12_000,
        description="What the page before has said as `next`.",
    ),
]
Kind = Literal["RECORD", "ANSWER", "UPSTREAM", "OPERATOR", "DEADLINE", "CANCELLED"]
Word = Annotated[str | None, Query(max_length=256)]

UNKNOWN = problems(
    404,
    title="Not Found",
    status=404,
    code="unknown_dead_letter",
    detail="2/117: is gone: the first one that the retention has left is 230",
)
TAKEN = problems(
    409,
    title="Conflict",
    status=409,
    code="redriven_before",
    detail="it was put back to the questions before: it is penstock.questions 2/118",
    question={"topic": "penstock.questions", "partition": 2, "offset": 118},
)


LETTER: dict[str, Any] = {
    "partition": 2,
    "offset": 117,
    "at": 1_795_434_000_123,
    "question_id": "6f1c",
    "kind": "UPSTREAM",
    "code": "model_error",
    "message": "the model is away",
    "attempts": 5,
    "redrives": 0,
    "program": "qa",
}
"""An example."""


class LetterSeen(BaseModel):
    """A dead letter, in a list."""

    model_config = example(**LETTER)

    partition: int
    offset: int
    at: int = Field(description="When it was given up, in Unix milliseconds.")
    question_id: str
    kind: str | None = Field(description="Who has to act; null: it is none of ours.")
    code: str | None
    message: str | None = Field(description="Its first 500 characters.")
    attempts: int = Field(description="How often the program was started, as far as is told.")
    redrives: int = Field(description="How often it had been put back when it failed again.")
    program: str | None


class Letters(BaseModel):
    dead_letters: list[LetterSeen] = Field(description="The newest first.")
    next: str | None = Field(
        description="`before` of the page with older ones; null: there are none. A page may be "
        "short and have a next one: of a long search it says what was found so far."
    )


class Text(BaseModel):
    text: str


class Bytes(BaseModel):
    """What is not UTF-8."""

    base64: str


class LetterSource(BaseModel):
    """The question that it was."""

    topic: str
    partition: int
    offset: int
    group: str = Field(description="Whose service has given it up.")


class LetterWhole(LetterSeen):
    """A dead letter, as it stands there."""

    model_config = example(
        **LETTER,
        stage="running",
        tried=[
            {"attempt": 5, "kind": "UPSTREAM", "code": "model_error", "at": "2026-11-23T11:40Z"}
        ],
        key=None,
        value={"text": '{"question": "Why?"}'},
        headers=[["ce_id", {"text": "6f1c"}]],
        source={"topic": "penstock.questions", "partition": 2, "offset": 42, "group": "penstock"},
    )

    message: str | None = Field(description="All of it.")
    stage: str | None
    tried: list[dict[str, Any]] = Field(description="Attempts that failed: kind, code, at.")
    key: Text | Bytes | None
    value: Text | Bytes | None
    headers: list[tuple[str, Text | Bytes | None]]
    source: LetterSource | None = Field(description="Null: no header of ours says it.")


class QuestionAgain(BaseModel):
    topic: str
    partition: int
    offset: int
    id: str


class Redriven(BaseModel):
    model_config = example(
        question={"topic": "penstock.questions", "partition": 2, "offset": 118, "id": "6f1c"}
    )

    question: QuestionAgain


@router.get("", response_description="The newest first.", responses=COMMON)
async def dead_letters(
    gateway: Gateway,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Before = None,
    code: Word = None,
    kind: Annotated[Kind | None, Query()] = None,
    program: Word = None,
) -> Letters:
    """The newest ones, or those before."""
    asked = {"code": code, "kind": kind, "program": program}
    conditions = tuple(Condition(name, value) for name, value in asked.items() if value is not None)
    ends = None if before is None else _ends(before)
    page = await gateway.desk.letters.newest(conditions, limit, ends)
    return Letters(dead_letters=[LetterSeen(**row) for row in page.found], next=_next(page.ends))


@router.get(
    "/{partition}/{offset}", response_description="As it stands there.", responses=COMMON | UNKNOWN
)
async def dead_letter(partition: Partition, offset: Offset, gateway: Gateway) -> LetterWhole:
    """One of them, whole."""
    found = await gateway.desk.letters.one(partition, offset)
    shown = {name: _shown(found[name]) for name in ("key", "value")}
    headers = [(name, _shown(value)) for name, value in found["headers"]]
    return LetterWhole(**{**found, **shown, "headers": headers})


@router.post(
    "/{partition}/{offset}/redrive",
    response_description="Where it went.",
    responses=COMMON | UNKNOWN | TAKEN,
)
async def redrive_dead_letter(partition: Partition, offset: Offset, gateway: Gateway) -> Redriven:
    """Puts it back to the questions, in one transaction, if it was not put back before. It stays
    among the dead letters.
    """
    went, question_id = await gateway.desk.letters.redrive(partition, offset)
    return Redriven(question=QuestionAgain(**went._asdict(), id=question_id))


def _ends(before: str) -> dict[int, int]:
    pairs = (one.split("-") for one in before.split(","))
    return {int(partition): int(offset) for partition, offset in pairs}


def _next(ends: Any) -> str | None:
    return ",".join(f"{number}-{end}" for number, end in sorted(ends.items())) or None


def _shown(value: str | bytes | None) -> Text | Bytes | None:
    match value:
        case None:
            return None
        case str():
            return Text(text=value)
        case _:
            return Bytes(base64=base64.b64encode(value).decode())
