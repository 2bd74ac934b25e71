"""One question through DSPy's own client, as the service asks it: uncached, tried once."""

import asyncio
import os
from typing import Any, Protocol

# Else the first call that needs litellm waits for a price list from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
import dspy

QUESTION = "What is a penstock?"


class Server(Protocol):
    @property
    def api_base(self) -> str: ...


class Sink:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.first = asyncio.Event()

    async def send(self, chunk: Any) -> None:
        text = chunk.choices[0].delta.content or ""
        if text:
            self.pieces.append(text)
            self.first.set()


def sink_if(streamed: bool) -> Sink | None:
    return Sink() if streamed else None


async def ask(
    server: Server,
    model: str,
    *,
    program: Any = None,
    adapter: Any = None,
    sink: Sink | None = None,
    question: str = QUESTION,
    **settings: Any,
) -> Any:
    lm = dspy.LM(
        f"openai/{model}",
        api_base=server.api_base,
        api_key="x",
        cache=False,
        num_retries=0,
        **settings,
    )
    adapter = adapter or dspy.ChatAdapter(use_json_adapter_fallback=False)
    streamed = {} if sink is None else {"send_stream": sink, "stream_listeners": []}
    program = program or dspy.Predict("question -> answer")
    try:
        with dspy.context(
            lm=lm, adapter=adapter, track_usage=True, disable_history=True, **streamed
        ):
            return await program.acall(question=question)
    finally:
        await lm.aclose()
