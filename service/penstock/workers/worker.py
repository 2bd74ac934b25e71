"""What does a process of the service do as one of several? The end of the line in the worker."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import structlog

from penstock.settings import Settings
from penstock.workers.place import DRAIN, GO, SERVING, Place

LAST_WORDS = 15.0
"""Seconds beyond DRAIN_MS, to leave the group."""

log = structlog.get_logger("penstock")


class Draining(Protocol):
    """The service, as far as it matters here."""

    @property
    def draining(self) -> bool: ...
    def drain(self) -> None: ...


class Worker:
    """Of this place. `listener`: where the supervisor asks over HTTP."""

    def __init__(self, place: Place) -> None:
        for inherited in (place.line, place.listener, place.stderr):
            # What programs start has no part in it.
            os.set_inheritable(inherited, False)
        self.number = place.number
        self.terminal = place.terminal
        self.listener = socket.socket(fileno=place.listener)
        self._stderr = place.stderr
        self.line = os.fdopen(place.line, "r+b", buffering=0)
        """To the supervisor, a word a line."""

    def settings(self, loaded: Settings) -> Settings:
        """Its own. As in Kafka Streams, a static member's name gets the number of each."""
        name = loaded.kafka.group_instance_id
        if name is None:
            return loaded
        kafka = loaded.kafka.model_copy(update={"group_instance_id": f"{name}-{self.number}"})
        return loaded.model_copy(update={"kafka": kafka})

    def wait_for_go(self) -> None:
        """Raises SystemExit: there is no supervisor any more, and nothing has begun."""
        if self.line.readline() != GO:
            raise SystemExit(1)

    def beside(self, drain: float) -> Callable[[Draining], AbstractAsyncContextManager[None]]:
        """What goes on beside the service. `drain`: seconds that a drain may take."""

        @asynccontextmanager
        async def listening(running: Draining) -> AsyncIterator[None]:
            loop = asyncio.get_running_loop()

            def begin() -> None:
                if not running.draining:
                    running.drain()

            # A thread, as it ends a process whose loop does not turn any more.
            threading.Thread(
                target=self._listen,
                args=(lambda: loop.call_soon_threadsafe(begin), drain + LAST_WORDS),
                name="supervisor",
                daemon=True,
            ).start()
            # If it is away, the thread has seen that.
            with suppress(OSError):
                self.line.write(SERVING)
            yield

        return listening

    def _listen(self, drain: Callable[[], object], at_most: float) -> None:
        # Where it died before it had read what we said, its end is an error instead of an end.
        with suppress(ConnectionResetError):
            for word in self.line:
                if word == DRAIN:
                    drain()
        os.dup2(self._stderr, 2)
        log.error("the supervisor has died; this worker drains and ends")
        drain()
        time.sleep(at_most)
        os._exit(1)
