"""What one question says, as token events: one record in flight, the rest merged behind it.

The first piece leaves at once. What the model says while that record is unacknowledged is merged
into the next, so an idle broker gives an event per chunk and a busy one fewer and larger events.
So does a busy process: between two records of a stream there is an interval at least.
A stream holds one record in flight and one buffer; when that is full, reading the model waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from penstock.events import token

BUFFER = 4096
"""Characters said and not yet handed to the producer at which the speaker waits."""

PIECE = 64 * 1024
"""Characters of one event at most: topics have limits, and programs may say a book at once."""

Send = Callable[[bytes, int], Awaitable["asyncio.Future[Any]"]]
"""Hands an encoded event and its sequence to the producer; the future is its acknowledgement."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a piece of text belongs."""

    field: str
    step: str
    call: int
    output: bool


class TokenStream:
    """The token events of one question, gap-free across its attempts.

    Belongs to one event loop. Calls may overlap: a program may ask several predictors at once.
    `interval`: seconds from one record to the next at least, asked for at each.
    """

    def __init__(
        self,
        question_id: str,
        send: Send,
        interval: Callable[[], float] = lambda: 0.0,
        sequence: int = 0,
    ) -> None:
        self.question_id = question_id
        self.attempt = 0
        self.tokens = 0
        self._pieces = 0
        self.waited = 0.0
        """Seconds that speakers have waited for room."""
        self.last_sequence: int | None = None
        """The sequence of the `end` event."""
        self._send = send
        self._interval = interval
        self._next = sequence
        self._pending: deque[tuple[Part, list[str]]] = deque()
        self._pending_size = 0
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self.due = 0.0
        """Loop time before which nothing that is said leaves."""
        self._flushing: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._handing_over = asyncio.Lock()
        """Sequences reach the producer in order even where it makes the sender wait."""
        self._error: BaseException | None = None
        self.said_something = False
        """That a reader takes for the answer: since the last `restart`."""
        self._closed = False

    async def say(self, part: Part, text: str, tokens: int = 1) -> None:
        """The text is of so many tokens. Raises what went wrong with an earlier record."""
        if not text or self._closed:
            return
        self.tokens += tokens
        self.said_something = True
        for start in range(0, len(text), PIECE):
            await self._say(part, text[start : start + PIECE])

    @property
    def merged(self) -> int:
        """Tokens that had no piece of their own."""
        return max(0, self.tokens - self._pieces)

    async def _say(self, part: Part, text: str) -> None:
        if self._pending and self._pending[-1][0] == part:
            self._pending[-1][1].append(text)
        else:
            self._pending.append((part, [text]))
            self._pieces += 1
        self._pending_size += len(text)
        if not self._in_flight and self._timer is None:
            await self._put_pending()
        if self._pending_size >= BUFFER and self._error is None:
            await self._wait_for_room()
        if self._error is not None:
            raise self._error

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            while self._pending_size >= BUFFER and self._error is None:
                if self._room is None:
                    self._room = loop.create_future()
                await asyncio.shield(self._room)
        finally:
            self.waited += loop.time() - since

    def begin(self, attempt: int) -> None:
        """What went wrong with the records of the one before is forgotten."""
        self.attempt = attempt
        self._error = None

    def goes_on(self, sequence: int, attempt: int) -> None:
        """Somebody else has begun it. Before anything is said."""
        self._next = sequence
        self.attempt = attempt

    async def restart(self, reason: str) -> None:
        """What was said before is void."""
        if self._closed:
            return
        self._pending.clear()
        self._made_room(self._pending_size)
        self.said_something = False
        await self._put("restart", reason=reason)

    async def status(self, text: str) -> None:
        """A step or a tool call, for people to read."""
        if self._closed:
            return
        await self._put_pending()
        await self._put("status", text=text)

    async def end(self, status: str) -> "asyncio.Future[Any]":
        """The last event; the future is its acknowledgement. May be called again after an error.

        What a cancelled program still says afterwards is dropped.
        """
        self._closed = True
        self._error = None
        if self.last_sequence is None:
            await self._put_pending()
        else:
            self._next = self.last_sequence
        self.last_sequence = self._next
        return await self._put("end", status=status)

    def drop(self) -> None:
        """Say nothing more, not even what is pending: another process answers this question."""
        self._closed = True
        self._pending.clear()

    async def _put_pending(self) -> None:
        while self._pending:
            part, texts = self._pending.popleft()
            text = "".join(texts)
            self._made_room(len(text))
            await self._put(
                "token",
                field=part.field,
                text=text,
                step=part.step,
                call=part.call,
                output=part.output,
            )

    async def _put(self, kind: str, **body: Any) -> "asyncio.Future[Any]":
        self._in_flight += 1
        try:
            async with self._handing_over:
                sequence = self._next
                value = token.encode(kind, self.question_id, sequence, self.attempt, **body)
                acknowledgement = await self._send(value, sequence)
                self._next = sequence + 1
        except BaseException:
            self._in_flight -= 1
            raise
        if self._timer is None and (interval := self._interval()):
            loop = acknowledgement.get_loop()
            self.due = loop.time() + interval
            self._timer = loop.call_at(self.due, self._interval_over)
        acknowledgement.add_done_callback(self._acknowledged)
        return acknowledgement

    def _acknowledged(self, acknowledgement: "asyncio.Future[Any]") -> None:
        self._in_flight -= 1
        if not acknowledgement.cancelled() and (error := acknowledgement.exception()) is not None:
            self._error = error
            self._made_room(0)
        self._go_on()

    def _interval_over(self) -> None:
        self._timer = None
        self._go_on()

    def _go_on(self) -> None:
        if self._pending and not self._in_flight and self._timer is None and self._error is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await self._put_pending()
        except Exception as error:  # noqa: BLE001 - raised to the speaker at its next word
            self._error = error
            self._made_room(0)
        finally:
            # Its context knows the listener, which knows us.
            self._flushing = None

    def _made_room(self, size: int) -> None:
        self._pending_size -= size
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
