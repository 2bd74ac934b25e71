"""Static membership (KIP-345): a name of its own keeps a member its partitions over a restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from penstock import assembly
from penstock.kafka import source
from penstock.kafka.membership import membership
from penstock.kafka.source import KafkaSource
from tests.chaos.nursery import nursery
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.processes import Running, Start
from tests.support.stage import Stage, stage

SESSION_MS = 6000
"""The shortest that the broker allows by itself."""

WAITING = "waiting for whoever was this static member before"
REPLICA = "replica-1"
ASSIGNED = "partitions assigned"

SPEAKS = "held?token_ms=20&tokens=400"
"""All the time, until it is let end."""


@pytest.fixture(autouse=True)
def short_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assembly, source):
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
async def _stage(bootstrap_servers: str, topics: Topics) -> AsyncIterator[Stage]:
    for topic in ("tokens", "completions", "dead-letters"):
        topics.create(topic, 1)
    async with stage(bootstrap_servers, topics) as on:
        yield on


async def test_the_first_of_two_by_the_same_name_ends_and_says_why(
    bootstrap_servers: str, topics: Topics, nobody_waits: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    async with _stage(bootstrap_servers, topics) as on:
        async with on.process(KAFKA__GROUP_INSTANCE_ID=REPLICA) as first:
            first.hear(logged.append)
            await first.says(WAITING)
            async with on.serving(kafka={"group_instance_id": REPLICA}) as (_, talk):
                assert await first.ended() == 4
                # It has not fenced the other one in turn.
                await talk.ask_all(["first", "second"], b"k")
                await talk.completions(2)
        lines = [json.loads(line) for line in logged]
        [error] = [line for line in lines if line["level"] == "error"]
        assert error["event"] == "stopped"
        assert f"'{REPLICA}'" in error["reason"]
        assert "KAFKA__GROUP_INSTANCE_ID" in error["reason"]
        assert (await on.operator.commit()).offset == 2


@pytest.mark.time_limit(90)
async def test_counterexample_18_takeover_of_a_static_member(
    bootstrap_servers: str, topics: Topics
) -> None:
    """It stands still in the middle of an answer, and another process comes by its name. The
    group gives that one the partitions at once, while the first may still speak; and when it
    may not any more, it does not know. Both stories at once, as they are mostly waits.
    """
    async with nursery() as born, asyncio.TaskGroup() as stories:
        for lease, is_over in {"lasts": False, "is-over": True}.items():
            on = _stage(bootstrap_servers, topics.of(lease))
            stories.create_task(_takeover(on, born.start, lease_is_over=is_over), name=lease)


async def _takeover(
    theirs: AbstractAsyncContextManager[Stage], start: Start, *, lease_is_over: bool
) -> None:
    async with theirs as on:
        on.models.script["moody"] = lambda count, _: SPEAKS if count <= 2 else "ok"

        def replica(name: str) -> AbstractAsyncContextManager[Running]:
            own = {"KAFKA__GROUP_INSTANCE_ID": REPLICA, "TEST_MEMBER": name}
            return on.process("openai/moody", start, **own)

        async with replica("first") as first, on.talking() as talk:
            await first.says(ASSIGNED)
            await talk.ask_all(["speaks"], b"k")
            await talk.ask_all(["thinks"], b"other", stream=False)
            await on.models.called(2)
            await talk.until(lambda: talk.said("speaks"), bool)
            first.freeze()
            async with replica("second") as second:
                await second.says(WAITING, ASSIGNED)
                if lease_is_over:
                    await talk.completions(2)
                # The answers lie in its sockets when it wakes.
                on.models.let_end()
                first.thaw()
                assert await first.ended() == 4
                await talk.ask_all(["behind"], b"k")
                await talk.completion("behind")
                assert await second.terminate() == 0
            await talk.to_the_end()
            completed = [c.body["question_id"] for c in talk.completed]
            assert sorted(completed) == ["behind", "speaks", "thinks"]
            assert {c.body["status"] for c in talk.completed} == {"completed"}
            said = talk.said("speaks")
            assert [event["sequence"] for event in said] == list(range(len(said)))
        assert (await on.operator.commit()).offset == 3


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
