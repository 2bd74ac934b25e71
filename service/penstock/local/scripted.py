"""A stand-in for a language model: speaks OpenAI's protocol and says what a function tells it.

It lets `penstock demo` show tokens streaming where no weights are installed.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from penstock.local.prompt import ChatRequest, OutputField, sample, written
from penstock.local.speech import Pace, refuse, say

NAME = "scripted"

# A long question is quoted by its beginning, so that the answer stays an answer.
_QUOTED_CHARS = 120


@dataclass(frozen=True, slots=True)
class Served:
    """Where the model answers; `dspy.LM(f"openai/{name}", api_base=api_base, api_key="-")`."""

    api_base: str
    name: str


def canned(request: ChatRequest) -> str:
    """A plausible answer to any question, in the form and the types its program asked for."""
    question = " ".join(request.question.split())
    if len(question) > _QUOTED_CHARS:
        question = question[:_QUOTED_CHARS].rstrip() + "…"

    def value(field: OutputField) -> Any:
        # What has parts would say the same in each of them.
        text = _said(field.name, question) if field.type == "str" else question
        return sample(request, field, text)

    return written(request, value)


def _said(field: str, question: str) -> str:
    if field in {"reasoning", "next_thought"}:
        return f"The question is: “{question}” Nothing has to be looked up to answer it."
    return (
        f"You asked: “{question}” This answer is scripted: no model was asked. "
        "It still travelled the whole way: out of a topic, through a DSPy program, and back as "
        "a stream of tokens closed by exactly one completion."
    )


@asynccontextmanager
async def model(
    answer: Callable[[ChatRequest], str] = canned,
    *,
    first_token_s: float = 0.2,
    token_s: float = 0.02,
    chunk_chars: int = 4,
    port: int = 0,
) -> AsyncIterator[Served]:
    """Serve the scripted model on this machine for as long as the block runs."""
    pace = Pace(first_token_s, token_s)

    async def complete(http: web.Request) -> web.StreamResponse:
        try:
            request = ChatRequest.read(await http.read())
        except ValueError as wrong:
            return refuse(400, str(wrong))
        text = answer(request)
        chunks = [text[at : at + chunk_chars] for at in range(0, len(text), chunk_chars)]
        return await say(http, request, chunks, pace)

    async def models(_: web.Request) -> web.Response:
        listed = {"id": NAME, "object": "model", "created": 0, "owned_by": "penstock"}
        return web.json_response({"object": "list", "data": [listed]})

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", models)])
    # Nobody misses the end of a scripted answer: without this, leaving waits a minute for it.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield Served(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", NAME)
    finally:
        await runner.cleanup()
