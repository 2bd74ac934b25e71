"""Where the logs of paused partitions end is asked for, whatever the client makes of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from penstock.kafka import log_ends
from penstock.kafka.log_ends import LogEnds

PLACE = TopicPartition("questions", 0)


class Consumer:
    """Its first answer is what the client makes of a connection that it gives up."""

    def __init__(self, first: BaseException) -> None:
        self.asked_again = asyncio.Event()
        self._answers: list[Any] = [first, {PLACE: 7}, {PLACE: 9}]
        state = SimpleNamespace(highwater=None, lso=None)
        assignment = SimpleNamespace(state_value=lambda _: state)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    def paused(self) -> set[TopicPartition]:
        return {PLACE}

    assignment = paused

    async def end_offsets(self, _: list[TopicPartition]) -> dict[TopicPartition, int]:
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if not self._answers:
            self.asked_again.set()
            await asyncio.Event().wait()
        found: dict[TopicPartition, int] = answer
        return found


@pytest.mark.parametrize("first", [asyncio.CancelledError(), TimeoutError()], ids=repr)
async def test_no_failure_of_the_client_ends_it(
    monkeypatch: pytest.MonkeyPatch, first: BaseException
) -> None:
    monkeypatch.setattr(log_ends, "EVERY", 0.0)
    consumer: Any = Consumer(first)
    ends = LogEnds(consumer)
    ends.start()
    async with asyncio.timeout(5):
        await consumer.asked_again.wait()
        assert ends.end(PLACE) == ends.readable(PLACE) == 7
        # In the middle of a question.
        await ends.stop()
