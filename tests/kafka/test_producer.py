"""A producer that says nothing of what is no longer ours to say, on a real Kafka."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.errors import PublishError, UnknownOutcomeError
from penstock.kafka import producer as module
from penstock.kafka.producer import FLIGHT, Producer
from penstock.kafka.security import client_arguments
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.lossy import LOST, Lose, carries_again, detour, loses_the_request
from tests.support.proxy import Link, Network

RECORD, OTHER = RecordId(0, 1, 0), RecordId(0, 1, 1)
PATIENCE_S = 15.0


@dataclass
class Speaker:
    """A producer to one partition; a test says until when it may speak, and moves the clock."""

    servers: str
    topic: str
    until: dict[RecordId, float | None] = field(default_factory=dict)
    ahead: float = 0.0
    waits: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.clock = Clock(monotonic=lambda: Clock().monotonic() + self.ahead)
        self.producer = Producer(
            client_arguments(self.servers, {}),
            16 * 1024,
            self.clock,
            lambda record: self.until.get(record, math.inf),
        )

    async def send(self, text: str, record: RecordId = RECORD) -> "asyncio.Future[Any]":
        place = TopicPartition(self.topic, 0)
        return await self.producer.send(record, place, (None, text.encode(), []))

    def lapse(self, record: RecordId = RECORD) -> None:
        self.until[record] = self.clock.monotonic()

    async def said(self) -> list[str]:
        """All that is in the topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, fetch_max_wait_ms=100)
        place = TopicPartition(self.topic, 0)
        await consumer.start()
        try:
            consumer.assign([place])
            [end] = (await consumer.end_offsets([place])).values()
            consumer.seek(place, 0)
            found: list[str] = []
            async with asyncio.timeout(PATIENCE_S):
                while await consumer.position(place) < end:
                    batches = await consumer.getmany(timeout_ms=100)
                    found += [r.value.decode() for records in batches.values() for r in records]
        finally:
            await consumer.stop()
        return found


@pytest.fixture
def short_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLIGHT", 0.2)


@asynccontextmanager
async def _speaker(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Speaker]:
    speaker = Speaker(bootstrap_servers, topics.create("tokens"))
    turn = Producer._turn

    async def waits(producer: Producer, record: RecordId) -> None:
        speaker.waits.set()
        await turn(producer, record)

    monkeypatch.setattr(Producer, "_turn", waits)
    await speaker.producer.start()
    try:
        yield speaker
    finally:
        await speaker.producer.stop()


@asynccontextmanager
async def _far_away(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Speaker, Network]]:
    """Behind a network that may fail, which has carried one record before."""
    async with (
        detour(bootstrap_servers, monkeypatch) as network,
        _speaker(bootstrap_servers, topics, monkeypatch) as speaker,
    ):
        await (await speaker.send("before"))
        yield speaker, network


async def test_what_could_arrive_too_late_waits(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        now = speaker.clock.monotonic()
        speaker.until = {RECORD: now + FLIGHT - 0.01, OTHER: now + 60}
        sending = asyncio.create_task(speaker.send("waits"))
        await speaker.waits.wait()
        await (await speaker.send("does not wait", OTHER))
        assert await speaker.said() == ["does not wait"]

        speaker.until[RECORD] = speaker.clock.monotonic() + 60
        await (await sending)
        assert await speaker.said() == ["does not wait", "waits"]


async def test_what_is_no_longer_ours_is_refused(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        speaker.until[RECORD] = -math.inf
        sending = asyncio.create_task(speaker.send("waits"))
        await speaker.waits.wait()
        speaker.until[RECORD] = None
        with pytest.raises(PublishError, match="another member has the question"):
            await sending
        with pytest.raises(PublishError, match="another member has the question"):
            await speaker.send("late")
        assert await speaker.said() == []


@pytest.mark.parametrize("connected", [False, True])
async def test_what_is_queued_does_not_leave_while_it_is_not_ours_to_say(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    """Whether that ends before the client looks for a connection, or while it does."""
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        client = speaker.producer._client.client
        asked, found, ready = asyncio.Event(), asyncio.Event(), client.ready

        async def finds(node: int, **named: Any) -> bool:
            there: bool = await ready(node, **named)
            asked.set()
            await found.wait()
            return there

        monkeypatch.setattr(client, "ready", finds)
        sent = await speaker.send("queued")
        if connected:
            await asked.wait()
        speaker.lapse()
        found.set()
        assert await speaker.said() == []
        assert asked.is_set() == connected
        assert not sent.done()

        speaker.until[RECORD] = math.inf
        await sent
        assert await speaker.said() == ["queued"]


async def test_nor_what_was_being_written_down_when_it_ceased_to_be(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that is stopped just then, and goes on later."""
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        await (await speaker.send("before"))
        prepare, written = ProduceRequest.prepare, asyncio.Event()

        def lapses(request: ProduceRequest, versions: Any) -> Any:
            if not written.is_set():
                speaker.lapse()
                written.set()
            return prepare(request, versions)

        monkeypatch.setattr(ProduceRequest, "prepare", lapses)
        sent = await speaker.send("late")
        await written.wait()
        assert await speaker.said() == ["before"]
        assert not sent.done()

        speaker.until[RECORD] = math.inf
        await sent
        assert await speaker.said() == ["before", "late"]


@LOST
async def test_what_nobody_has_acknowledged_is_cut_off_and_arrives_once(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    lose: Lose,
    landed: bool,
) -> None:
    """It would lie in a buffer, and leave at any time."""
    async with _far_away(bootstrap_servers, topics, monkeypatch) as (speaker, network):
        lost = lose(network, monkeypatch)
        sent = await speaker.send("lost")
        await lost.wait()
        links = set(network.links)
        speaker.lapse()
        await _dropped(network, links)
        carries_again(network)
        assert await speaker.said() == ["before", *["lost"][:landed]]
        assert not sent.done()

        speaker.until[RECORD] = math.inf
        await sent
        await (await speaker.send("after"))
        assert await speaker.said() == ["before", "lost", "after"]


async def _dropped(network: Network, links: set[Link]) -> None:
    """Long before the client itself would give them up. Polled, as it is the kernel that says."""
    async with asyncio.timeout(module.REQUEST_MS / 1000 / 2):
        while links & network.links:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@LOST
@pytest.mark.usefixtures("short_flight")
async def test_what_is_forgotten_does_not_arrive_any_more_and_the_rest_goes_on(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    lose: Lose,
    landed: bool,
) -> None:
    heard = hear(monkeypatch, module)
    async with _far_away(bootstrap_servers, topics, monkeypatch) as (speaker, network):
        lost = lose(network, monkeypatch)
        sent = await speaker.send("lost")
        queued = await speaker.send("queued", OTHER)
        await lost.wait()
        speaker.until[RECORD] = None
        killed_at = speaker.clock.monotonic()
        speaker.producer.forget(RECORD)
        for given_up in (sent, queued):
            with pytest.raises(UnknownOutcomeError):
                await given_up
        assert len(heard.said("what was on its way to Kafka is given up")) == 1
        await speaker.producer.settled()
        assert speaker.clock.monotonic() - killed_at >= module.FLIGHT
        carries_again(network)

        await (await speaker.send("queued", OTHER))
        assert [text for text in await speaker.said() if text != "queued"] == [
            "before",
            *["lost"][:landed],
        ]


async def test_to_forget_what_is_not_on_its_way_costs_nothing(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        client = speaker.producer._client
        await (await speaker.send("said"))
        sent = await speaker.send("said too", OTHER)
        speaker.producer.forget(RECORD)
        await sent
        assert speaker.producer._client is client


async def test_a_client_that_died_is_replaced(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, module)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        await (await speaker.send("before"))
        speaker.producer._client._sender.sender_task.cancel()
        sent = await speaker.send("given up")
        with pytest.raises(UnknownOutcomeError):
            await sent
        await (await speaker.send("after"))
        assert (await speaker.said())[-1] == "after"
        assert len(heard.said("the producer has died")) == 1


async def test_what_waits_when_a_client_is_given_up_is_handed_back(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not overtake what was queued before it, and is to be sent again."""
    async with _speaker(bootstrap_servers, topics, monkeypatch) as speaker:
        speaker.until[RECORD] = -math.inf
        sending = asyncio.create_task(speaker.send("waits"))
        await speaker.waits.wait()
        speaker.producer._replace()
        with pytest.raises(UnknownOutcomeError):
            await sending


async def test_who_waits_for_a_topic_to_be_known_does_not_wait_for_a_client_that_is_given_up(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        detour(bootstrap_servers, monkeypatch) as network,
        _speaker(bootstrap_servers, topics, monkeypatch) as speaker,
    ):
        asked = loses_the_request(network, monkeypatch)
        sending = asyncio.create_task(speaker.send("first"))
        await asked.wait()
        speaker.producer._replace()
        with pytest.raises(UnknownOutcomeError):
            async with asyncio.timeout(PATIENCE_S):
                await sending
        carries_again(network)
        await (await speaker.send("second"))
        assert await speaker.said() == ["second"]
