"""When is a reading taken for stalled? When nothing comes, and not when its reader is slow."""

from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.kafka.stretch import STALLED_SECONDS, Reader, Stretch

PLACE = TopicPartition("t", 0)


class Log:
    """A consumer. It has a record, or nothing, each time it is asked, and takes its time for it."""

    def __init__(self, *has: bool, pause: Callable[[], None] = lambda: None) -> None:
        self._has = list(has)
        self._next = 0
        self._pause = pause

    def assign(self, _: Any) -> None: ...

    def seek(self, *_: Any) -> None: ...

    def pause(self, _: Any) -> None: ...

    async def position(self, _: Any) -> int:
        return self._next

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
        self._pause()
        if not self._has.pop(0):
            return {}
        self._next += 1
        return {PLACE: [_record(self._next - 1)]}


def _record(offset: int) -> ConsumerRecord:
    return ConsumerRecord("t", 0, offset, 0, 0, None, None, None, -1, -1, ())


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def passes(self, seconds: float = STALLED_SECONDS + 1) -> None:
        self.now += seconds


async def test_a_slow_reader_is_no_stalled_broker() -> None:
    time = Time()
    log: Any = Log(True, False, True)
    topics = Reader(log, Clock(monotonic=lambda: time.now))
    found = []
    async for record in topics.read("records", {PLACE: Stretch(0, 2)}):
        found.append(record.offset)
        time.passes()
    assert found == [0, 1]


async def test_a_broker_that_sends_nothing_is() -> None:
    time = Time()
    log: Any = Log(True, False, pause=time.passes)
    topics = Reader(log, Clock(monotonic=lambda: time.now))
    with pytest.raises(KafkaError, match="nothing comes of"):
        async for _ in topics.read("records", {PLACE: Stretch(0, 2)}):
            pass
