"""What can be asked."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from penstock.events.member import Served
from penstock.gateway.described import COMMON, example
from penstock.gateway.parts import Gateway, Who

router = APIRouter(prefix="/v1", tags=["console"])


class ProgramSeen(Served):
    """As a member of the service reports it."""

    model_config = example(
        version="5f1c09a7be32",
        model="default",
        inputs=["question"],
        accepts=["question"],
        answer="answer",
        name="qa",
        default=True,
    )

    name: str
    default: bool = Field(description="Whether it answers who names none.")


class Programs(BaseModel):
    programs: list[ProgramSeen] = Field(
        description="By their names. Empty where no member has reported any."
    )


@router.get("/programs", response_description="By their names.", responses=COMMON)
async def programs(gateway: Gateway, who: Who) -> Programs:
    """The programs that this caller may ask, and what each of them wants to know."""
    overview = gateway.overview
    return Programs(
        programs=[
            ProgramSeen(**served.model_dump(), name=name, default=name == overview.default_program)
            for name, served in sorted(overview.programs.items())
            if who.may_ask(name)
        ]
    )
