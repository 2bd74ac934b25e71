"""Static membership (KIP-345): a name of its own keeps a member its partitions over a restart."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock import app
from penstock.kafka import source
from penstock.kafka.commit import Membership, membership
from penstock.telemetry import journal
from tests.support.command import environment, model_environment, started
from tests.support.conversation import conversation
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.service import settings_for
from tests.support.stage import Stage, stage

SESSION_MS = 6000
"""The shortest that the broker allows by itself."""

HELD = "held?token_ms=20&tokens=2000"
WAITING = "waiting for whoever was this static member before"


@pytest.fixture(autouse=True)
def short_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (app, source):
        monkeypatch.setattr(module, "SESSION_TIMEOUT_MS", SESSION_MS)


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
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, source)
    same = {"group_instance_id": "replica-1"}
    settings = settings_for(bootstrap_servers, topics, "openai/moody")
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda count, _: HELD if count == 1 else "ok"
        async with (
            _process(on, "replica-1") as first,
            conversation(settings.kafka, settings.topics) as talk,
        ):
            await talk.ask_all(["slow", "behind"], b"k")
            await talk.until(lambda: talk.said("slow"), bool)
            async with on.member("openai/moody", kafka=same) as second:
                _, logged = await first.communicate()
                assert first.returncode == 4
                lines = [json.loads(line) for line in logged.decode().splitlines()]
                [error] = [line for line in lines if line["level"] == "error"]
                assert error["event"] == "stopped"
                assert "'replica-1'" in error["reason"]
                assert "KAFKA__GROUP_INSTANCE_ID" in error["reason"]
                assert "Traceback" not in logged.decode()

                assert len(heard.said(WAITING)) == 1
                for question in ("slow", "behind"):
                    said = await talk.ended(question)
                    await talk.completion(question)
                    assert [event["sequence"] for event in said] == list(range(len(said)))
                assert len(second.engine.partitions) == 1
            await talk.to_the_end()
            asked = [completion.body["question_id"] for completion in talk.completed]
            assert asked == ["slow", "behind"]
        assert (await on.operator.commit()).offset == 2


async def test_a_restart_keeps_the_partitions_and_begins_when_nobody_else_can_have_them(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, source, journal)
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        loop = asyncio.get_running_loop()
        async with on.serving(kafka={"group_instance_id": "replica-1"}) as (stays, talk):
            async with on.member(kafka={"group_instance_id": "replica-2"}) as before:
                [partition] = before.engine.partitions
                member = membership(stays.source._consumer)
                restarts = {"kafka": {"group_instance_id": "replica-2"}}
            began = loop.time()
            await talk.ask_all(["meanwhile"], b"k", partition)
            async with on.member(**restarts) as again:
                took = loop.time() - began
                assert again.engine.partitions.keys() == {partition}
                await talk.completion("meanwhile")
                # Nobody was asked to join anew.
                assert membership(stays.source._consumer) == member
                assert stays.engine.partitions.keys() == {1 - partition}
            lines = heard.said(WAITING)
            assert [line["seconds"] for line in lines][-1] == SESSION_MS / 1000
            assert took >= SESSION_MS / 1000 - 0.5
            await talk.to_the_end()
            assert len(talk.completed) == 1
