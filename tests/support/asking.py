"""One question through the client the service uses, as it asks: uncached, tried once."""

import asyncio
import os
from typing import Any, Protocol

# Else the first call that needs litellm waits for a price list from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
import dspy

from penstock.program import model
from penstock.program.reading import Timeouts
from penstock.program.threads import SETTING, Threads

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
    name: str,
    *,
    program: Any = None,
    adapter: Any = None,
    sink: Any = None,
    question: str = QUESTION,
    engine: model.EngineName = "auto",
    in_thread: bool = False,
    api_key: str = "x",
    timeouts: Timeouts | None = None,
) -> Any:
    """What the program answers, or raises. `in_thread`: as one that has only `forward`."""
    built = model.build(
        f"openai/{name}",
        "chat",
        connections=64,
        api_base=server.api_base,
        api_key=api_key,
        options={},
        engine=engine,
        timeouts=timeouts or Timeouts(),
    )
    streamed = {} if sink is None else {"send_stream": sink, "stream_listeners": []}
    program = program or dspy.Predict("question -> answer")
    adapter = adapter or built.adapter
    threads = Threads()
    try:
        with dspy.context(
            lm=built.lm,
            adapter=adapter,
            track_usage=True,
            disable_history=True,
            **{SETTING: threads},
            **streamed,
        ):
            if in_thread:
                return await threads.run(program, question=question)
            return await program.acall(question=question)
    finally:
        await built.aclose()
