"""How does a program that runs in a thread use the engine of the service's loop?

For programs that have only `forward`: `dspy.asyncify` runs them in a worker thread, where DSPy
takes the synchronous engine. Every call is carried out on the loop, on the same connections and
with the same timeouts as all others, while the thread waits.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from dspy.lm15 import ConfigurationError, Request, Response

from penstock.program.openai_engine import OpenAIEngine

T = TypeVar("T")


class SyncFace:
    """The same engine, for threads other than its loop's.

    Args:
        loop: the service's own; None: the one the engine has been used in by then.
        known: what DSPy knows of the model. It reads it here, where an engine is given.
    """

    def __init__(
        self, engine: OpenAIEngine, loop: asyncio.AbstractEventLoop | None, known: Any
    ) -> None:
        self._engine = engine
        self._loop = loop
        self.supports_function_calling = known.function_calling
        self.supports_reasoning = known.reasoning
        self.supports_response_schema = known.response_schema
        self.supported_params = known.params

    def complete(self, request: Request) -> Response:
        """Raises LM15Error."""
        return self._wait_for(self._engine.complete(request))

    def stream(self, request: Request) -> Iterator[Any]:
        """Closing the iterator closes the connection. Raises LM15Error."""
        events = self._engine.stream(request)

        async def event() -> Any:
            return await anext(events, None)

        async def close() -> None:
            await events.aclose()

        try:
            while (found := self._wait_for(event())) is not None:
                yield found
        finally:
            self._wait_for(close())

    def close(self) -> None:
        """Nothing here is its own: whoever has the engine closes it."""

    def _wait_for(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._found_loop()
        except ConfigurationError:
            call.close()
            raise
        waiting = asyncio.run_coroutine_threadsafe(call, loop)
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()
            raise

    def _found_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop or self._engine.loop
        if loop is None:
            raise ConfigurationError("the model's client has no event loop yet")
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            return loop
        if here is loop:
            raise ConfigurationError(
                "a model was called without `await` in the service's event loop, which would wait "
                "for itself: write `await predictor.acall(...)`, or leave `aforward` out and run "
                "`forward` in a thread with dspy.asyncify"
            )
        return loop
