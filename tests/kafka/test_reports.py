"""What a process says of itself, on a real Kafka; and that no trouble with it troubles anything."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from penstock.clock import Clock
from penstock.events.member import MEMBER, Member, Model
from penstock.kafka import reports as module
from penstock.kafka.control_log import ControlLog, stated
from penstock.kafka.reports import Reports
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import reader
from tests.support.hearing import hear
from tests.support.kafka import Topics

PATIENCE_S = 15.0


class Told:
    """What there is to say: each time a little more."""

    def __init__(self) -> None:
        self.times = 0
        self._news = asyncio.Event()

    def __call__(self) -> Member:
        self.times += 1
        self._news.set()
        return Member(
            group="answers",
            member_id="m",
            host="here",
            pid=1,
            version="1.0",
            started_at="2026-11-27T09:30:00.000Z",
            partitions=[0],
            paused=[],
            slots=8,
            in_flight=self.times,
            waiting=0,
            held=0,
            models={"default": Model(limit=4.0)},
            gate_shut=False,
            draining=False,
        )

    async def until(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.times < times:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(module, "EVERY", 0.05)
    monkeypatch.setattr(module, "LEAST", 0.02)
    return Told()


def _reports(client: Mapping[str, Any], topic: str, told: Told) -> Reports:
    return Reports(client, topic, "nonce", "answers", told, Clock())


async def test_it_reports_again_and_again_and_takes_it_back(
    bootstrap_servers: str, topics: Topics, told: Told
) -> None:
    client, topic = client_arguments(bootstrap_servers, {}), topics.create("control")
    reports = _reports(client, topic, told)
    reports.start()
    await told.until(3)
    found = await stated(client, topic, MEMBER, Clock())
    assert list(found) == ["member/nonce"]
    said = Member.model_validate_json(found["member/nonce"].value)
    assert said.in_flight >= 2
    await reports.stop()
    assert not await stated(client, topic, MEMBER, Clock())


async def test_news_do_not_wait(
    bootstrap_servers: str, topics: Topics, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 3600.0)
    client, topic = client_arguments(bootstrap_servers, {}), topics.create("control")
    reports = _reports(client, topic, told)
    reports.start()
    await told.until(1)
    reports.soon()
    await told.until(2)
    await reports.stop()


async def test_without_kafka_it_says_so_once_and_goes_on_trying(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, module)
    tried = asyncio.Semaphore(0)

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        tried.release()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        reports = _reports(client_arguments(f"{host}:{port}", {}), "control", told)
        reports.start()
        async with asyncio.timeout(PATIENCE_S):
            await heard.until("this member cannot report")
            for _ in range(5):
                await tried.acquire()
        await reports.stop()
    assert len(heard.said("this member cannot report")) == 1
    assert not told.times


async def test_its_end_waits_for_no_kafka(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOODBYE_SECONDS", 0.01)
    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaProducer, "start", never)
    reports = _reports(client_arguments("localhost:1", {}), "control", told)
    reports.start()
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        await reports.stop()


async def test_what_cannot_be_looked_at_is_no_reason_to_end(
    bootstrap_servers: str, topics: Topics, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, module)
    failing = iter([KeyError("whatever it is"), KafkaConnectionError("gone")])

    def look() -> Member:
        said = told()
        if (error := next(failing, None)) is not None:
            raise error
        return said

    client, topic = client_arguments(bootstrap_servers, {}), topics.create("control")
    reports = Reports(client, topic, "nonce", "answers", look, Clock())
    reports.start()
    await told.until(4)
    assert await stated(client, topic, MEMBER, Clock())
    await reports.stop()
    assert len(heard.said("this member cannot report")) == 1


async def test_who_reads_on_knows_what_was_read_before(
    bootstrap_servers: str, topics: Topics, told: Told
) -> None:
    client, topic = client_arguments(bootstrap_servers, {}), topics.create("control")
    log = ControlLog(topic, MEMBER)
    async with reader(client, Clock()) as reading:
        assert not await log.stated(reading)
        reports = _reports(client, topic, told)
        reports.start()
        await told.until(3)
        first = (await log.stated(reading))["member/nonce"]
        assert (await log.stated(reading))["member/nonce"].offset >= first.offset
        await reports.stop()
        assert not await log.stated(reading)
