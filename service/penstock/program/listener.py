"""What the model says, split into the program's fields, handed to the token stream."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import dspy
from dspy.utils.callback import BaseCallback

from penstock.clock import Clock
from penstock.events.report import Report
from penstock.program.catalog import Program, Step
from penstock.program.fields import ChatFields, JSONFields, PlainFields
from penstock.program.openai_engine import Heard
from penstock.program.stream import Part, TokenStream


class _Reader(Protocol):
    def feed(self, text: str) -> list[tuple[str, str]]: ...
    def finish(self) -> list[tuple[str, str]]: ...


class _Call:
    """One call of a predictor: its words, split into fields as they come."""

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._reader: _Reader | None = None
        self._parts: Mapping[str, Part] = {}

    async def say(self, text: str) -> None:
        if self._reader is None:
            self._reader, self._parts = self._listener.begin()
        await self._listener.say(self._parts, self._reader.feed(text))

    async def end(self) -> None:
        if self._reader is not None:
            await self._listener.say(self._parts, self._reader.finish())


class Listener:
    """DSPy's `send_stream`: gets every chunk of every call of one question.

    DSPy gives any exception of `send` another face, so ours is kept in `error`.
    """

    def __init__(self, program: Program, stream: TokenStream, report: Report, clock: Clock) -> None:
        self.error: BaseException | None = None
        self._program = program
        self._stream = stream
        self._report = report
        self._clock = clock
        self._calls: dict[Any, _Call] = {}
        self._counts: Counter[str] = Counter()
        self._said: dict[str, tuple[Part, list[str]]] = {}
        self._notes: set[asyncio.Task[None]] = set()

    def speech(self) -> _Call:
        """For our own engine, which tells a call's words as the model says them."""
        return _Call(self)

    async def send(self, chunk: Any) -> None:
        """For every other engine, by way of DSPy."""
        choice = chunk.choices[0]
        text = choice.delta.content
        # Without an id from the server, calls at the same time are told apart by their tasks.
        key = (chunk.predict_id, chunk.id or id(asyncio.current_task()))
        if text and not isinstance(text, Heard):
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = _Call(self)
            await call.say(text)
        if choice.finish_reason is not None and key in self._calls:
            await self._calls.pop(key).end()

    async def reconcile(self, outputs: Mapping[str, Any]) -> None:
        """What the stream missed is sent; what it got wrong is void and said again."""
        texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
        said = {name: "".join(pieces) for name, (_, pieces) in self._said.items()}
        try:
            if any(not text.startswith(said.get(name, "")) for name, text in texts.items()):
                await self._stream.restart("the answer differs from what was streamed")
                said = {}
            for name, text in texts.items():
                part = self._said[name][0] if name in said else Part(name, "", 0, output=True)
                await self._stream.say(part, text[len(said.get(name, "")) :])
        except Exception as error:
            self.error = error
            raise

    def note(self, text: str) -> None:
        """A status event, from code that cannot wait."""
        task = asyncio.get_running_loop().create_task(self._stream.status(text))
        self._notes.add(task)
        task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[None]) -> None:
        self._notes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = error

    async def say(self, parts: Mapping[str, Part], pieces: list[tuple[str, str]]) -> None:
        try:
            for field, text in pieces:
                part = parts[field]
                if part.output:
                    self._said[field][1].append(text)
                await self._stream.say(part, text)
        except Exception as error:
            self.error = error
            raise

    def begin(self) -> tuple[_Reader, Mapping[str, Part]]:
        """The first word of a call: how its text is read, and where each field belongs."""
        if self._report.first_token_at is None:
            self._report.first_token_at = self._clock.monotonic()
        predictor = dspy.settings.caller_predict
        step = self._program.steps.get(id(predictor))
        if step is None:
            # Made while running, so it has no name in the program.
            fields = tuple(predictor.signature.output_fields) if predictor is not None else ()
            step = Step(type(predictor).__name__.lower(), fields)
        count = self._counts[step.name]
        self._counts[step.name] += 1
        outputs = self._program.outputs
        parts = {name: Part(name, step.name, count, name in outputs) for name in step.fields}
        for name, part in parts.items():
            if part.output:
                self._said[name] = (part, [])
        return self._reader(step.fields), parts

    def _reader(self, fields: tuple[str, ...]) -> _Reader:
        kind = self._program.model.adapter_name
        if kind == "json":
            return JSONFields(fields)
        return PlainFields(fields[0]) if kind == "plain" else ChatFields(fields)


class ToolCalls(BaseCallback):  # type: ignore[misc] # untyped base
    """Tells the stream which tool a program uses."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ARG002 - DSPy's signature
        self._listener.note(f"tool {instance.name}")
