"""Run one question through its program."""

from collections.abc import Mapping
from typing import Any

import dspy
import structlog
from dspy.utils.usage_tracker import UsageTracker
from pydantic import ConfigDict, TypeAdapter

from penstock.clock import Clock
from penstock.core.failure import Failure, Kind
from penstock.events.completion import Program as ProgramRef
from penstock.events.completion import Usage
from penstock.events.report import Report
from penstock.events.text import whole_characters
from penstock.program.catalog import Program
from penstock.program.classify import classify
from penstock.program.listener import Listener, ToolCalls
from penstock.program.stream import TokenStream

log = structlog.get_logger("penstock.program")

_JSON: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_bytes="base64"))


class Runner:
    """Runs programs in the task that calls it."""

    def __init__(self, programs: Mapping[str, Program], clock: Clock) -> None:
        self._programs = programs
        self._clock = clock

    async def run(
        self, name: str, inputs: Mapping[str, Any], report: Report, stream: TokenStream | None
    ) -> Failure | None:
        """None when it answered; the report holds the answer.

        Cancelling the task closes the connection to the model.
        """
        program = self._programs[name]
        report.program = ProgramRef(name=program.name, version=program.version)
        report.model = program.model.name
        inputs = {key: value for key, value in inputs.items() if key in program.accepts}
        usage = UsageTracker()
        listener = Listener(program, stream, report, self._clock) if stream else None
        context: dict[str, Any] = {
            "lm": program.model.lm,
            "adapter": program.model.adapter,
            "usage_tracker": usage,
            "send_stream": listener,
            "stream_listeners": [],
        }
        if listener is not None and program.may_use_tools:
            context["callbacks"] = [*dspy.settings.callbacks, ToolCalls(listener)]
        reported = False
        try:
            with dspy.context(**context):
                prediction = await program.module.acall(**inputs)
            outputs = dict(prediction)
            if listener is not None:
                await listener.reconcile(outputs)
            reported = True
        except Exception as error:
            if listener is not None and listener.error is not None:
                message = f"token events were refused: {listener.error}"
                return Failure(Kind.UPSTREAM, "tokens_not_published", message)
            log.debug("a program failed", program=name, exc_info=error)
            return classify(error)
        finally:
            _add_usage(report.usage, usage, complete=reported)
        report.outputs = whole_characters(_JSON.dump_python(outputs, mode="json", fallback=str))
        report.answer = whole_characters(_answer(outputs))
        return None


def _answer(outputs: Mapping[str, Any]) -> str | None:
    if isinstance(answer := outputs.get("answer"), str):
        return answer
    texts = [value for value in outputs.values() if isinstance(value, str)]
    return texts[-1] if texts else None


def _add_usage(total: Usage, tracker: UsageTracker, *, complete: bool) -> None:
    for used in tracker.get_total_tokens().values():
        prompt, completion = (
            int(used.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")
        )
        total.prompt_tokens += prompt
        total.completion_tokens += completion
        total.total_tokens += int(used.get("total_tokens") or prompt + completion)
    total.estimated = total.estimated or not complete
