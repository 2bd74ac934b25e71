"""OpenAI's chat completions: a conversation in, the program's answer out."""

from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request, Response

from penstock.gateway.openai.chat import ChatCompletion, ChatRequest, answered, frames
from penstock.gateway.openai.errors import ANSWERS, EVENT, STOPPING, Route, frame
from penstock.gateway.openai.exchange import TriedBefore, exchange
from penstock.gateway.parts import Gateway, Who
from penstock.gateway.sse import EventStream

router = APIRouter(prefix="/v1/chat/completions", tags=["OpenAI"], route_class=Route)

STREAMED = (
    'data: {"id":"chatcmpl-7d3f","object":"chat.completion.chunk","created":1767225600,'
    '"model":"qa","system_fingerprint":"1f0c2a","choices":[{"index":0,'
    '"delta":{"content":"Short"},"logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n'
)
ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` its chunks, and last `[DONE]`. What goes wrong "
        'once they have begun comes as a chunk `{"error": ...}`.',
        "content": {"text/event-stream": {"itemSchema": EVENT, "example": STREAMED}},
    }
}
EXAMPLES = {
    "one question": {
        "value": {"model": "qa", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    },
    "streamed": {
        "value": {
            "model": "qa",
            "messages": [{"role": "user", "content": "Why is the sky blue?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    },
}


@router.post(
    "",
    response_model=ChatCompletion,
    responses=ANSWERED | ANSWERS,
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def create_chat_completion(
    asking: ChatRequest,
    gateway: Gateway,
    who: Who,
    tried: TriedBefore,
    request: Request,
    response: Response,
) -> ChatCompletion | EventStream:
    """Asks the program `model`.

    One message of a user is the question. A conversation is a transcript in its place, of blocks
    `role: text` with empty lines between; a program with an input `messages` gets the list, too.
    What would change how a model samples is the program's, and a 400 that names it.
    """
    turns = [message.turn for message in asking.messages]
    async with AsyncExitStack() as stack:
        asked = await stack.enter_async_context(exchange(gateway, who, asking, turns, tried))
        if not asking.stream:
            response.headers["x-request-id"] = asked.question_id
            return answered(asked, await asked.completion(request))
        include_usage = bool(asking.stream_options and asking.stream_options.include_usage)
        return EventStream(
            frames(asked, include_usage=include_usage),
            gateway.stopping,
            stack.pop_all(),
            {"x-request-id": asked.question_id},
            lambda: frame(STOPPING),
        )
