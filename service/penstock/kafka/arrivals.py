"""Which partitions are on their way in? What is done of them is found out beside the heartbeats,
the other partitions and each other.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from penstock.errors import KafkaError
from penstock.kafka.recovery import Arrival, Recovery
from penstock.kafka.rights import unreadable
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.stopping import cancelled

FIRST_BACKOFF = 0.2
LAST_BACKOFF = 5.0
"""Seconds between two tries; they double."""

log = structlog.get_logger("penstock.kafka")

Arrived = Callable[[dict[int, Arrival]], None]


Recover = Callable[[frozenset[int]], Awaitable[dict[int, Arrival]]]


class Arrivals:
    """Of one member of the group.

    Args:
        recovery: finds out.
        arrived: is told what of some partitions is known.
        failed: is told what only a person can mend.
    """

    def __init__(
        self, recovery: Recovery, arrived: Arrived, failed: Callable[[KafkaError], None]
    ) -> None:
        self._recovery = recovery
        self._arrived = arrived
        self._failed = failed
        self._tasks: dict[asyncio.Task[None], frozenset[int]] = {}
        self._closed = False

    def __contains__(self, partition: int) -> bool:
        return any(partition in partitions for partitions in self._tasks.values())

    @property
    def partitions(self) -> frozenset[int]:
        """Those on their way in."""
        return frozenset().union(*self._tasks.values())

    def begin(
        self,
        partitions: frozenset[int],
        *,
        after: Callable[[], Awaitable[None]] | None = None,
        anew: bool = False,
        known: bool = False,
    ) -> None:
        """`after` something that has to be done first. The others: see `Recovery.recover`."""

        def recover(some: frozenset[int]) -> Awaitable[dict[int, Arrival]]:
            nothing: frozenset[int] = frozenset()
            return self._recovery.recover(
                some, anew=some if anew else nothing, known=some if known else nothing
            )

        if partitions and not self._closed:
            task = asyncio.ensure_future(self._arrive(partitions, after, recover))
            self._tasks[task] = partitions
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Whatever has not arrived by now does not arrive."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """And nothing begins any more."""
        self._closed = True
        await self.stop()

    async def _arrive(
        self,
        partitions: frozenset[int],
        after: Callable[[], Awaitable[None]] | None,
        recover: Recover,
    ) -> None:
        if after is not None:
            await after()
        left, backoff = set(partitions), FIRST_BACKOFF
        # Together, which is fast; then one by one, for one that cannot be read holds up no other.
        tries = [partitions]
        while left:
            for some in tries:
                if await self._tried(some, recover):
                    left -= some
            tries = [frozenset({partition}) for partition in sorted(left)]
            if left:
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, LAST_BACKOFF)

    async def _tried(self, partitions: frozenset[int], recover: Recover) -> bool:
        try:
            found = await recover(partitions)
        except FORBIDDEN:
            raise
        except (Exception, asyncio.CancelledError) as error:  # not to know is not to have nothing
            if cancelled():
                raise
            reason = str(error) or type(error).__name__
            log.warning(
                "what is done cannot be read yet", partitions=sorted(partitions), reason=reason
            )
            return False
        self._arrived(found)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            why = unreadable(error, "?") if isinstance(error, FORBIDDEN) else str(error)
            self._failed(KafkaError(f"what is done cannot be read: {why}"))
