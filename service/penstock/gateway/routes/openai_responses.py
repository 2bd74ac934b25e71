"""OpenAI's responses: an input in, the program's answer out, told in many kinds of events."""

from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request
from fastapi import Response as Sent

from penstock.gateway.openai.errors import ANSWERS, EVENT, STOPPING, Route
from penstock.gateway.openai.exchange import TriedBefore, exchange
from penstock.gateway.openai.responding import Responding
from penstock.gateway.openai.responses import Response, ResponseRequest
from penstock.gateway.parts import Gateway, Who
from penstock.gateway.sse import EventStream

router = APIRouter(prefix="/v1/responses", tags=["OpenAI"], route_class=Route)

STREAMED = (
    "event: response.output_text.delta\n"
    'data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_7d3f",'
    '"output_index":0,"content_index":0,"delta":"Short","logprobs":[]}\n\n'
)
ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` the events in which it comes about. What goes "
        "wrong once they have begun is the last of them, `response.failed` or `error`.",
        "content": {"text/event-stream": {"itemSchema": EVENT, "example": STREAMED}},
    }
}
EXAMPLES = {
    "one question": {"value": {"model": "qa", "input": "Why is the sky blue?"}},
    "streamed": {"value": {"model": "qa", "input": "Why is the sky blue?", "stream": True}},
}


@router.post(
    "",
    response_model=Response,
    responses=ANSWERED | ANSWERS,
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def create_response(
    asking: ResponseRequest,
    gateway: Gateway,
    who: Who,
    tried: TriedBefore,
    request: Request,
    sent: Sent,
) -> Response | EventStream:
    """Asks the program `model`; see chat completions for what becomes of several messages.

    Nothing is kept here for a later request: a conversation comes whole, as a list of messages.
    """
    async with AsyncExitStack() as stack:
        asked = await stack.enter_async_context(exchange(gateway, who, asking, asking.turns, tried))
        responding = Responding(asked, asking)
        if not asking.stream:
            sent.headers["x-request-id"] = asked.question_id
            return responding.whole(await asked.completion(request))
        return EventStream(
            responding.frames(),
            gateway.stopping,
            stack.pop_all(),
            {"x-request-id": asked.question_id},
            lambda: responding.error(STOPPING),
        )
