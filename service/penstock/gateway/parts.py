"""What does every door of the gateway need? Given to the routes by FastAPI."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from penstock.clock import Clock
from penstock.gateway.access import Access
from penstock.gateway.caller import Caller
from penstock.gateway.desk import Desk
from penstock.gateway.measured import Meters
from penstock.gateway.overview import Overview
from penstock.gateway.questions import Questions
from penstock.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one gateway. `stopping`: is done when streams have to end, so that clients come back to
    another replica; `closing`: later, when answers are not waited for any longer.
    """

    settings: Settings
    questions: Questions
    overview: Overview
    desk: Desk
    access: Access
    meters: Meters
    clock: Clock
    stopping: "asyncio.Future[None]"
    closing: "asyncio.Future[None]"


def parts(connection: HTTPConnection) -> Parts:
    """Of the gateway that serves this request."""
    found: Parts = connection.app.state.parts
    return found


async def _given(connection: HTTPConnection) -> Parts:
    # FastAPI runs what is not async in a thread.
    return parts(connection)


_BEARER = HTTPBearer(
    scheme_name="token",
    description="A token of `penstock token`, or of the issuer that the gateway knows.",
    # It only describes; `Access` looks.
    auto_error=False,
)


async def caller(connection: HTTPConnection, _: Annotated[Any, Security(_BEARER)]) -> Caller:
    """Raises ProblemError (401): he shows no token, or none that is known."""
    return await parts(connection).access.caller(connection)


async def operator(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Raises ProblemError: (401) as `caller`; (403) he is no operator."""
    who.must_operate()
    return who


Gateway = Annotated[Parts, Depends(_given)]
Who = Annotated[Caller, Depends(caller)]
OPERATOR = "operator"
"""In the OpenAPI document, the role of a token."""
Operator = Security(operator, scopes=[OPERATOR])
"""Of a router, or a route, that is an operator's."""
