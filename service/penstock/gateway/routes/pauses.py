"""Nothing new starts here: asked of all members, as `penstock pause` does."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from penstock.core.halts import Scope
from penstock.gateway.described import BODY, COMMON, example
from penstock.gateway.parts import Gateway, Operator
from penstock.gateway.problem import ProblemError, problems
from penstock.gateway.reach import in_problems
from penstock.kafka import control, describe
from penstock.kafka.admin import admin

router = APIRouter(prefix="/v1/pauses", tags=["console"], dependencies=[Operator])

ScopeNamed = Annotated[
    str,
    Path(
        pattern="^(all|partition/(0|[1-9][0-9]{0,8})|program/.{1,256})$",
        description="`all`, `partition/3` or `program/qa`.",
        examples=["all", "partition/3", "program/qa"],
    ),
]


class Why(BaseModel):
    model_config = example(reason="the provider is being moved")

    reason: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="For the log, and whoever asks why."
    )


class PauseAsked(BaseModel):
    """All members were asked; what was running ends as ever."""

    model_config = example(scope="partition/3")

    scope: str


@router.post(
    "/{scope:path}",
    status_code=202,
    response_description="All members were asked.",
    responses=COMMON
    | BODY
    | problems(
        404,
        title="Not Found",
        status=404,
        code="unknown_partition",
        detail="the questions have the partitions 0 to 7",
    ),
)
async def pause(scope: ScopeNamed, gateway: Gateway, why: Why | None = None) -> PauseAsked:
    """Lets nothing new of this start. Once more says another reason."""
    meant = Scope.named(scope)
    reach = gateway.desk.reach
    with in_problems(reach.topics.control):
        if meant.partition is not None:
            async with admin(reach.client) as connection:
                count = await describe.partitions(connection, reach.topics.questions)
            if count is not None and meant.partition >= count:
                raise ProblemError(
                    404, "unknown_partition", f"the questions have the partitions 0 to {count - 1}"
                )
        reason = None if why is None else why.reason
        await control.pause(reach.client, reach.topics.control, [meant], reason, reach.clock)
    return PauseAsked(scope=scope)


@router.delete(
    "/{scope:path}",
    status_code=202,
    response_description="All members were asked.",
    responses=COMMON,
)
async def resume(scope: ScopeNamed, gateway: Gateway) -> PauseAsked:
    """Lets it start again, whether it was paused or not."""
    reach = gateway.desk.reach
    with in_problems(reach.topics.control):
        await control.resume(reach.client, reach.topics.control, [Scope.named(scope)], reach.clock)
    return PauseAsked(scope=scope)
