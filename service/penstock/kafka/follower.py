"""What do others complete of our partitions?

Of a partition that came with work still running elsewhere, the end of its completions is read on
until nobody else has any of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from penstock.clock import Clock
from penstock.core.facts import Answered, Followed
from penstock.kafka.completed import Completions, json_object
from penstock.kafka.stretch import Reader, Stretch, reader

EVERY = 0.1
"""Seconds between two looks at the end."""
AGAIN_SECONDS = 1.0

log = structlog.get_logger("penstock.kafka")


class Follower:
    """Tells it in order; again what it is not sure to have told."""

    def __init__(
        self,
        client: Mapping[str, Any],
        clock: Clock,
        completions: Completions,
        tell: Callable[[Followed], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._completions = completions
        self._tell = tell
        self._followed: dict[int, tuple[int, int]] = {}
        """Partition to its epoch and position."""
        self._task: asyncio.Task[None] | None = None

    def follow(self, partitions: Mapping[int, tuple[int, int]]) -> None:
        """These from now on, and no others."""
        before = self._followed
        self._followed = {
            number: before[number] if before.get(number, (-1,))[0] == wanted[0] else wanted
            for number, wanted in partitions.items()
        }
        if self._followed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._followed:
            try:
                async with reader(self._client, self._clock) as topics:
                    while self._followed:
                        await self._read_on(topics)
                        await asyncio.sleep(EVERY)
            except Exception as error:  # noqa: BLE001 - not to know is not to have nothing
                log.warning("the completions of others cannot be read yet", error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read_on(self, topics: Reader) -> None:
        followed = dict(self._followed)
        as_of = self._clock.monotonic()
        whole = await topics.whole({self._completions.place(number) for number in followed})
        starts = {place: stretch.end for place, stretch in whole.items()}
        for number, (_, position) in followed.items():
            place = self._completions.place(number)
            starts[place] = max(whole[place].start, min(starts[place], position))
        stretches = {place: Stretch(start, whole[place].end) for place, start in starts.items()}
        answered: dict[int, list[Answered]] = {number: [] for number in followed}
        async for record in topics.read("completions", stretches):
            said = self._completions.answers(json_object(record.value))
            if said is not None and said.partition in answered:
                answered[said.partition].append(Answered(said.offset, said.timestamp))
        for number, (epoch, _) in followed.items():
            end = whole[self._completions.place(number)].end
            self._tell(Followed(number, epoch, answered[number], end, as_of))
            if self._followed.get(number, (-1,))[0] == epoch:
                self._followed[number] = epoch, end
