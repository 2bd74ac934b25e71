"""What the producer has given up is looked for in its topic, by many at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock.core.failure import Failure, Kind
from penstock.errors import KafkaError
from penstock.kafka import lookup
from penstock.kafka.scope import CLOCK_SKEW
from penstock.kafka.stretch import Reader, reader
from tests.support.kafka import Topics
from tests.support.saying import Saying, saying

FAILURE = Failure(Kind.RECORD, "not_json", "not JSON", "decode")
STREAM = "questions/{}/{}/writer"


async def _say(here: Saying, offset: int, sequence: int, partition: int = 0) -> None:
    send = here.sink.token_sender(here.question(offset, partition))
    await (await send(b"{}", sequence))


async def test_a_completion_is_found_by_its_question(
    bootstrap_servers: str, topics: Topics
) -> None:
    began = time.time()
    async with saying(bootstrap_servers, topics) as here:
        question, other, later = (here.question(offset) for offset in (1, 2, 3))
        await here.sink.completion(other, here.completion(other))
        await here.sink.completion(question, here.completion(question, group="other"))
        first = await here.sink.completion(question, here.completion(question))
        await here.sink.completion(question, here.completion(question))
        assert await here.lookup.completion(question.raw, began) == first == 2
        assert await here.lookup.completion(later.raw, began) is None
        long_after = began + 2 * CLOCK_SKEW
        assert await here.lookup.completion(question.raw, long_after) is None


async def test_a_dead_letter_is_found_by_its_question(
    bootstrap_servers: str, topics: Topics
) -> None:
    began = time.time()
    async with saying(bootstrap_servers, topics) as here:
        question, other, later = (here.question(offset) for offset in (1, 2, 3))
        await here.sink.dead_letter(other, FAILURE, 1)
        first = await here.sink.dead_letter(question, FAILURE, 1)
        await here.sink.dead_letter(question, FAILURE, 2)
        assert await here.lookup.dead_letter(question.raw, began) == first == 1
        assert await here.lookup.dead_letter(later.raw, began) is None


async def test_of_a_stream_the_last_that_was_said(bootstrap_servers: str, topics: Topics) -> None:
    began = time.time()
    async with saying(bootstrap_servers, topics) as here:
        for sequence in range(3):
            await _say(here, 1, sequence)
        await _say(here, 11, 7)
        assert await here.lookup.last_said(0, STREAM.format(0, 1), began) == 2
        assert await here.lookup.last_said(0, STREAM.format(0, 2), began) is None


@dataclass
class Readings:
    """Those that have begun; each waits until it may go on."""

    begun: list[int] = field(default_factory=list)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    errors: dict[int, Exception] = field(default_factory=dict)
    """By the number of a reading, why it fails."""

    async def until(self, number: int) -> None:
        async with asyncio.timeout(15), self.news:
            await self.news.wait_for(lambda: len(self.begun) >= number)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    held = Readings()

    @asynccontextmanager
    async def reads(*arguments: Any) -> AsyncIterator[Reader]:
        async with reader(*arguments) as topics:
            number = len(held.begun)
            held.begun.append(number)
            async with held.news:
                held.news.notify_all()
            await held.may_go_on.wait()
            if number in held.errors:
                raise held.errors[number]
            yield topics

    monkeypatch.setattr(lookup, "reader", reads)
    return held


async def test_who_asks_while_others_are_told_shares_the_next_reading(
    bootstrap_servers: str, topics: Topics, readings: Readings
) -> None:
    """Not this one: it may end before what they want to know of."""
    began = time.time()
    async with saying(bootstrap_servers, topics, partitions=2) as here:
        for offset in range(4):
            await _say(here, offset, 10 + offset, offset % 2)

        def ask(offset: int, since: float) -> "asyncio.Task[int | None]":
            partition = offset % 2
            stream = STREAM.format(partition, offset)
            return asyncio.create_task(here.lookup.last_said(partition, stream, since))

        first = ask(0, began)
        await readings.until(1)
        # The earliest counts for all.
        long_after = began + 2 * CLOCK_SKEW
        others = [ask(1, long_after), ask(2, began), ask(3, long_after)]
        await asyncio.sleep(0)
        readings.may_go_on.set()
        assert await asyncio.gather(first, *others) == [10, 11, 12, 13]
        assert len(readings.begun) == 2


async def test_who_goes_away_leaves_the_others_their_answer(
    bootstrap_servers: str, topics: Topics, readings: Readings
) -> None:
    began = time.time()
    async with saying(bootstrap_servers, topics) as here:
        await _say(here, 1, 5)
        asks = [
            asyncio.create_task(here.lookup.last_said(0, STREAM.format(0, 1), began))
            for _ in range(3)
        ]
        await readings.until(1)
        asks[0].cancel()
        readings.may_go_on.set()
        assert await asyncio.gather(*asks[1:]) == [5, 5]
        assert len(readings.begun) == 2


async def test_what_cannot_be_read_is_told_to_all_at_once(
    bootstrap_servers: str, topics: Topics, readings: Readings
) -> None:
    began = time.time()
    readings.errors[1] = KafkaError("no")
    async with saying(bootstrap_servers, topics) as here:
        await _say(here, 1, 5)
        asks = [
            asyncio.create_task(here.lookup.last_said(0, STREAM.format(0, 1), began))
            for _ in range(3)
        ]
        await readings.until(1)
        readings.may_go_on.set()
        assert await asks[0] == 5
        told = await asyncio.gather(*asks[1:], return_exceptions=True)
        assert [str(error) for error in told] == ["tokens cannot be read: no"] * 2
        assert await here.lookup.last_said(0, STREAM.format(0, 1), began) == 5
        assert len(readings.begun) == 3
