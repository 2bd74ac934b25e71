"""How far are our partitions read, and where do their logs end?

Every fetch tells. Nothing is fetched of a partition that is paused, and those are the ones whose
logs grow: their ends are asked for.
"""

import asyncio
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.kafka.stopping import cancelled
from penstock.kafka.stretch import in_time

EVERY = 5.0
"""Seconds between two looks at what is paused."""

log = structlog.get_logger("penstock.kafka")


class _Asked(NamedTuple):
    """An end that was asked for, and the marks that fetches had told by then."""

    end: int
    highwater: int | None
    lso: int | None


class LogEnds:
    """Of what the consumer has."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._asked: dict[TopicPartition, _Asked] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def forget(self, tp: TopicPartition) -> None:
        """It has left, or is another log."""
        self._asked.pop(tp, None)

    def position(self, tp: TopicPartition) -> int | None:
        """Of what is read next; None before that is known."""
        state = self._state(tp)
        return state.position if state is not None and state.has_valid_position else None

    def end(self, tp: TopicPartition) -> int | None:
        """Of all that is there; None before that is known."""
        return self._known(tp, "highwater")

    def readable(self, tp: TopicPartition) -> int | None:
        """Of what can be read: behind it, a transaction may be open."""
        return self._known(tp, "lso")

    def _known(self, tp: TopicPartition, mark: str) -> int | None:
        state = self._state(tp)
        told: int | None = None if state is None else getattr(state, mark)
        asked = self._asked.get(tp)
        if asked is None or told != getattr(asked, mark):
            # A fetch knows better: the log may be shorter by now.
            return told
        return asked.end if told is None else max(told, asked.end)

    def _state(self, tp: TopicPartition) -> Any:
        if tp not in self._consumer.assignment():
            return None
        subscription = self._consumer._subscription.subscription  # noqa: SLF001 - the public way awaits
        return subscription.assignment.state_value(tp)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            # Each for itself: one without a leader costs the others nothing.
            await asyncio.gather(*map(self._ask, self._consumer.paused()))

    async def _ask(self, tp: TopicPartition) -> None:
        try:
            ends = await in_time(self._consumer.end_offsets([tp]))
        except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
            if cancelled():
                raise
            # What was known before stands.
            log.debug("where a log ends is not known", place=tp, error=repr(error))
            return
        state = self._state(tp)
        if state is not None:
            self._asked[tp] = _Asked(ends[tp], state.highwater, state.lso)
