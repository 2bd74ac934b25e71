"""Token events whose producer has given them up: in order, and each once."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock.core.facts import RecordId
from penstock.errors import KafkaError, PublishError, UnknownOutcomeError
from penstock.kafka import producer, token_channel
from penstock.kafka.sink import KafkaSink
from penstock.kafka.token_channel import TokenChannel
from tests.support.kafka import Topics
from tests.support.lossy import LOST, Lose, carries_again, detour, loses_the_request
from tests.support.proxy import Network
from tests.support.saying import saying

GIVEN_UP = UnknownOutcomeError("given up")
PATIENCE_S = 15.0


@dataclass
class Topic:
    """A producer that a test answers for, and what is in its topic."""

    there: list[int] = field(default_factory=list)
    sent: list[tuple[int, asyncio.Future[Any]]] = field(default_factory=list)
    refuses: list[Exception] = field(default_factory=list)
    blind: list[Exception] = field(default_factory=list)
    holds: dict[int, asyncio.Future[None]] = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)
    wall: float = 100.0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.channel = TokenChannel(self._send, self._find, lambda: self.wall, lambda error: error)
        self.ready.set()

    async def say(self, sequence: int) -> "asyncio.Future[Any]":
        return await self.channel(b"%d" % sequence, sequence)

    def lands(self, at: int) -> None:
        sequence, sent = self.sent[at]
        self.there.append(sequence)
        sent.set_result(None)

    def lost(self, at: int, *, landed: bool) -> None:
        sequence, sent = self.sent[at]
        if landed:
            self.there.append(sequence)
        sent.set_exception(GIVEN_UP)

    async def _send(self, value: bytes, sequence: int) -> "asyncio.Future[Any]":
        assert value == b"%d" % sequence
        if sequence in self.holds:
            await self.holds.pop(sequence)
        if self.refuses:
            raise self.refuses.pop()
        sent = asyncio.get_running_loop().create_future()
        self.sent.append((sequence, sent))
        return sent

    async def _find(self, since: float) -> int | None:
        self.asked.append(since)
        await self.ready.wait()
        if self.blind:
            raise self.blind.pop()
        return max(self.there, default=None)

    async def until_sent(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            # The turns of the channel's own tasks.
            while len(self.sent) < times:  # noqa: ASYNC110
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_channel, "AGAIN_SECONDS", 0.01)


async def test_what_had_landed_is_not_sent_again() -> None:
    topic = Topic()
    first, second = await topic.say(0), await topic.say(1)
    topic.lost(0, landed=True)
    topic.lost(1, landed=True)
    await asyncio.gather(first, second)
    assert [sequence for sequence, _ in topic.sent] == [0, 1]


@pytest.mark.parametrize("landed", [0, 1, 2])
async def test_what_had_not_landed_is_sent_again_in_order(landed: int) -> None:
    topic = Topic()
    said = [await topic.say(sequence) for sequence in range(3)]
    for at in range(3):
        topic.lost(at, landed=at < landed)
    await topic.until_sent(3 + 3 - landed)
    assert [sequence for sequence, _ in topic.sent[3:]] == list(range(landed, 3))
    for at in range(3, len(topic.sent)):
        topic.lands(at)
    await asyncio.gather(*said)
    assert topic.there == [0, 1, 2]


async def test_nothing_is_said_while_it_is_not_known_what_has_arrived() -> None:
    topic = Topic()
    topic.ready.clear()
    first = await topic.say(0)
    topic.lost(0, landed=False)
    second = asyncio.create_task(topic.say(1))
    third = asyncio.create_task(topic.say(2))
    await asyncio.wait({second, third}, timeout=0.05)
    assert len(topic.sent) == 1
    topic.ready.set()
    await topic.until_sent(4)
    assert [sequence for sequence, _ in topic.sent] == [0, 0, 1, 2]
    for at in (1, 2, 3):
        topic.lands(at)
    await asyncio.gather(first, await second, await third)


async def test_what_comes_between_two_such_looks_is_sent_once() -> None:
    """The next is given up just when the first look has ended."""
    topic = Topic()
    first = await topic.say(0)
    topic.lost(0, landed=False)
    waiting = asyncio.create_task(topic.say(1))
    await topic.until_sent(2)
    # The channel notices it before `waiting` has its turn.
    topic.lost(1, landed=False)
    await topic.until_sent(4)
    await asyncio.wait({waiting}, timeout=0.05)
    assert [sequence for sequence, _ in topic.sent] == [0, 0, 0, 1]
    topic.lands(2)
    topic.lands(3)
    await asyncio.gather(first, await waiting)


async def test_what_is_given_up_before_it_is_queued_is_sent_again_behind_the_others() -> None:
    topic = Topic()
    first = await topic.say(0)
    topic.refuses = [GIVEN_UP]
    second = await topic.say(1)
    topic.lost(0, landed=False)
    await topic.until_sent(3)
    assert [sequence for sequence, _ in topic.sent] == [0, 0, 1]
    topic.lands(1)
    topic.lands(2)
    await asyncio.gather(first, second)


async def test_it_is_asked_for_what_came_since_the_first_that_nobody_has_acknowledged() -> None:
    topic = Topic()
    for sequence, at in enumerate((100.0, 200.0, 300.0)):
        topic.wall = at
        await topic.say(sequence)
        if sequence == 0:
            topic.lands(0)
            await asyncio.sleep(0)
    topic.lost(2, landed=True)
    topic.lost(1, landed=True)
    await asyncio.wait({asyncio.create_task(topic.say(3))}, timeout=PATIENCE_S)
    assert topic.asked == [200.0]


async def test_not_to_know_is_not_to_have_nothing() -> None:
    topic = Topic(blind=[KafkaError("cannot be read"), TimeoutError()])
    said = await topic.say(0)
    topic.lost(0, landed=True)
    await said
    assert (len(topic.asked), len(topic.sent)) == (3, 1)


async def test_what_is_no_longer_ours_is_not_sent_again() -> None:
    topic = Topic()
    said = [await topic.say(0), await topic.say(1)]
    topic.refuses = [PublishError("another member has the question")]
    topic.lost(0, landed=False)
    topic.lost(1, landed=False)
    for event in said:
        with pytest.raises(PublishError, match="another member"):
            await event
    assert len(topic.sent) == 2


async def test_nor_is_what_waits_meanwhile() -> None:
    topic = Topic()
    first = await topic.say(0)
    held = topic.holds[1] = asyncio.get_running_loop().create_future()
    second = asyncio.create_task(topic.say(1))
    await asyncio.sleep(0)
    topic.refuses = [PublishError("another member has the question")]
    topic.lost(0, landed=False)
    with pytest.raises(PublishError, match="another member"):
        await first
    held.set_exception(PublishError("another member has the question"))
    with pytest.raises(PublishError, match="another member"):
        await second
    assert len(topic.sent) == 1


async def test_what_the_broker_refuses_is_told() -> None:
    topic = Topic()
    said = await topic.say(0)
    topic.sent[0][1].set_exception(PublishError("no right"))
    with pytest.raises(PublishError, match="no right"):
        await said
    topic.refuses = [PublishError("too late")]
    with pytest.raises(PublishError, match="too late"):
        await topic.say(1)
    assert not topic.asked


# --- on a real Kafka ----------------------------------------------------------------------------


def _event(sequence: int) -> bytes:
    return json.dumps({"question_id": "q", "sequence": sequence, "attempt": 1}).encode()


@LOST
async def test_a_client_that_is_given_up_costs_no_token_and_doubles_none(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    lose: Lose,
    landed: bool,
) -> None:
    monkeypatch.setattr(producer, "FLIGHT", 0.2)
    async with (
        detour(bootstrap_servers, monkeypatch) as network,
        saying(bootstrap_servers, topics) as here,
    ):
        sink, delivery = here.sink, here.question(7)
        say = sink.token_sender(delivery)
        await (await say(_event(0), 0))
        said = await _lost(lose(network, monkeypatch), say, sink, network, delivery.record)
        said.append(await say(_event(3), 3))
        await asyncio.gather(*said)
        records = await here.read(sink.tokens)
        assert [json.loads(r.value)["sequence"] for r in records] == [0, 1, 2, 3]


async def _lost(
    lost: asyncio.Event, say: Any, sink: KafkaSink, network: Network, record: RecordId
) -> list["asyncio.Future[Any]"]:
    """Two on their way, when the client is given up for another question's sake."""
    said = [await say(_event(1), 1), await say(_event(2), 2)]
    await lost.wait()
    sink.forget(record)
    carries_again(network)
    return said


async def test_what_is_on_its_way_when_the_sink_stops_is_not_looked_for(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading would outlive the service."""
    async with (
        detour(bootstrap_servers, monkeypatch) as network,
        saying(bootstrap_servers, topics) as here,
    ):
        say = here.sink.token_sender(here.question(7))
        await (await say(_event(0), 0))
        lost = loses_the_request(network, monkeypatch)
        said = await say(_event(1), 1)
        await lost.wait()
        before = asyncio.all_tasks()
        await here.sink.stop()
        with pytest.raises(PublishError, match="has stopped"):
            await said
        assert asyncio.all_tasks() <= before
