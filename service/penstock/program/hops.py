"""An event loop that makes no trip to a thread which is not worth one.

DSPy hands what it works out before and after each call of a model to the loop's threads. With a
question of text that takes less than the trip, which is two rounds of the loop: under load each of
them takes milliseconds, in which a slot stands empty.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import uvloop
from dspy.clients import execution, model_metadata
from dspy.clients.execution import prepare

_price = getattr(execution, "_price_result", None)
"""By another name, it makes the trip."""


class Loop(uvloop.Loop):
    """uvloop's, but for that."""

    def run_in_executor(  # type: ignore[override] # it is said to be a coroutine, and is none
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        if executor is not None or not _is_short(func):
            return super().run_in_executor(executor, func, *args)  # type: ignore[return-value] # as above
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            done.set_exception(error)
        return done


def _is_short(func: Callable[..., Any]) -> bool:
    """`asyncio.to_thread` asks for `context.run`, with what is to be called."""
    match func.args if isinstance(func, partial) else ():
        case (called, _, prompt, messages, options) if called is prepare:
            text = prompt is None or isinstance(prompt, str)
            return text and "request" not in options and all(map(_is_text, messages or ()))
        case (called, *_):
            return called is _price and _prices_are_known()
    return False


def _is_text(message: Any) -> bool:
    """A picture or a document may be read from a file."""
    return isinstance(message, Mapping) and isinstance(message.get("content"), str)


def _prices_are_known() -> bool:
    """They are read once, from a file or the network."""
    return getattr(model_metadata, "_data", None) is not None
