"""What is learned of a program while it runs, and where is it stopped?"""

# ruff: noqa: ARG002 - DSPy passes its arguments by name

from typing import Any

import dspy
from dspy.dsp.utils.settings import thread_local_overrides
from dspy.utils.callback import BaseCallback
from dspy.utils.exceptions import LMError

from penstock.errors import VerdictError
from penstock.program.causes import causes
from penstock.program.listener import Listener
from penstock.program.threads import Stopped, Threads


class Watch(BaseCallback):  # type: ignore[misc] # DSPy has no types
    """DSPy's callbacks for one question. They are called in the thread that asks.

    DSPy swallows every `Exception` of a callback; `Stopped` is none.
    """

    def __init__(self, threads: Threads, listener: Listener | None) -> None:
        self.trouble: LMError | None = None
        """Of the latest model call, if that failed: the cause of what a program raises then."""
        self._threads = threads
        self._listener = listener

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._threads.check()
        if self._listener is not None:
            if self._listener.error is not None:
                raise Stopped("nobody would hear it") from self._listener.error
            if self._threads.foreign():
                # DSPy streams from the threads of `asyncify` alone; out of others it would fail.
                thread_local_overrides.set({**thread_local_overrides.get(), "send_stream": None})

    def on_lm_end(
        self,
        call_id: str,
        outputs: Any,
        exception: BaseException | None = None,
    ) -> None:
        self.trouble = exception if isinstance(exception, LMError) else None

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if self._listener is not None:
            self._listener.note(f"tool {instance.name}")

    def on_tool_end(
        self,
        call_id: str,
        outputs: Any,
        exception: BaseException | None = None,
    ) -> None:
        """An agent shows the model whatever a tool raises. A verdict is not for the model."""
        _stop_if_decided(exception)

    def on_module_end(
        self,
        call_id: str,
        outputs: Any,
        exception: BaseException | None = None,
    ) -> None:
        """These try again whatever their module raises, and pay for it."""
        callers = dspy.settings.caller_modules
        if callers and isinstance(callers[-1], dspy.BestOfN | dspy.Refine):
            _stop_if_decided(exception)


def _stop_if_decided(exception: BaseException | None) -> None:
    if exception is not None and any(isinstance(one, VerdictError) for one in causes(exception)):
        raise Stopped("the program has decided") from exception
