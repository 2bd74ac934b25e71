"""Ask a model over OpenAI's chat completions: one request per question, its answer as it comes.

The service's own engine for DSPy (`dspy.LM(async_engine=...)`): one session with as many
connections as there are questions, and no thread between a question and its socket. A request is
sent once: where nobody knows whether it has arrived, the call fails, for a second one would be
paid for.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

import aiohttp
import dspy
from dspy.clients.engines.base import validate_request
from dspy.lm15 import (
    LM15Error,
    OpenAIChatLM,
    Request,
    Response,
    StreamDeltaEvent,
    StreamStartEvent,
    TextDelta,
    ThinkingDelta,
    response_to_events,
)
from dspy.utils.usage_tracker import UsageTracker

from penstock.program.calls import current
from penstock.program.chat_wire import MAX_BODY, Answer, Call, ChatWire, Headers, streamable
from penstock.program.connection import Connections, Connector
from penstock.program.reading import Reading, Timeouts
from penstock.program.sse import Frames

_OK = 200

_MAX_REFUSAL = 64 * 1024
"""Bytes that are read of what says no. The status says the most of it; the rest may be any page."""


ESTIMATED = "estimated"
"""In a usage: nobody has told it."""

_BYTES_A_TOKEN = 4
"""Of English, and about that of JSON."""


class Speech(Protocol):
    """Where the words of one answer go."""

    async def say(self, words: Sequence[str]) -> None: ...
    async def end(self) -> None: ...

    def due(self) -> float:
        """When something of it will leave again, in the loop's seconds."""
        ...


class Heard(str):
    """Text that was heard when it came. DSPy is told it once more, for the response it builds."""

    __slots__ = ()


class OpenAIEngine:
    """One model of one endpoint. Belongs to the event loop that first uses it."""

    def __init__(
        self,
        dialect: OpenAIChatLM,
        model: str,
        timeouts: Timeouts,
        connector: Connector | None = None,
    ) -> None:
        """`connector`: see `Connections`."""
        self._wire = ChatWire(dialect)
        self._model = model
        self._connections = Connections(dialect.base_url, timeouts, connector)

    async def complete(self, request: Request) -> Response:
        """Raises LM15Error."""
        validate_request(request)
        call = self._wire.call(request, self._model, stream=False)
        async with self._answered(call, stream=False) as (response, reading):
            body = await reading.up_to(MAX_BODY + 1)
            answer = self._wire.response(request, call, _headers(response), body)
        if (told := current()) is not None:
            told.answered(answer.model, answer.finish_reason)
        return answer

    async def stream(self, request: Request) -> AsyncGenerator[Any, None]:
        """The events of one answer, as DSPy wants them: start, deltas, end.

        Raises LM15Error. Closing the iterator closes the connection.
        """
        validate_request(request)
        call = self._wire.call(request, self._model, stream=True)
        told = current()
        async with self._answered(call, stream=True) as (response, reading):
            headers = _headers(response)
            if response.content_type == "application/json":
                body = await reading.up_to(MAX_BODY + 1)
                whole = self._wire.response(request, call, headers, body)
                if told is not None:
                    told.answered(whole.model, whole.finish_reason)
                for event in response_to_events(streamable(whole)):
                    yield event
                return
            yield StreamStartEvent(model=call.model, adaptations=call.adaptations)
            answer = self._wire.answer(request, call, headers)
            speech = getattr(dspy.settings.send_stream, "speech", None)
            tracker, ended = dspy.settings.usage_tracker, False
            try:
                async with aclosing(
                    _told(answer, reading) if speech is None else _heard(answer, reading, speech())
                ) as events:
                    async for event in events:
                        if ended := event.type == "end":
                            if told is not None:
                                told.answered(answer.model, event.finish_reason)
                        elif told is not None:
                            told.begun()
                        yield event
            finally:
                if not ended:
                    _count_what_is_cut_off(tracker, call, answer)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The one it belongs to, once it is used."""
        return self._connections.loop

    async def aclose(self) -> None:
        await self._connections.aclose()

    @asynccontextmanager
    async def _answered(
        self, call: Call, *, stream: bool
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Reading]]:
        """The head of an answer. In the end its connection is closed, or free for the next call
        where the body was read to its end.
        """
        headers = call.headers
        if (told := current()) is not None:
            headers = [*headers, *told.sent(call.url, stream=stream)]
        reading = await self._connections.post(call.url, headers, call.body)
        response = reading.response
        try:
            if response.status != _OK:
                body = await _refusal(reading)
                raise self._wire.refusal(response.status, _headers(response), body)
            yield response, reading
        finally:
            reading.close()


def _count_what_is_cut_off(tracker: UsageTracker | None, call: Call, answer: Answer) -> None:
    """It is paid for all the same, and nobody says how much it was."""
    if tracker is not None and (said := answer.pieces):
        asked = len(call.body) // _BYTES_A_TOKEN
        used = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        tracker.add_usage(call.model, {**used, ESTIMATED: True})


async def _refusal(reading: Reading) -> bytes:
    """Nothing where it does not come: the status and the headers say the most of it."""
    try:
        return await reading.up_to(_MAX_REFUSAL)
    except LM15Error:
        return b""


async def _said(
    answer: Answer, reading: Reading, due: Callable[[], float] = lambda: 0.0
) -> AsyncGenerator[list[Any], None]:
    """What the model says, all of one read at a time; `due`: see `Reading.next`."""
    frames = Frames()
    received = b"-"
    while received and not answer.done:
        try:
            received = await reading.next(due())
        except LM15Error:
            received = reading.left()
            if not received:
                if answer.whole:
                    # What is missing is its usage; to ask again would be paid for again.
                    return
                raise
        deltas: list[Any] = []
        wrong: LM15Error | None = None
        for frame in frames.feed(received) if received else frames.finish():
            try:
                deltas += answer.read(frame)
            except LM15Error as error:
                wrong = error
                break
        if answer.whole:
            reading.almost_over()
        if deltas:
            # Said before it went wrong.
            reading.begun()
            yield deltas
        if wrong is not None:
            raise wrong
    await reading.rest()


async def _told(answer: Answer, reading: Reading) -> AsyncGenerator[Any, None]:
    """An event for every word."""
    async with aclosing(_said(answer, reading)) as said:
        async for deltas in said:
            for delta in deltas:
                yield StreamDeltaEvent(TextDelta(text=delta) if isinstance(delta, str) else delta)
    yield answer.end()


async def _heard(answer: Answer, reading: Reading, speech: Speech) -> AsyncGenerator[Any, None]:
    """Every word at once to our own listener, and to DSPy in one piece at the end.

    DSPy's way from an event to its listener costs more than all else that is done for a word. It
    is told when words begin to leave, for then it may not ask again, and builds the same response.
    """
    words: list[str] = []
    thoughts: list[str] = []
    async with aclosing(_said(answer, reading, speech.due)) as said:
        async for deltas in said:
            if new := [delta for delta in deltas if isinstance(delta, str)]:
                if not words:
                    yield StreamDeltaEvent(TextDelta(text=""))
                words += new
                await speech.say(new)
            for delta in deltas:
                if isinstance(delta, ThinkingDelta):
                    thoughts.append(delta.text)
                elif not isinstance(delta, str):
                    yield StreamDeltaEvent(delta)
    end = answer.end()
    await speech.end()
    if thoughts:
        yield StreamDeltaEvent(ThinkingDelta(text="".join(thoughts)))
    if words:
        yield StreamDeltaEvent(TextDelta(text=Heard("".join(words))))
    yield end


def _headers(response: aiohttp.ClientResponse) -> Headers:
    return list(response.headers.items())
