"""What the brokers say of rights, and who says nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from penstock.kafka import describe, rights_watch
from penstock.kafka.rights import Operation, allowed, unreadable
from penstock.kafka.rights_watch import RightsWatch
from penstock.settings import TopicSettings
from tests.support.hearing import hear
from tests.support.service import needing


def test_each_bit_is_an_operation() -> None:
    assert allowed(1 << 3 | 1 << 8 | 1 << 12) == frozenset({Operation.READ, Operation.DESCRIBE})


@pytest.mark.parametrize("bits", [-(2**31), 0])
def test_who_says_nothing_forbids_nothing(bits: int) -> None:
    """Zero is what some that are not Apache's say of a topic that they show."""
    assert allowed(bits) is None


@pytest.mark.parametrize("told", ["answers", "Unable to get coordinator id for answers"])
def test_a_group_is_named_as_it_is_whoever_was_refused(told: str) -> None:
    said = unreadable(GroupAuthorizationFailedError(told), "penstock.questions")
    assert "--group answers" in said
    assert "coordinator" not in said


async def test_a_setting_without_a_value_is_one_that_cannot_be_seen() -> None:
    entries = [("retention.ms", None, False, 1), ("cleanup.policy", "delete", False, 5)]

    async def described(_: Any) -> list[Any]:
        resources = [(0, None, 2, "tokens", entries)]
        return [SimpleNamespace(API_VERSION=2, resources=resources)]

    connection: Any = SimpleNamespace(describe_configs=described)
    found = await describe.configs(connection, ["tokens"], ["retention.ms", "cleanup.policy"])
    assert found["tokens"].values == {"cleanup.policy": "delete"}


async def test_only_an_answer_ends_the_watch(
    bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Queue[None]()

    async def glance(*_: Any) -> Any:
        looked.put_nowait(None)
        raise KeyError("whatever the client comes up with")

    monkeypatch.setattr(rights_watch, "EVERY", 0.001)
    monkeypatch.setattr(rights_watch, "glance", glance)
    heard = hear(monkeypatch, rights_watch)
    watch = RightsWatch({"bootstrap_servers": bootstrap_servers}, needing(TopicSettings()))
    await watch.start()
    try:
        for _ in range(3):
            await looked.get()
        assert not watch.watching.done()
    finally:
        await watch.stop()
    assert "whatever the client" in heard.lines[0]["error"]
