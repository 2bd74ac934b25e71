"""What the model says, split into the program's fields, handed to the token stream."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import dspy
from dspy.utils.callback_context import ACTIVE_CALL_ID

from penstock.clock import Clock
from penstock.events.report import Report
from penstock.program.catalog import Program
from penstock.program.fields import ChatFields, JSONFields, PlainFields
from penstock.program.openai_engine import Heard
from penstock.program.stream import Part, TokenStream
from penstock.program.threads import Threads


class _Reader(Protocol):
    def feed(self, text: str) -> list[tuple[str, str]]: ...
    def finish(self) -> list[tuple[str, str]]: ...


class _Call:
    """One call of a predictor: its words, split into fields as they come."""

    def __init__(self, listener: "Listener") -> None:
        self.parts: Mapping[str, Part] = {}
        self._listener = listener
        self._reader: _Reader | None = None
        self._said: dict[str, list[str]] = {}

    async def say(self, words: Sequence[str]) -> None:
        if self._reader is None:
            self._reader, self.parts = self._listener.begin(self)
        feed = self._reader.feed
        await self._pass_on([piece for word in words for piece in feed(word)])

    def due(self) -> float:
        return self._listener.due()

    async def end(self) -> None:
        if self._reader is not None:
            await self._pass_on(self._reader.finish())

    def said(self, field: str) -> str:
        return "".join(self._said.get(field, ()))

    async def _pass_on(self, pieces: Sequence[tuple[str, str]]) -> None:
        """Those of one field that follow each other are said at once."""
        for field, group in groupby(pieces, itemgetter(0)):
            part, texts = self.parts[field], [text for _, text in group]
            if part.output:
                self._said.setdefault(field, []).extend(texts)
            await self._listener.say(part, "".join(texts), len(texts))


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

    def speech(self) -> _Call:
        """For our own engine, which tells a call's words as the model says them."""
        return _Call(self)

    async def send(self, chunk: Any) -> None:
        """For every other engine, by way of DSPy."""
        choice = chunk.choices[0]
        text = choice.delta.content
        # Not every server gives every call an id of its own; one call may give several answers.
        key = (chunk.predict_id, ACTIVE_CALL_ID.get(), chunk.id)
        if text and not isinstance(text, Heard):
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = _Call(self)
            await call.say((text,))
        if choice.finish_reason is not None and key in self._calls:
            await self._calls.pop(key).end()

    def said(self) -> dict[str, str]:
        """By output field, so far."""
        return {name: call.said(name) for name, call in self._latest.items()}

    async def reconcile(self, outputs: Mapping[str, Any]) -> None:
        """What the stream missed is sent; what it got wrong is void and said again."""
        texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
        said = self.said()
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

    def end(self) -> None:
        """Nobody asks for what was said any more."""
        self._calls.clear()
        self._latest.clear()

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

    def due(self) -> float:
        return self._stream.due

    async def say(self, part: Part, text: str, tokens: int) -> None:
        """What a call says."""
        self._threads.check()
        try:
            await self._stream.say(part, text, tokens)
        except Exception as error:
            self.error = error
            raise

    def begin(self, call: _Call) -> tuple[_Reader, Mapping[str, Part]]:
        """The first word of a call: how its text is read, and where each field belongs."""
        if not self._counts:
            self._report.answering()
        if self._report.first_token_at is None:
            self._report.first_token_at = self._clock.monotonic()
        predictor = dspy.settings.caller_predict
        fields = tuple(predictor.signature.output_fields) if predictor is not None else ()
        # Made while running, it has no name in the program.
        step = self._program.step(predictor) or type(predictor).__name__.lower()
        count = self._counts[step]
        self._counts[step] += 1
        outputs = self._program.outputs
        parts = {name: Part(name, step, count, name in outputs) for name in fields}
        self._latest.update((name, call) for name, part in parts.items() if part.output)
        return self._reader(fields), parts

    def _reader(self, fields: tuple[str, ...]) -> _Reader:
        kind = self._program.model.adapter_name
        if kind == "json":
            return JSONFields(fields)
        return PlainFields(fields[0]) if kind == "plain" else ChatFields(fields)
