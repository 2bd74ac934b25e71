"""DSPy's own client, and what it tells of its calls."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from dspy.clients.engines.lm15_engine import AsyncLM15Engine
from dspy.lm15 import Request, Response

from penstock.program.calls import current


class NativeEngine(AsyncLM15Engine):  # type: ignore[misc] # DSPy has no types
    """Adds no header to its requests: how each provider is asked, only it knows."""

    async def complete(self, request: Request) -> Response:
        answer = await super().complete(request)
        if (told := current()) is not None:
            told.answered(answer.model, answer.finish_reason)
        return answer

    async def stream(self, request: Request) -> AsyncGenerator[Any, None]:
        told, model = current(), None
        if told is not None:
            told.sent(None, stream=True)
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                if told is not None:
                    if event.type == "start":
                        model = event.model
                    elif event.type == "end":
                        told.answered(model, event.finish_reason)
                    else:
                        told.begun()
                yield event
