"""How do the token events of one question reach their topic, in order and each once?"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import structlog

from penstock.errors import PublishError, UnknownOutcomeError

AGAIN_SECONDS = 1.0

Send = Callable[[bytes, int], Awaitable["asyncio.Future[Any]"]]
"""An encoded event, and its sequence."""

log = structlog.get_logger("penstock.kafka")


class _Event(NamedTuple):
    value: bytes
    sequence: int
    acknowledged: "asyncio.Future[Any]"


class TokenChannel:
    """Where the producer has given an event up, the topic is asked, and what is not there is sent
    again.

    Args:
        send: to the producer.
        find: the last sequence that has arrived, of those since the moment of the call; Unix
            seconds. None: none has.
        wall: the time, in Unix seconds.
        translated: what an error of the client means.
    """

    def __init__(
        self,
        send: Send,
        find: Callable[[float], Awaitable[int | None]],
        wall: Callable[[], float],
        translated: Callable[[BaseException], BaseException],
    ) -> None:
        self._send = send
        self._find = find
        self._wall = wall
        self._translated = translated
        self._unheard: deque[_Event] = deque()
        self._since = 0.0
        self._mending: asyncio.Task[None] | None = None
        self._again = False
        """Something has become unknown since the topic was asked."""

    async def __call__(self, value: bytes, sequence: int) -> "asyncio.Future[Any]":
        while self._mending is not None:
            await asyncio.shield(self._mending)
        if not self._unheard:
            self._since = self._wall()
        event = _Event(value, sequence, asyncio.get_running_loop().create_future())
        self._unheard.append(event)
        try:
            await self._hand_over(event)
        except UnknownOutcomeError:
            self._mend()
        except BaseException:
            self._drop(event)
            raise
        return event.acknowledged

    async def _hand_over(self, event: _Event) -> None:
        sent = await self._send(event.value, event.sequence)
        sent.add_done_callback(partial(self._heard, event))

    def _heard(self, event: _Event, sent: "asyncio.Future[Any]") -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None:
            error = self._translated(error)
        if sent.cancelled() or isinstance(error, UnknownOutcomeError):
            self._mend()
            return
        self._drop(event)
        _end(event, error)

    def _drop(self, event: _Event) -> None:
        if event in self._unheard:
            self._unheard.remove(event)

    def _mend(self) -> None:
        self._again = True
        if self._mending is None:
            self._mending = asyncio.get_running_loop().create_task(self._mended())

    async def _mended(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._try_again()
        finally:
            self._mending = None

    async def _try_again(self) -> None:
        try:
            last = await self._find(self._since)
            while self._unheard and last is not None and self._unheard[0].sequence <= last:
                _end(self._unheard.popleft(), None)
            for event in list(self._unheard):
                await self._hand_over(event)
        except UnknownOutcomeError:
            self._again = True
        except PublishError as error:
            while self._unheard:
                _end(self._unheard.popleft(), error)
        except Exception as error:  # noqa: BLE001 - not to know is not to have nothing
            log.warning("whether a token has arrived is not known yet", error=str(error))
            self._again = True
            await asyncio.sleep(AGAIN_SECONDS)


def _end(event: _Event, error: BaseException | None) -> None:
    if event.acknowledged.done():
        return
    if error is None:
        event.acknowledged.set_result(None)
    else:
        event.acknowledged.set_exception(error)
