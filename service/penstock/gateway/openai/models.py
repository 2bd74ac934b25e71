"""Which models are there? The programs that the members serve."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from pydantic import BaseModel, Field

from penstock.events.member import Served
from penstock.gateway.caller import Caller
from penstock.gateway.parts import Parts
from penstock.gateway.problem import ProblemError

FIRST_LOOK_SECONDS = 10.0
"""How long the first look at the group may take, of a gateway that has just started."""


class ListedModel(BaseModel):
    """A program, as a model."""

    id: str = Field(description="Its name.")
    object: str = "model"
    created: int = Field(0, description="Always 0: nobody says when it was.")
    owned_by: str = "penstock"
    program: Served | None = Field(
        None, description="What the members of the service say of it; null: none says anything."
    )


async def models(gateway: Parts, who: Caller) -> dict[str, ListedModel]:
    """Those that he may ask, by their names. Where no member says what it serves: the programs of
    the settings.
    """
    programs = await _programs(gateway)
    return {
        name: ListedModel(id=name, program=program)
        for name, program in sorted(programs.items())
        if who.may_ask(name)
    }


async def model(gateway: Parts, who: Caller, name: str) -> ListedModel:
    """One of them.

    Raises:
        ProblemError: (404) there is none of this name; (403) he may not ask it, if there is.
    """
    if not who.may_ask(name):
        raise ProblemError(
            403,
            "program_not_allowed",
            f"this token may not ask the program {name!r}",
            param="model",
        )
    known = await models(gateway, who)
    if name not in known:
        raise ProblemError(
            404,
            "model_not_found",
            f"there is no program {name!r} here (there is: {', '.join(known) or 'none'})",
            param="model",
        )
    return known[name]


async def _programs(gateway: Parts) -> Mapping[str, Served | None]:
    overview = gateway.overview
    if overview.status is None:
        # It has just started, or nobody has ever served here.
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await overview.looked.wait()
    return overview.programs or dict.fromkeys(gateway.settings.programs)
