"""The questions of late, one row each."""

import asyncio
from collections.abc import Callable, Iterable
from heapq import nlargest
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from penstock.gateway.described import COMMON, example
from penstock.gateway.index import Entry
from penstock.gateway.parts import Gateway, Who

AROUND = 1_000
"""Entries more than are wanted, of which the newest are taken: as long as the index was built from
several partitions its order is about that of time.
"""

AT_ONCE = 2_000
"""Entries that are looked at before others have their turn: of 100,000 all may be unwanted."""

router = APIRouter(prefix="/v1", tags=["console"])

StatusSeen = Literal[
    "queued", "running", "completed", "failed", "expired", "cancelled", "duplicate"
]


class Recent(BaseModel):
    """Times in Unix milliseconds."""

    model_config = example(
        id="6f1c",
        status="completed",
        program="qa",
        asked_at=1_795_434_000_123,
        first_token_at=1_795_434_000_890,
        first_token_ms=612.4,
        duration_ms=1_204.9,
        partition=2,
        offset=118,
        code=None,
    )

    id: str
    status: StatusSeen
    program: str
    asked_at: int
    first_token_at: int | None = Field(description="The first token event; null: there is none.")
    first_token_ms: float | None = Field(
        description="From its first start, as its completion says; null before it has ended."
    )
    duration_ms: float | None = Field(description="As `first_token_ms`.")
    partition: int
    offset: int
    code: str | None = Field(description="Of its error.")


class Recents(BaseModel):
    questions: list[Recent] = Field(description="The newest first.")


@router.get("/recent-questions", response_description="The newest first.", responses=COMMON)
async def recent_questions(
    gateway: Gateway,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    status: Annotated[StatusSeen | None, Query()] = None,
    program: Annotated[str | None, Query(max_length=256)] = None,
) -> Recents:
    """Those that this caller may ask, as far as the gateway looks back."""
    default = gateway.questions.default_program

    def wanted(entry: Entry) -> bool:
        named = entry.program or default
        return (
            (status is None or entry.status == status)
            and (program is None or named == program)
            and who.may_ask(named)
        )

    found = await newest(gateway.questions.index, wanted, limit)
    return Recents(questions=[_row(entry, default) for entry in found])


async def newest(
    entries: Iterable[Entry], wanted: Callable[[Entry], bool], limit: int
) -> list[Entry]:
    """So many at most, the newest first. `entries`: about in that order."""
    # Others come meanwhile.
    there = list(entries)
    found: list[Entry] = []
    for start in range(0, len(there), AT_ONCE):
        found += filter(wanted, there[start : start + AT_ONCE])
        if len(found) >= limit + AROUND:
            break
        await asyncio.sleep(0)
    return nlargest(limit, found[: limit + AROUND], key=lambda entry: entry.timestamp)


def _row(entry: Entry, default: str) -> Recent:
    end = entry.ended
    return Recent(
        id=entry.question_id,
        status=entry.status,
        program=entry.program or default,
        asked_at=entry.timestamp,
        first_token_at=entry.first_at,
        first_token_ms=None if end is None else end.first_token_ms,
        duration_ms=None if end is None else end.duration_ms,
        partition=entry.place.partition,
        offset=entry.place.offset,
        code=None if end is None else end.code,
    )
