"""Does it live, and may it be asked?"""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from penstock.gateway import health
from penstock.gateway.parts import Gateway
from penstock.gateway.problem import ProblemError, away, problems

router = APIRouter(tags=["probes"], default_response_class=PlainTextResponse)

_OK: dict[int | str, dict[str, Any]] = {
    200: {"description": "All is well.", "content": {"text/plain": {"example": "ok"}}}
}


@router.get("/livez", responses={**_OK, **problems(503)})
async def livez(gateway: Gateway) -> str:
    """Whether it reads the topics; if not, only a restart helps."""
    if (wrong := health.live(gateway)) is not None:
        raise ProblemError(503, "broken", wrong)
    return "ok"


@router.get("/readyz", responses={**_OK, **problems(503)})
async def readyz(gateway: Gateway) -> str:
    """Whether questions may be sent here: it serves as soon as its index is built, so all that is
    missing may be Kafka.
    """
    await livez(gateway)
    if gateway.stopping.done():
        raise ProblemError(503, "stopping", "this gateway stops")
    if (wrong := health.away(gateway)) is not None:
        raise away(wrong)
    return "ok"
