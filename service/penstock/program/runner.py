"""Run one question through its program."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import dspy
import structlog
from dspy.utils.usage_tracker import UsageTracker
from pydantic import ConfigDict, TypeAdapter

from penstock.clock import Clock
from penstock.core.failure import Failure, Kind
from penstock.events.completion import Program as ProgramRef
from penstock.events.report import Report, answer_of
from penstock.events.text import whole_characters
from penstock.program.calls import Calls, Telling, current
from penstock.program.catalog import Program
from penstock.program.classify import classify, not_published
from penstock.program.listener import Listener
from penstock.program.openai_engine import ESTIMATED
from penstock.program.stream import TokenStream
from penstock.program.threads import SETTING, Stopped, Threads
from penstock.program.watch import Watch

TRACE = 10_000
"""Predictions of one question that are kept while it runs: `dspy.Refine` learns from them."""

log = structlog.get_logger("penstock.program")

_JSON: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_bytes="base64"))


class Runner:
    """Runs programs in the task that calls it, or in a thread for which that task waits.

    `hide` takes secrets out of what is told of a failure; `threads`: those of one question, made
    in its task.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        clock: Clock,
        hide: Callable[[str], str] = str,
        threads: Callable[[], Threads] = Threads,
    ) -> None:
        self._programs = programs
        self._clock = clock
        self._hide = hide
        self._threads = threads
        self._running: Counter[str] = Counter()
        self._in_threads = dict.fromkeys(programs, 0.0)

    def running(self) -> dict[str, int]:
        """How many questions by program. From any thread."""
        return {name: self._running[name] for name in self._programs if self._running[name]}

    def in_threads(self) -> dict[str, float]:
        """Seconds that questions which have ended spent in threads, by program."""
        return dict(self._in_threads)

    async def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        report: Report,
        stream: TokenStream | None,
        calls: Calls | None = None,
    ) -> Failure | None:
        """None when it answered; the report holds the answer. `calls` are told of the model's.

        Cancelling the task closes the connection to the model. It ends no sooner than the last
        thread of the program.
        """
        program = self._programs[name]
        report.program = ProgramRef(name=program.name, version=program.version)
        report.model = program.model.name
        inputs = {key: value for key, value in inputs.items() if key in program.accepts}
        usage, threads = _Usage(), self._threads()
        listener = (
            Listener(program, stream, report, self._clock, threads) if stream is not None else None
        )
        watch = Watch(threads, listener)
        reported = False

        def count() -> None:
            _add_usage(report, usage, complete=reported)

        report.catch_up = count
        self._running[name] += 1
        try:
            with (
                nullcontext() if calls is None else calls.running(),
                dspy.context(**_context(program, usage, threads, listener, watch, calls)),
            ):
                prediction = await _ask(program, inputs, threads)
            if not isinstance(prediction, dspy.Prediction | Mapping):
                return self._cause(watch) or _no_prediction(prediction)
            outputs = dict(prediction)
            if listener is not None:
                await listener.reconcile(outputs)
            reported = True
        except asyncio.CancelledError:
            if listener is not None:
                report.said = listener.said()
            await threads.give_up()
            raise
        except (Exception, BaseExceptionGroup, Stopped) as error:
            if listener is not None and listener.error is not None:
                return not_published(listener.error)
            log.debug("a program failed", program=name, exc_info=error)
            failure = classify(error, self._hide)
            return self._cause(watch) or failure if failure.code == "program_error" else failure
        finally:
            threads.close()
            self._running[name] -= 1
            self._in_threads[name] += threads.took
            count()
            # What refers to itself is left to the garbage collector, a tenth of all that is done.
            report.catch_up = _nothing
            if listener is not None:
                listener.end()
        report.outputs = whole_characters(_JSON.dump_python(outputs, mode="json", fallback=str))
        report.answer = whole_characters(answer_of(outputs))
        return None

    def _cause(self, watch: Watch) -> Failure | None:
        """Modules such as `dspy.BestOfN` swallow what the model raises, and fail for want of it."""
        return None if watch.trouble is None else classify(watch.trouble, self._hide)


class _Usage(UsageTracker):  # type: ignore[misc] # DSPy has no types
    def __deepcopy__(self, _: Any) -> "_Usage":
        """`dspy.Parallel` gives each of its threads a copy, and forgets what they used."""
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any] | None) -> None:
        super().add_usage(lm, usage_entry)
        if usage_entry and (call := current()) is not None:
            call.used(usage_entry)

    def taken(self) -> Iterator[Mapping[str, Any]]:
        """What was used, call by call, each once, while threads may go on and use more."""
        for calls in list(self.usage_data.values()):
            while calls:
                yield calls.pop()


def _context(
    program: Program,
    usage: UsageTracker,
    threads: Threads,
    listener: Listener | None,
    watch: Watch,
    calls: Calls | None,
) -> dict[str, Any]:
    callbacks: list[Any] = [*dspy.settings.callbacks]
    if not program.is_a_predictor:
        callbacks.append(watch)
    if calls is not None:
        # Behind it: a call that it stops is none.
        callbacks.append(Telling(calls))
    return {
        "lm": program.model.lm,
        "adapter": program.model.adapter,
        "usage_tracker": usage,
        "send_stream": listener,
        "stream_listeners": [],
        "callbacks": callbacks,
        "trace": [],
        "max_trace_size": TRACE,
        # Tools that await may be called from a `forward`, which runs in a thread.
        "allow_tool_async_sync_conversion": True,
        SETTING: threads,
    }


async def _ask(program: Program, inputs: Mapping[str, Any], threads: Threads) -> Any:
    if program.awaits:
        return await program.module.acall(**inputs)
    return await threads.run(program.module, **inputs)


def _nothing() -> None:
    """All is counted."""


def _no_prediction(found: Any) -> Failure:
    message = f"the program returned a {type(found).__name__}, not a dspy.Prediction"
    return Failure(Kind.ANSWER, "program_error", message)


def _add_usage(report: Report, tracker: _Usage, *, complete: bool) -> None:
    """What the report does not have yet."""
    total = report.usage
    total.estimated = total.estimated or not complete
    for used in tracker.taken():
        report.requests += 1
        prompt, completion, both = (
            _tokens(used.get(name))
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        )
        total.prompt_tokens += prompt
        total.completion_tokens += completion
        total.total_tokens += both or prompt + completion
        total.estimated = total.estimated or ESTIMATED in used


def _tokens(told: Any) -> int:
    """What a model of a program's own calls so may be anything."""
    try:
        return max(0, int(told or 0))
    except (TypeError, ValueError, OverflowError):
        return 0
