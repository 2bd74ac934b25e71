"""What was asked again, and how its answers compare."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from penstock.gateway.described import COMMON, example, model
from penstock.gateway.leaving import while_there
from penstock.gateway.parts import Gateway, Operator
from penstock.gateway.problem import ProblemError, problems
from penstock.gateway.unless import unless

router = APIRouter(prefix="/v1/replays", tags=["console"], dependencies=[Operator])


class Progress(BaseModel):
    done: int
    over: bool


class ReplaySeen(BaseModel):
    """As its plan says."""

    model_config = example(
        id="monday",
        created_at=1_795_434_000_123,
        questions="penstock.questions",
        completions="penstock.replay.monday.completions",
        program=None,
        model="large",
        total=1_000,
        progress={"done": 250, "over": False},
    )

    id: str
    created_at: int = Field(description="Unix milliseconds.")
    questions: str = Field(description="The topic they stand in.")
    completions: str = Field(description="The topic where they end.")
    program: str | None = Field(description="That answers them all; null: each its own.")
    model: str | None = Field(description="That is asked; null: each its own.")
    total: int = Field(description="Questions, at most.")
    progress: Progress | None = Field(
        description="Of the last ones; null of the others, and where it is not to be seen."
    )


class Replays(BaseModel):
    replays: list[ReplaySeen] = Field(description="The newest first, a hundred at most.")


class Durations(BaseModel):
    p50: float | None
    p90: float | None
    mean: float | None


class Both(BaseModel):
    """Milliseconds, of the questions that were answered both times."""

    questions: int
    original: Durations
    replay: Durations


class UsageOfBoth(BaseModel):
    """Tokens of the model; `ratio`: the replay's to the original's."""

    questions: int
    original: dict[str, int]
    replay: dict[str, int]
    ratio: dict[str, float | None]


class Summary(BaseModel):
    """As the last line of `penstock compare --output json`."""

    type: Literal["summary"]
    replay: str
    questions: int
    outcomes: dict[str, int] = Field(
        description="`equal`, `changed`, `newly_failed`, `newly_fixed`, `both_failed`, "
        "`original_unanswered`."
    )
    not_replayed: int
    programs: dict[str, dict[str, int]]
    duration_ms: Both
    first_token_ms: Both
    usage: UsageOfBoth


class Difference(BaseModel):
    """As a line of `penstock compare --output json`: both completions, as they stand there."""

    type: Literal["question"]
    outcome: str
    question_id: str
    partition: int
    offset: int
    fields: list[str] = Field(description="Outputs that differ, where it was answered both times.")
    scores: None = None
    inputs: dict[str, Any] | None
    original: dict[str, Any] | None
    replay: dict[str, Any]


class Comparison(BaseModel):
    summary: Summary
    questions: list[Difference] = Field(description="Those whose answers are not equal.")
    more: int = Field(description="Of these, the ones that are not shown.")
    cut_off: Literal["time", "memory"] | None = Field(
        description="Why not all was compared; null: it was. `penstock compare` has no such bounds."
    )


@router.get("", response_description="The newest first.", responses=COMMON)
async def replays(gateway: Gateway) -> Replays:
    """Those that the control topic knows."""
    found = await gateway.desk.replays.latest()
    return Replays(replays=[ReplaySeen.model_validate(one) for one in found])


@router.get(
    "/{replay_id}/compare",
    response_description="What is equal, and what is not.",
    responses=model(Comparison) | COMMON | problems(404, 429),
)
async def compare_replay(
    replay_id: Annotated[str, Path(pattern="^[A-Za-z0-9._-]{1,100}$")],
    request: Request,
    gateway: Gateway,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
) -> Response:
    """Its answers beside the original ones. It reads all of both; one at a time here."""
    work = gateway.desk.replays.compare(replay_id, limit)
    cut_short = ProblemError(503, "cut_short", "the gateway stops; ask again")
    found = await while_there(request, unless(gateway.stopping, work, cut_short))
    return Response(found, media_type="application/json")
