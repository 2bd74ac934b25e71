"""Where the logs of paused partitions end is asked for, whatever the client makes of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from penstock.kafka import log_ends
from penstock.kafka.log_ends import LogEnds

PLACE = TopicPartition("questions", 0)


LEADERLESS = TopicPartition("questions", 1)


class Consumer:
    """Its first answer is what the client makes of a connection that it gives up."""

    def __init__(self, first: BaseException | dict[TopicPartition, int]) -> None:
        self.asked_again = asyncio.Event()
        self.state = SimpleNamespace(highwater=None, lso=None)
        self._answers: list[Any] = [first, {PLACE: 7}, {PLACE: 9}]
        assignment = SimpleNamespace(state_value=lambda _: self.state)
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


async def test_what_a_fetch_tells_counts_more_than_what_was_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A leader that has less than the one before, and the partition is fetched again."""
    monkeypatch.setattr(log_ends, "EVERY", 0.0)
    consumer: Any = Consumer({PLACE: 6})
    consumer.state.highwater = consumer.state.lso = 3
    ends = LogEnds(consumer)
    ends.start()
    async with asyncio.timeout(5):
        await consumer.asked_again.wait()
        assert ends.end(PLACE) == ends.readable(PLACE) == 7
        consumer.state.highwater, consumer.state.lso = 5, 4
        assert (ends.end(PLACE), ends.readable(PLACE)) == (5, 4)
        await ends.stop()


async def test_a_partition_without_a_leader_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_ends, "EVERY", 0.0)
    waiting = asyncio.Event()

    class Two(Consumer):
        def paused(self) -> set[TopicPartition]:
            return {LEADERLESS, PLACE}

        assignment = paused

        async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
            if LEADERLESS in places:
                waiting.set()
                await self.asked_again.wait()
                # The other one has been answered by now.
                return dict.fromkeys(places, ends.end(PLACE) or 0)
            await waiting.wait()
            asyncio.get_running_loop().call_soon(self.asked_again.set)
            return dict.fromkeys(places, 7)

    consumer: Any = Two({})
    ends = LogEnds(consumer)
    ends.start()
    async with asyncio.timeout(5):
        await consumer.asked_again.wait()
        assert ends.end(PLACE) == 7
        await ends.stop()
