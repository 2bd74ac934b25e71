"""The questions' log changes under the service: records vanish, the topic is another one, gaps."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from penstock import app
from penstock.core.failure import Failure
from penstock.kafka import recovery, source
from penstock.program.runner import Runner
from tests.support.conversation import Conversation
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.operating import Commits, commits
from tests.support.stage import sample, stage

# pytest finds fixtures by their names in this module.
__all__ = ["commits"]

IDS = ["first", "second", "third"]
FULL: dict[str, Any] = {"pool": {"slots": 1}, "intake": {"high": 2, "low": 1}}
"""Flags of a service that pauses a partition of which one runs and two wait."""
RETENTION = 'penstock_log_resets_total{cause="retention"}'
TRUNCATED = 'penstock_log_resets_total{cause="truncated"}'
ANOTHER_LOG = "the last commit is not of this log"


def _count(talk: Conversation) -> Counter[str]:
    return Counter(c.body["question_id"] for c in talk.completed)


@pytest.mark.parametrize("kept", [False, True])
async def test_questions_of_a_topic_that_was_created_anew_are_answered(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Though completions stand in their topic for the same offsets and ids.

    With its topic Kafka forgets a commit, unless it comes late.
    """
    heard = hear(monkeypatch, recovery)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
        last = await on.operator.commit()
        await on.operator.recreate("questions")
        if kept:
            await on.operator.reset(last.offset, last.metadata)
        assert (await on.operator.commit()).offset == (3 if kept else -1)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
            for id_ in IDS[:2]:
                value = b'{"id": "%s", "question": "?"}' % id_.encode()
                await producer.send_and_wait(topics.name("questions"), value, b"k", 0)

        async with on.serving() as (service, talk):
            await talk.completions(3 + 2)
            await talk.ask_all(["last"], key=b"k")
            await talk.completion("last")
            await talk.to_the_end()
            assert await sample(service, TRUNCATED) == kept
        assert _count(talk) == {"first": 2, "second": 2, "third": 1, "last": 1}
        assert {c.body["status"] for c in talk.completed} == {"completed"}
        assert len(heard.said(ANOTHER_LOG)) == kept
        assert (await on.operator.commit()).offset == 3


async def test_a_topic_that_is_created_anew_while_it_is_read(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while it is not there, and the group has nothing to give."""
    monkeypatch.setattr(source, "METADATA_MS", 300)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (service, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
            await on.operator.delete("questions")
            # Polled, as it is the group coordinator who decides when.
            while service.source._consumer.assignment():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert service.ready() is None
            await on.operator.create("questions")
            await talk.ask_all(["first", "fourth"], key=b"k")
            await talk.completion("fourth")
            await talk.to_the_end()
        assert _count(talk) == {"first": 2, "second": 1, "third": 1, "fourth": 1}
        assert {c.body["status"] for c in talk.completed} == {"completed"}
        assert (await on.operator.commit()).offset == 2


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Programs run when it is set."""
    opened, run = asyncio.Event(), Runner.run

    async def waits(*arguments: Any) -> Failure | None:
        await opened.wait()
        return await run(*arguments)

    monkeypatch.setattr(Runner, "run", waits)
    return opened


async def _fill(service: app.Service, talk: Conversation) -> None:
    """Until the partition is paused: one runs, two wait."""
    await talk.ask_all(IDS, key=b"k")
    # Polled, as nothing tells.
    while not service.engine.intake.paused:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_another_log_behind_a_paused_partition_is_read_from_its_start(
    bootstrap_servers: str, topics: Topics, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, recovery)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(**FULL) as (service, talk):
            await _fill(service, talk)
            await on.operator.recreate("questions")
            await talk.ask_all(["first", "fourth"], key=b"k")
            gate.set()
            await talk.completion("fourth")
            await talk.to_the_end()
            assert _count(talk)["first"] == 2
            assert _count(talk)["fourth"] == 1
            assert {c.body["status"] for c in talk.completed} == {"completed"}
            assert await sample(service, TRUNCATED) == 1
            assert await sample(service, RETENTION) == 0
        [line] = heard.said(ANOTHER_LOG)
        assert (line["level"], line["start"], line["end"]) == ("warning", 0, 2)
        assert (await on.operator.commit()).offset == 2


async def test_what_the_retention_takes_behind_a_paused_partition_is_said_to_be_lost(
    bootstrap_servers: str, topics: Topics, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, recovery)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(**FULL) as (service, talk):
            await _fill(service, talk)
            await talk.ask_all(["lost", "lost too", "left"], key=b"k")
            await on.operator.delete_records("questions", before=5)
            gate.set()
            await talk.completion("left")
            await talk.to_the_end()
            # What was in memory is answered all the same.
            assert _count(talk) == Counter([*IDS, "left"])
            assert await sample(service, RETENTION) == 1
            assert await sample(service, TRUNCATED) == 0
        [line] = heard.said("the retention took questions")
        assert (line["level"], line["partition"], line["offsets"]) == ("warning", 0, 2)
        assert (await on.operator.commit()).offset == 6


async def test_the_retention_takes_what_is_next_behind_a_transaction(
    bootstrap_servers: str, topics: Topics
) -> None:
    """Where the client is, behind a marker, no record that was given ends."""
    async with (
        stage(bootstrap_servers, topics) as on,
        on.serving() as (service, talk),
        _transactions(bootstrap_servers, topics.name("producer")) as producer,
    ):
        async with producer.transaction():
            await producer.send(talk.topics.questions, b'{"id": "first", "question": "?"}')
        await talk.completion("first")
        service.source.pause([0])
        await talk.ask_all(["lost", "left"])
        await on.operator.delete_records("questions", before=3)
        service.source.resume([0])
        await talk.completion("left")
        assert _count(talk) == {"first": 1, "left": 1}
        assert await sample(service, RETENTION) == 1


@asynccontextmanager
async def _transactions(bootstrap_servers: str, name: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_of_transactions_what_was_committed_is_answered_and_nothing_is_left(
    bootstrap_servers: str, topics: Topics, commits: Commits
) -> None:
    """Aborted records and markers hold nobody up, not even where they are the last."""
    questions = topics.name("questions")
    async with (
        stage(bootstrap_servers, topics) as on,
        _transactions(bootstrap_servers, topics.name("producer")) as producer,
    ):

        async def transaction(*ids: str, commit: bool) -> None:
            await producer.begin_transaction()
            for id_ in ids:
                value = b'{"id": "%s", "question": "?"}' % id_.encode()
                await producer.send(questions, value, b"k", 0)
            await producer.flush()
            await (producer.commit_transaction() if commit else producer.abort_transaction())

        await transaction("aborted first", commit=False)
        await transaction("a", "b", commit=True)
        await transaction("aborted", "aborted too", commit=False)
        await transaction("c", commit=True)
        end = 2 + 3 + 3 + 2
        async with on.serving(commit={"interval_ms": 20}) as (service, talk):
            await talk.completion("c")
            await commits.until(lambda head: head.offset == end - 1)
            assert (await on.operator.commit()).offset == end
            assert await sample(service, 'penstock_backlog{partition="0"}') == 0
            await transaction("aborted at last", commit=False)
            await transaction("d", commit=True)
            await talk.completion("d")
            await talk.to_the_end()
            assert _count(talk) == Counter("abcd")
            await commits.until(lambda head: head.offset == end + 3)
            assert await sample(service, 'penstock_commit_lag{partition="0"}') == 0
            assert await sample(service, 'penstock_backlog{partition="0"}') == 0
        assert (await on.operator.commit()).offset == end + 4

        async with on.serving() as (_, talk):
            await transaction("e", commit=True)
            await talk.completion("e")
            await talk.to_the_end()
            assert _count(talk) == Counter("abcde")
        assert len(on.models.calls) == 5
