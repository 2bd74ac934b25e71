"""Many questions in one request."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request, Response

from penstock.gateway.batch import Batch, Lines, lines
from penstock.gateway.failures import wrong_type
from penstock.gateway.leaving import cancelled_on_disconnect
from penstock.gateway.parts import Gateway, Who
from penstock.gateway.problem import problems

router = APIRouter(tags=["questions"])

TYPES = ("application/jsonl", "application/x-ndjson")

_ASKED = '{"question": "Why is the sky blue?"}\n"And at night?"\n'
_TOLD = (
    '{"line":2,"id":"...","status":"completed","completion":{...}}\n{"line":1,"problem":{...}}\n'
)

_SCHEMAS = "#/components/schemas/"
_LINE = {
    "type": "object",
    "required": ["line"],
    "properties": {
        "line": {"type": "integer", "minimum": 1},
        "id": {"type": "string"},
        "status": {"type": "string"},
        "completion": {"$ref": f"{_SCHEMAS}Completion"},
        "problem": {"$ref": f"{_SCHEMAS}Problem"},
    },
}

_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "Each line as the body of `POST /v1/questions`, or a JSON string, which is "
        "a question. Blank ones are passed over. 10,000 lines, 16 MiB.",
        "content": {name: {**_TEXT, "example": _ASKED} for name in TYPES},
    }
}


@router.post(
    "/v1/questions:batch",
    response_class=Response,
    openapi_extra=_BODY,
    responses={
        200: {
            "description": "A line for each question as soon as it has ended, with its completion, "
            "or the problem that it has.",
            "content": {Lines.media_type: {"itemSchema": _LINE, "example": _TOLD}},
        },
        **problems(400, 401, 413, 415),
    },
)
async def ask_questions(request: Request, gateway: Gateway, who: Who) -> Lines:
    """Asks many questions, a few hundred at a time; what there is no time for yet is asked later.

    When the client goes away, no more of them are asked.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in TYPES:
        raise wrong_type(*TYPES)
    asked = Batch(gateway, who, lines(await request.body()))
    stack = AsyncExitStack()
    await stack.enter_async_context(cancelled_on_disconnect(gateway, asked.open.values()))
    # When the gateway stops, each line is told how it stands; so it ends by itself.
    never = asyncio.get_running_loop().create_future()
    return Lines(asked.answers(), never, stack)
