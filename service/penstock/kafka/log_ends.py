"""How far are our partitions read, and where do their logs end?

Every fetch tells. Nothing is fetched of a partition that is paused, and those are the ones whose
logs grow: their ends are asked for.
"""

import asyncio
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.kafka.stopping import cancelled
from penstock.kafka.stretch import in_time

EVERY = 5.0
"""Seconds between two looks at what is paused."""

log = structlog.get_logger("penstock.kafka")


class LogEnds:
    """Of what the consumer has. Ends do not go back."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._asked: dict[TopicPartition, int] = {}
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
        told = None if state is None else getattr(state, mark)
        asked = self._asked.get(tp)
        return max((end for end in (told, asked) if end is not None), default=None)

    def _state(self, tp: TopicPartition) -> Any:
        if tp not in self._consumer.assignment():
            return None
        subscription = self._consumer._subscription.subscription  # noqa: SLF001 - the public way awaits
        return subscription.assignment.state_value(tp)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            paused = list(self._consumer.paused())
            try:
                ends = await in_time(self._consumer.end_offsets(paused)) if paused else {}
            except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
                if cancelled():
                    raise
                # What was known before stands.
                log.debug("where the logs end is not known", error=repr(error))
            else:
                self._asked.update(ends)
