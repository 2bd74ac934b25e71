"""What has one client not yet taken of what is said? A bounded buffer; what does not fit into it is
read again from the topic when there is room.

A stream is live, or behind: then it reads one lap from where it stands to where the live ones are.
What is said meanwhile is kept aside, so that one lap is enough.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from penstock.errors import KafkaError
from penstock.gateway.index import Ended

BUFFER_BYTES = 64 * 1024
"""Of one client. A single record is taken whatever its size is."""


class Said(NamedTuple):
    """One token record. `value`: its bytes, one JSON object as on the topic."""

    partition: int
    offset: int
    sequence: int
    kind: str
    """`token`, `restart`, `status` or `end`, or what a later release says."""
    value: bytes


class Stream:
    """Args:
    question_id: of whose tokens.
    partition: of the tokens.
    start: the first offset that is wanted.
    live: nothing of it stands between `start` and what the others are told next.
    behind: is called when it needs a lap.
    """

    def __init__(
        self,
        question_id: str,
        partition: int,
        start: int,
        behind: Callable[["Stream"], None],
        *,
        live: bool,
    ) -> None:
        self.question_id = question_id
        self.partition = partition
        self.next = start
        """Offset from which on records are wanted."""
        self.live = live
        self.lap = False
        """Somebody reads for it."""
        self._left = False
        self.ended: Ended | None = None
        self._behind = behind
        self._buffer: list[Said] = []
        self._bytes = 0
        self._aside: deque[Said] | None = None
        self._aside_bytes = 0
        self._cut: int | None = None
        self._something = asyncio.Event()
        self._failure: KafkaError | None = None

    # --- who reads the topics ---------------------------------------------------------------------

    def offer(self, said: Said) -> None:
        """Live, in order."""
        if self.live:
            self._take(said)
        elif self._aside is not None and self._cut is None:
            if self._aside_bytes + len(said.value) > BUFFER_BYTES:
                self._cut = said.offset
                return
            self._aside.append(said)
            self._aside_bytes += len(said.value)

    def fill(self, said: Said) -> bool:
        """On a lap, in order. False: there is no more room."""
        if self._left:
            return False
        if said.offset >= self.next:
            self._take(said)
        return self._room()

    def begin_lap(self, *, last: bool) -> None:
        """`last`: it goes to where the live ones are now."""
        self._aside = deque() if last else None
        self._aside_bytes = 0
        self._cut = None

    def end_lap(self, reached: int) -> None:
        """All up to this offset was offered, or there was no more room before."""
        self.lap = False
        aside, self._aside = self._aside, None
        if not self._room():
            return
        self.next = max(self.next, reached)
        if aside is None:
            self._ask()
            return
        for said in aside:
            self._append(said)
        if self._cut is None:
            self.live = True
        else:
            self.next = self._cut
        self._something.set()

    def end(self, ended: Ended) -> None:
        """Its completion is there."""
        self.ended = ended
        self._something.set()

    def fail(self, failure: KafkaError) -> None:
        """Nothing more can be read."""
        self._failure = failure
        self._something.set()

    # --- its client -------------------------------------------------------------------------------

    def take(self) -> list[Said]:
        """All that is there; nothing where there is nothing.

        Raises:
            KafkaError: there will be none.
        """
        if self._buffer:
            ready, self._buffer, self._bytes = self._buffer, [], 0
            return ready
        if self._failure is not None:
            raise self._failure
        self._something.clear()
        self._ask()
        return []

    async def something(self) -> None:
        """Waits until something has changed since the last `take` that gave nothing."""
        await self._something.wait()

    def leave(self) -> None:
        """Its client has gone."""
        self._left = True

    @property
    def caught_up(self) -> bool:
        """It has all that was said so far."""
        return self.live and not self._buffer

    def _ask(self) -> None:
        if not self.live and not self.lap and not self._left:
            self.lap = True
            self._behind(self)

    def _room(self) -> bool:
        return self._bytes < BUFFER_BYTES

    def _take(self, said: Said) -> None:
        if self._room():
            self._append(said)
            return
        # What it has not taken stands in the topic.
        self.live = False
        self.next = said.offset

    def _append(self, said: Said) -> None:
        self._buffer.append(said)
        self._bytes += len(said.value)
        self.next = said.offset + 1
        self._something.set()
