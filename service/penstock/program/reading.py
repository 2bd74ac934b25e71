"""How long may each part of an answer take, and how is its body read?"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from dspy.lm15 import LM15Error
from dspy.lm15 import TimeoutError as LateError

from penstock.program.connection_errors import CONNECTION_FAILURES, connection_error

_AFTERWARDS = 2.0
"""Seconds for what may follow the last word: the usage, and the end of the body, without which
the connection cannot be kept."""

_WORTH_GATHERING = 0.005
"""Seconds. In less than that, hardly a second word comes."""

_GATHERED = 0.05
"""Seconds at most: a question that is cut off keeps what was read."""

_STANDSTILL = 1.0
"""Seconds by which a timer is late when the process, or its machine, was frozen."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    Args:
        connect: for a connection: name, TCP, TLS, and the proxy's part.
        first_token: from the request to the first word or thought; for an answer that is not
            streamed, to its head. None: only the question's own deadline counts, for a model may
            think, or have others to serve first, for minutes, and asking again is paid for again.
        idle: of silence after that. A keep-alive comment is no silence.
    """

    connect: float = 5.0
    first_token: float | None = None
    idle: float = 30.0


def too_late(what: str, seconds: float | None, setting: str) -> LateError:
    return LateError(f"{what} from the model within {seconds:g} s ({setting})")


class Reading:
    """The body of one answer, each part in its time. To be closed."""

    def __init__(
        self, response: aiohttp.ClientResponse, timeouts: Timeouts, first_by: float | None
    ) -> None:
        self.response = response
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._idle = timeouts.idle
        self._begun = False
        self._waiting_since: float | None = None
        self._gathering: asyncio.Future[None] | None = None
        response.content.on_eof(self._gathered)
        # One timer for the whole answer: a timeout around every read costs as much as the read.
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        if first_by is not None:
            self._look_at(first_by)

    async def next(self, due: float = 0.0) -> bytes:
        """What has come; empty at the end. Raises LM15Error.

        Before it is `due`, in the loop's seconds, nobody needs it: so much of it is taken at once,
        for to be woken for every word costs more than the word. The end comes at once, and so does
        the first word, for which there may be a limit.
        """
        now = self._loop.time()
        worth_it = self._begun and due - now > _WORTH_GATHERING
        if worth_it and not self.response.content.is_eof():
            await self._gather(now + min(due - now, _GATHERED))
        self._waiting_since = self._loop.time()
        try:
            return await self.response.content.readany()
        except LM15Error:
            raise
        except CONNECTION_FAILURES as error:
            raise connection_error(error) from error
        finally:
            self._waiting_since = None

    async def _gather(self, until: float) -> None:
        self._gathering = self._loop.create_future()
        timer = self._loop.call_at(until, self._gathered)
        try:
            await self._gathering
        finally:
            timer.cancel()

    def _gathered(self) -> None:
        if self._gathering is not None and not self._gathering.done():
            self._gathering.set_result(None)

    def left(self) -> bytes:
        """After an error: what came before it and was not read yet."""
        return self.response.content._read_nowait(-1)  # noqa: SLF001 - its other methods only raise the error

    async def up_to(self, most: int) -> bytes:
        """The whole body, or its first `most` bytes; what follows those is not waited for."""
        self.begun()
        parts: list[bytes] = []
        size = 0
        while size < most and (part := await self.next()):
            parts.append(part)
            size += len(part)
        return b"".join(parts)[:most]

    def begun(self) -> None:
        """The first token has come: from here on, silence is counted."""
        if not self._begun:
            self._begun = True
            self._count_silence()

    def almost_over(self) -> None:
        """All words are there: nothing is worth a long wait any more."""
        if not self._begun or self._idle > _AFTERWARDS:
            self._begun = True
            self._idle = min(self._idle, _AFTERWARDS)
            self._count_silence()

    async def rest(self) -> None:
        """To the end of the body, for the connection's sake alone."""
        self.almost_over()
        with suppress(LM15Error):
            while await self.next():
                pass

    def close(self) -> None:
        """The connection is free for the next call where the body was read to its end."""
        if self._timer is not None:
            self._timer.cancel()
        self.response.close()

    def _count_silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_at(self._loop.time() + self._idle)

    def _look_at(self, when: float) -> None:
        self._due = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Not late after a freeze, when what the model said meanwhile is still to be read; and
        what somebody else took, a slow broker perhaps, is no silence of the model.
        """
        now = self._loop.time()
        stood_still = now - self._due > _STANDSTILL
        if not self._begun:
            again = now + _STANDSTILL if stood_still else now
        elif stood_still or self._waiting_since is None:
            again = now + self._idle
        else:
            again = self._waiting_since + self._idle
        if again > now:
            self._look_at(again)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Whoever reads next, or is waiting to, is told."""
        if self._begun:
            late = too_late("no more words", self._idle, "IDLE_MS")
        else:
            late = too_late("no first token", self._timeouts.first_token, "FIRST_TOKEN_MS")
        self.response.content.set_exception(late)
