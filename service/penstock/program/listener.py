"""What the model says, split into the program's fields, handed to the token stream."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import dspy
from dspy.utils.callback_context import ACTIVE_CALL_ID

from penstock.clock import Clock
from penstock.events.report import Report
from penstock.program.catalog import Program
from penstock.program.fields import ChatFields, JSONFields, PlainFields
from penstock.program.stream import Part, TokenStream
from penstock.program.threads import Threads


class _Reader(Protocol):
    def feed(self, text: str) -> list[tuple[str, str]]: ...
    def finish(self) -> list[tuple[str, str]]: ...


class _Call:
    """One call of a predictor: where its text belongs."""

    def __init__(self, reader: _Reader, parts: Mapping[str, Part]) -> None:
        self.reader = reader
        self.parts = parts
        self._said: dict[str, list[str]] = {name: [] for name in parts}

    def says(self, field: str, text: str) -> None:
        self._said[field].append(text)

    def said(self, field: str) -> str:
        return "".join(self._said[field])


class Listener:
    """DSPy's `send_stream`: gets every chunk of every call of one question.

    DSPy gives any exception of `send` another face, so ours is kept in `error`.
    """

    def __init__(
        self,
        program: Program,
        stream: TokenStream,
        report: Report,
        clock: Clock,
        threads: Threads,
    ) -> None:
        self.error: BaseException | None = None
        self._program = program
        self._stream = stream
        self._report = report
        self._clock = clock
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._calls: dict[Any, _Call] = {}
        self._counts: Counter[str] = Counter()
        self._latest: dict[str, _Call] = {}
        """By output field: of all calls that write it, readers take the one that began last."""
        self._notes: set[asyncio.Task[None]] = set()

    async def send(self, chunk: Any) -> None:
        self._threads.check()
        choice = chunk.choices[0]
        text = choice.delta.content
        # Not every server gives every call an id of its own; one call may give several answers.
        key = (chunk.predict_id, ACTIVE_CALL_ID.get(), chunk.id)
        try:
            if text:
                if self._report.first_token_at is None:
                    self._report.first_token_at = self._clock.monotonic()
                call = self._calls.get(key) or self._begin(key)
                await self._say(call, call.reader.feed(text))
            if choice.finish_reason is not None and key in self._calls:
                call = self._calls.pop(key)
                await self._say(call, call.reader.finish())
        except Exception as error:
            self.error = error
            raise

    async def reconcile(self, outputs: Mapping[str, Any]) -> None:
        """What the stream missed is sent; what it got wrong is void and said again."""
        texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
        said = {name: call.said(name) for name, call in self._latest.items()}
        try:
            if any(not text.startswith(said.get(name, "")) for name, text in texts.items()):
                await self._stream.restart("the answer differs from what was streamed")
                said = {}
            for name, text in texts.items():
                part = (
                    self._latest[name].parts[name]
                    if name in said
                    else Part(name, "", 0, output=True)
                )
                await self._stream.say(part, text[len(said.get(name, "")) :])
        except Exception as error:
            self.error = error
            raise

    def note(self, text: str) -> None:
        """A status event, from code that cannot wait, in whatever thread it runs."""
        if self._threads.on_the_loop():
            self._note(text)
        else:
            self._loop.call_soon_threadsafe(self._note, text)

    def _note(self, text: str) -> None:
        task = self._loop.create_task(self._stream.status(text))
        self._notes.add(task)
        task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[None]) -> None:
        self._notes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = error

    async def _say(self, call: _Call, pieces: list[tuple[str, str]]) -> None:
        for field, text in pieces:
            part = call.parts[field]
            if part.output:
                call.says(field, text)
            await self._stream.say(part, text)

    def _begin(self, key: Any) -> _Call:
        predictor = dspy.settings.caller_predict
        fields = tuple(predictor.signature.output_fields) if predictor is not None else ()
        # Made while running, it has no name in the program.
        step = self._program.step(predictor) or type(predictor).__name__.lower()
        count = self._counts[step]
        self._counts[step] += 1
        outputs = self._program.outputs
        parts = {name: Part(name, step, count, name in outputs) for name in fields}
        call = self._calls[key] = _Call(self._reader(fields), parts)
        self._latest.update((name, call) for name, part in parts.items() if part.output)
        return call

    def _reader(self, fields: tuple[str, ...]) -> _Reader:
        kind = self._program.model.adapter_name
        if kind == "json":
            return JSONFields(fields)
        return PlainFields(fields[0]) if kind == "plain" else ChatFields(fields)
