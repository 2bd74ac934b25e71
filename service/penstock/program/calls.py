"""Who is told of each call of a model, wherever a program makes it?

DSPy's callbacks see every one, of whichever language model, in the thread that makes it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

from dspy.utils.callback import BaseCallback


class Call(Protocol):
    """One call, while it goes on. From any thread; only `end` is called for every one."""

    def sent(self, url: str | None, *, stream: bool) -> list[tuple[str, str]]:
        """Now, and there, if that is known. What its request has as headers besides."""
        ...

    def begun(self) -> None:
        """The first words of its answer are there."""
        ...

    def answered(self, model: str | None, finish_reason: str | None) -> None:
        """By this model."""
        ...

    def used(self, usage: Mapping[str, Any]) -> None:
        """As DSPy counts it."""
        ...

    def end(self, outputs: Any, error: BaseException | None) -> None: ...


class Calls(Protocol):
    """Those of one attempt."""

    def running(self) -> AbstractContextManager[None]:
        """Around the program."""
        ...

    def begin(self, lm: Any, asked: Mapping[str, Any]) -> Call:
        """`asked`: the arguments of DSPy's language model."""
        ...


_current: ContextVar[Call | None] = ContextVar("penstock_call", default=None)
"""A thread that asks on the loop takes it along."""


def current() -> Call | None:
    """The call that is being made here; None: nobody wants to know."""
    return _current.get()


class Telling(BaseCallback):  # type: ignore[misc] # DSPy has no types
    """DSPy's callbacks of one attempt."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._made: dict[str, tuple[Call, Call | None]] = {}

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        call = self._calls.begin(instance, inputs)
        self._made[call_id] = call, _current.get()
        _current.set(call)

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        call, around = self._made.pop(call_id)
        _current.set(around)
        call.end(outputs, exception)
