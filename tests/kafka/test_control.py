"""What is asked of all members, as it is read from a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from penstock.clock import Clock
from penstock.core.facts import CancelRequested, GateOpened, Halted, HaltLifted
from penstock.core.halts import EVERYTHING, Scope
from penstock.errors import ConfigurationError, KafkaError
from penstock.events.control import CANCEL, PAUSE, Pause
from penstock.kafka import control as module
from penstock.kafka import pauses
from penstock.kafka.control import Control, say
from penstock.kafka.pauses import standing
from penstock.kafka.security import client_arguments
from tests.support.hearing import hear
from tests.support.kafka import Topics

PATIENCE_S = 15.0
LONGEST = 60.0


Told = CancelRequested | GateOpened | Halted | HaltLifted
QA, THREE = Scope(program="qa"), Scope(partition=3)


class Said:
    """Asked of the members, and told to one of them."""

    def __init__(self, bootstrap_servers: str, topics: Topics) -> None:
        self.client = client_arguments(bootstrap_servers, {})
        self.topic = topics.create("control")
        self.told: asyncio.Queue[Told] = asyncio.Queue()

    async def say(self, **records: bytes | None) -> None:
        keys = {f"{CANCEL}{name}": value for name, value in records.items()}
        await say(self.client, self.topic, keys, Clock())

    async def pause(self, **records: bytes | None) -> None:
        """As `all`, `partition_3`, `program_qa`."""
        keys = {f"{PAUSE}{name.replace('_', '/')}": value for name, value in records.items()}
        await say(self.client, self.topic, keys, Clock())

    async def resume(self) -> None:
        await self.pause(all=None)

    async def next(self) -> Told:
        async with asyncio.timeout(PATIENCE_S):
            return await self.told.get()

    async def cancelled(self) -> str:
        event = await self.next()
        assert isinstance(event, CancelRequested)
        return event.question_id

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Control]:
        control = Control(self.client, self.topic, LONGEST, Clock(), self.told.put_nowait)
        try:
            await control.start()
            yield control
        finally:
            await control.stop()


@pytest.fixture
def said(bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "POLL_MS", 50)
    return Said(bootstrap_servers, topics)


async def test_what_was_asked_before_is_told_when_it_has_started(said: Said) -> None:
    before = Clock()
    await said.say(early=b"{}")
    async with said.read():
        event = said.told.get_nowait()
        assert isinstance(event, CancelRequested)
        assert event.question_id == "early"
        assert event.at / 1000 == pytest.approx(before.wall(), abs=PATIENCE_S)
        assert event.until <= before.monotonic() + LONGEST


async def test_then_what_is_asked_now_and_that_a_gate_may_open(said: Said) -> None:
    await said.resume()
    async with said.read():
        assert said.told.empty()
        await said.say(now=b"{}")
        assert await said.cancelled() == "now"
        await said.resume()
        assert await said.next() == GateOpened()


async def test_the_pauses_that_stand_are_told_when_it_has_started(said: Said) -> None:
    await said.pause(all=b"{}", partition_3=b'{"reason": "first"}', program_qa=b"{}")
    await said.pause(all=None, partition_3=b'{"type": "pause", "reason": "then", "more": 1}')
    async with said.read():
        told = [said.told.get_nowait() for _ in range(2)]
        assert told == [Halted(QA), Halted(THREE, "then")]
        assert said.told.empty()


async def test_then_what_changes_in_its_order(said: Said) -> None:
    await said.pause(program_qa=b"{}")
    async with said.read():
        assert await said.next() == Halted(QA)
        await said.pause(all=b'{"reason": "why"}', program_qa=None)
        # Said again it is nothing new, and neither is what takes back what does not stand.
        await said.pause(program_qa=None, partition_3=None)
        await said.pause(all=b'{"reason": "why"}')
        await said.pause(all=b"{}", partition_3=b"{}")
        await said.resume()
        assert [await said.next() for _ in range(6)] == [
            Halted(EVERYTHING, "why"),
            HaltLifted(QA),
            Halted(EVERYTHING),
            Halted(THREE),
            HaltLifted(EVERYTHING),
            GateOpened(),
        ]


UNREADABLE = [b"", b"no JSON", b"null", b'"all"', b'{"type": "cancel"}', b'{"reason": 3}', b"\xff"]


async def test_what_cannot_be_read_is_logged_and_pauses_nothing(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, pauses)
    await said.pause(everything=b"{}", partition_03=b"{}", program_qa=b"no JSON")
    async with said.read():
        assert said.told.empty()
        # One that stood is gone, as it is for whoever finds only the last record of its key.
        await said.pause(partition_3=b"{}")
        await said.pause(partition_3=b"no JSON")
        assert [await said.next() for _ in range(2)] == [Halted(THREE), HaltLifted(THREE)]
        for value in UNREADABLE:
            await said.pause(partition_3=value)
        await said.pause(all=b"{}")
        assert await said.next() == Halted(EVERYTHING)
        assert await standing(said.client, said.topic, Clock()) == {EVERYTHING: Pause()}
    unknown = heard.said("a pause of what nobody knows is passed over")
    assert {line["key"] for line in unknown} == {"pause/everything", "pause/partition/03"}
    unreadable = heard.said("a pause that cannot be read counts for none")
    assert "pause/program/qa" in {line["key"] for line in unreadable}
    assert len([one for one in unreadable if one["key"] == "pause/partition/3"]) > len(UNREADABLE)


async def test_a_connection_lost_tells_nothing_twice(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, module)
    await said.pause(program_qa=b"{}")
    async with said.read():
        assert await said.next() == Halted(QA)
        troubles = [TimeoutError()]
        _fails(monkeypatch, lambda: troubles.pop() if troubles else None)
        await heard.until("the control topic cannot be read; it is tried again")
        await said.pause(partition_3=b"{}")
        assert await said.next() == Halted(THREE)


async def test_a_right_that_is_withdrawn_ends_it_with_the_name_of_the_topic(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with said.read() as control:
        _fails(monkeypatch, lambda: TopicAuthorizationFailedError(said.topic))
        with pytest.raises(KafkaError, match=f"'{said.topic}' lacks the right Read"):
            async with asyncio.timeout(PATIENCE_S):
                await control.following


async def test_any_other_trouble_is_told_once_and_passes(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, module)
    warning = "the control topic cannot be read; it is tried again"
    async with said.read():
        troubles = [KafkaTimeoutError(), TimeoutError(), KafkaTimeoutError()]
        _fails(monkeypatch, lambda: troubles.pop() if troubles else None)
        await heard.until(warning)
        await said.say(after=b"{}")
        assert await said.cancelled() == "after"
        assert not troubles
    assert [line["error"] for line in heard.said(warning)] == ["KafkaTimeoutError"]


async def test_nothing_is_asked_where_there_is_no_such_topic(said: Said) -> None:
    said.topic = f"{said.topic}-of-nobody"
    with pytest.raises(ConfigurationError, match="is missing; start `penstock serve`"):
        await said.say(any=b"{}")


def _fails(monkeypatch: pytest.MonkeyPatch, trouble: Any) -> None:
    getmany = AIOKafkaConsumer.getmany

    async def fails(consumer: AIOKafkaConsumer, *arguments: Any, **how: Any) -> Any:
        if (error := trouble()) is not None:
            raise error
        return await getmany(consumer, *arguments, **how)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", fails)
