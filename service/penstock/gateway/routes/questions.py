"""Questions that are asked now and read whenever."""

from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from penstock.events.question import Question
from penstock.gateway.following import seen
from penstock.gateway.parts import Gateway, Who
from penstock.gateway.questions import Asked
from penstock.gateway.sse import EventStream, frame

router = APIRouter(prefix="/v1/questions", tags=["questions"])


@router.post("", status_code=202)
async def ask(question: Question, gateway: Gateway, who: Who, response: Response) -> dict[str, Any]:
    """Asks a question; its answer is read by its id."""
    async with gateway.questions.asked(question, who, named=question.id is not None) as asked:
        entry = asked.entry
    response.headers["location"] = f"/v1/questions/{entry.question_id}"
    return {"id": entry.question_id, "status": entry.status}


@router.get("/{question_id}/events", status_code=200, response_class=EventStream)
async def events(
    question_id: str,
    gateway: Gateway,
    who: Who,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """What is said of it, from the beginning or from where a client has come."""
    entry = gateway.questions.find(question_id, who)
    after = None if last_event_id is None else seen(last_event_id)
    said = gateway.questions.pieces(Asked(entry, None), after)
    frames = (b"".join(map(frame, piece)) async for piece in said)
    return EventStream(frames, gateway.stopping, AsyncExitStack())
