"""Static membership (KIP-345): a name of its own keeps a member its partitions over a restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from penstock import app
from penstock.kafka import source
from penstock.kafka.commit import membership
from penstock.kafka.source import KafkaSource
from tests.support.command import environment, model_environment, started
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.service import settings_for
from tests.support.stage import Stage, stage

SESSION_MS = 6000
"""The shortest that the broker allows by itself."""

WAITING = "waiting for whoever was this static member before"


@pytest.fixture(autouse=True)
def short_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (app, source):
        monkeypatch.setattr(module, "SESSION_TIMEOUT_MS", SESSION_MS)


@pytest.fixture
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For whoever was the same member before; until it is undone."""

    async def at_once(_: KafkaSource) -> None:
        pass

    with monkeypatch.context() as patch:
        patch.setattr(KafkaSource, "_predecessor_has_ended", at_once)
        yield patch


@asynccontextmanager
async def _process(on: Stage, instance: str) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = settings_for(on.servers, on.topics, "openai/moody")
    env = environment(settings) | model_environment("openai/moody", on.models.api_base)
    env["PENSTOCK_TOPICS__DEAD_LETTERS"] = settings.topics.dead_letters
    env["PENSTOCK_KAFKA__GROUP_ID"] = settings.kafka.group_id
    env["PENSTOCK_KAFKA__GROUP_INSTANCE_ID"] = instance
    env["PENSTOCK_TELEMETRY__PORT"] = "0"
    for topic in ("tokens", "completions", "dead-letters"):
        on.topics.create(topic, 1)
    async with started("serve", env=env) as process:
        yield process


async def test_the_first_of_two_by_the_same_name_ends_and_says_why(
    bootstrap_servers: str, topics: Topics, nobody_waits: pytest.MonkeyPatch
) -> None:
    same = {"group_instance_id": "replica-1"}
    async with stage(bootstrap_servers, topics) as on:
        async with _process(on, "replica-1") as first:
            assert first.stderr is not None
            while WAITING.encode() not in await first.stderr.readline():
                assert first.returncode is None
            async with on.serving(kafka=same) as (_, talk):
                _, logged = await first.communicate()
                assert first.returncode == 4
                lines = [json.loads(line) for line in logged.decode().splitlines()]
                [error] = [line for line in lines if line["level"] == "error"]
                assert error["event"] == "stopped"
                assert "'replica-1'" in error["reason"]
                assert "KAFKA__GROUP_INSTANCE_ID" in error["reason"]
                # It has not fenced the other one in turn.
                await talk.ask_all(["first", "second"], b"k")
                await talk.completions(2)
        assert (await on.operator.commit()).offset == 2


async def test_a_restart_keeps_the_partitions_and_waits_for_who_may_still_run(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    nobody_waits: pytest.MonkeyPatch,
) -> None:
    heard = hear(monkeypatch, source)
    other, own = ({"group_instance_id": f"replica-{number}"} for number in (1, 2))
    clock = asyncio.get_running_loop().time
    async with (
        stage(bootstrap_servers, topics, partitions=2) as on,
        on.serving(kafka=other) as (stays, talk),
    ):
        async with on.member(kafka=own) as before:
            [partition] = before.engine.partitions
            group = membership(stays.source._consumer)
        nobody_waits.undo()
        await talk.ask_all(["meanwhile"], b"k", partition)
        began = clock()
        async with on.member(kafka=own) as again:
            assert [line["seconds"] for line in heard.said(WAITING)] == [SESSION_MS / 1000]
            assert clock() - began >= SESSION_MS / 1000
            assert again.engine.partitions.keys() == {partition}
            await talk.completion("meanwhile")
            # Nobody was asked to join anew.
            assert membership(stays.source._consumer) == group
            assert stays.engine.partitions.keys() == {1 - partition}
        await talk.to_the_end()
        assert len(talk.completed) == 1
