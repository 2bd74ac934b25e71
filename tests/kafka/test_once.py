"""What is said once, over a network that loses it, or the acknowledgement."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from penstock.clock import Clock
from penstock.core.failure import Failure, Kind
from penstock.errors import KafkaError, PublishError, UnknownOutcomeError
from penstock.kafka import producer
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.once import Once
from penstock.kafka.sink import Target
from tests.support.kafka import Topics
from tests.support.lossy import LOST, Lose, carries_again, detour
from tests.support.saying import Saying, saying

FAILURE = Failure(Kind.RECORD, "not_json", "not JSON", "decode")


Sends = Callable[[Delivery], Awaitable[int | None]]
Finds = Callable[[Raw, float], Awaitable[int | None]]
Parts = tuple[Sends, Finds, Target]


def _completion(here: Saying) -> Parts:
    def send(question: Delivery) -> Awaitable[int | None]:
        return here.sink.completion(question, here.completion(question))

    return send, here.lookup.completion, here.sink.completions


def _dead_letter(here: Saying) -> Parts:
    def send(question: Delivery) -> Awaitable[int | None]:
        return here.sink.dead_letter(question, FAILURE, 1)

    return send, here.lookup.dead_letter, here.sink.dead_letters


@LOST
@pytest.mark.parametrize("what", [_completion, _dead_letter])
async def test_what_nobody_has_acknowledged_is_looked_for(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    lose: Lose,
    landed: bool,
    what: Callable[[Saying], Parts],
) -> None:
    monkeypatch.setattr(producer, "FLIGHT", 0.2)
    async with (
        detour(bootstrap_servers, monkeypatch) as network,
        saying(bootstrap_servers, topics) as here,
    ):
        send, find, target = what(here)
        question, sent = here.question(7), 0
        once = Once(partial(find, question.raw), here.sink.settled, Clock().wall)

        async def sends() -> int | None:
            nonlocal sent
            sent += 1
            return await send(question)

        await send(here.question(1))
        lost = lose(network, monkeypatch)
        saying_it = asyncio.create_task(once.send(sends))
        await lost.wait()
        here.sink.forget(question.record)
        with pytest.raises(UnknownOutcomeError):
            await saying_it
        # The proxy has to see that the connection is gone.
        await here.sink.settled()
        carries_again(network)
        assert await once.send(sends) == 1
        assert sent == 2 - landed
        assert len(await here.read(target)) == 2


async def test_as_long_as_nobody_can_look_nothing_is_sent() -> None:
    blind: list[Exception] = [TimeoutError("no answer"), KafkaError("no")]
    sent: list[str] = []

    async def find(_: float) -> int | None:
        if blind:
            raise blind.pop()
        return 3

    async def settled() -> None:
        pass

    async def send() -> int | None:
        sent.append("once")
        raise UnknownOutcomeError("given up")

    once = Once(find, settled, lambda: 100.0)
    with pytest.raises(UnknownOutcomeError):
        await once.send(send)
    for _ in range(2):
        with pytest.raises(PublishError, match="is not known"):
            await once.send(send)
    assert await once.send(send) == 3
    assert sent == ["once"]
