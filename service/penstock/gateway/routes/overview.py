"""How the service stands and goes: for a page that is always open."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from penstock.gateway.bulletin import History, OverviewSeen
from penstock.gateway.described import COMMON, model
from penstock.gateway.parts import Gateway, Who, caller
from penstock.gateway.sse import EventStream, content

router = APIRouter(prefix="/v1", tags=["console"], dependencies=[Depends(caller)])

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An event `overview` at once and at each look, every two seconds.",
        "content": content(
            'event: overview\ndata: {"at": "2026-11-27T15:04:05.000Z", ...}\n\n',
        ),
    }
}


@router.get(
    "/overview", response_description="As it stands.", responses=model(OverviewSeen) | COMMON
)
async def overview(gateway: Gateway) -> Response:
    """How the group stands, as it was seen last, and what goes by."""
    return Response(gateway.desk.bulletin.now(), media_type="application/json")


@router.get("/overview/events", response_class=Response, responses=_EVENTS | COMMON)
async def overview_events(gateway: Gateway, who: Who) -> EventStream:
    """The overview, for as long as somebody reads it whose token is good."""
    return EventStream(gateway.desk.bulletin.events(who.holds), gateway.stopping)


@router.get("/history", response_description="In steps of five seconds.", responses=COMMON)
async def history(gateway: Gateway) -> History:
    """What went by in the last five minutes."""
    return gateway.desk.bulletin.history()
