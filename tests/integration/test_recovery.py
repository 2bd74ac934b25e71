"""A service ends, one way or another, and the next one finds out what is done."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from penstock.errors import CommitError
from penstock.events.completion import Completion
from penstock.kafka import completed, metadata, recovery
from penstock.kafka.codec import Delivery
from penstock.kafka.sink import KafkaSink
from penstock.kafka.source import KafkaSource
from tests.support.conversation import Conversation
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.operating import Commits, commits
from tests.support.stage import opening_commits_only, sample, stage

# pytest finds fixtures by their names in this module.
__all__ = ["commits", "opening_commits_only"]

IDS = ["first", "second", "third"]
RETENTION = 'penstock_log_resets_total{cause="retention"}'
TRUNCATED = 'penstock_log_resets_total{cause="truncated"}'
DONE_AGAIN = "the last commit is not of ours, as after --reset-offsets"


async def _each_once(talk: Conversation, *ids: str) -> None:
    """Asks a last question: what the service had to do before it is done then."""
    await talk.ask({"id": "last", "question": "?"}, key=b"k")
    await talk.completion("last")
    await talk.to_the_end()
    asked = Counter(c.body["question_id"] for c in talk.completed)
    assert asked == Counter([*ids, "last"])
    assert {c.body["status"] for c in talk.completed} == {"completed"}


async def test_what_is_answered_and_not_committed_is_not_asked_again(
    bootstrap_servers: str, topics: Topics, opening_commits_only: dict[str, Any]
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(drain=False, **opening_commits_only) as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
        assert (await on.operator.commit()).offset == 0

        async with on.serving() as (service, talk):
            await _each_once(talk, *IDS)
            assert await sample(service, "penstock_questions_recovered_total") == len(IDS)
        assert len(on.models.calls) == 4
        assert (await on.operator.commit()).offset == 4


async def test_a_completion_that_landed_and_nobody_acknowledged_is_found(
    bootstrap_servers: str, topics: Topics, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bookmark does not lie beyond it."""
    publish = KafkaSink.completion

    async def unheard(sink: KafkaSink, delivery: Delivery, completion: Completion) -> int | None:
        position = await publish(sink, delivery, completion)
        if delivery.question_id == "unheard":
            await asyncio.get_running_loop().create_future()
        return position

    monkeypatch.setattr(KafkaSink, "completion", unheard)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(drain=False, commit={"interval_ms": 20}) as (_, talk):
            await talk.ask_all(["unheard"])
            await talk.completion("unheard")
            await talk.ask_all(["heard", "heard too"])
            await commits.until(lambda head: head.done != "" and head.offset == 0)
            await talk.completions(3)
        monkeypatch.undo()

        async with on.serving() as (_, talk):
            await _each_once(talk, "unheard", "heard", "heard too")
        assert len(on.models.calls) == 4


async def test_a_crash_before_the_first_commit(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has noted has not begun."""
    tried = asyncio.Event()

    async def refused(_: KafkaSource, __: object) -> None:
        tried.set()
        raise CommitError("not now")

    async with stage(bootstrap_servers, topics) as on:
        with monkeypatch.context() as patch:
            patch.setattr(KafkaSource, "commit", refused)
            async with on.serving(drain=False) as (service, talk):
                await talk.ask_all(IDS, key=b"k")
                await tried.wait()
                assert not service.engine.questions
            assert len(on.models.calls) == 0
            assert (await on.operator.commit()).offset == -1

        async with on.serving() as (_, talk):
            await _each_once(talk, *IDS)
        assert len(on.models.calls) == 4


async def test_a_group_that_was_forgotten_is_known_by_its_completions(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
        assert (await on.operator.commit()).offset == 3
        await on.operator.forget_group()
        assert (await on.operator.commit()).offset == -1

        async with on.serving() as (_, talk):
            await _each_once(talk, *IDS)
        assert len(on.models.calls) == 4


async def test_what_another_group_has_answered_is_not_answered_by_us(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        other = {"group_id": topics.name("other")}
        async with on.serving(kafka=other) as (_, talk):
            await talk.ask_all(IDS)
            await talk.completions(3)

        async with on.serving() as (_, talk):
            completions = await talk.completions(6)
            await talk.to_the_end()
        groups = Counter(c.body["source"]["group"] for c in completions)
        assert groups == {topics.name("other"): 3, topics.name("group"): 3}
        assert len(on.models.calls) == len(talk.completed) == 6


async def test_after_a_reset_everything_from_there_on_is_done_again_and_only_once(
    bootstrap_servers: str,
    topics: Topics,
    opening_commits_only: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = hear(monkeypatch, recovery)
    ids = ["before", "first", "second", "third"]
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(ids, key=b"k")
            await talk.completions(4)
        assert not heard.said(DONE_AGAIN)
        await on.operator.reset(1)

        on.models.script["moody"] = lambda _, request: (
            "hang-before" if request.question == "third" else "ok"
        )
        async with on.serving("openai/moody", drain=False, **opening_commits_only) as (_, talk):
            await talk.completions(4 + 2)
            # The third is being asked; its process dies.
            await on.models.called(4 + 3)
        [line] = heard.said(DONE_AGAIN)
        assert (line["level"], line["offset"], line["reason"]) == ("warning", 1, "empty")

        async with on.serving() as (_, talk):
            await talk.completions(4 + 3)
            await talk.ask({"id": "last", "question": "?"}, key=b"k")
            await talk.completion("last")
            await talk.to_the_end()
        asked = Counter(c.body["question_id"] for c in talk.completed)
        assert asked == {"before": 1, "first": 2, "second": 2, "third": 2, "last": 1}
        assert len(on.models.calls) == 4 + 3 + 2


@pytest.mark.parametrize("crash", [False, True])
async def test_completions_are_found_where_their_topic_has_got_more_partitions(
    bootstrap_servers: str, topics: Topics, opening_commits_only: dict[str, Any], crash: bool
) -> None:
    """What was said before and after: partition 1 goes on to partition 1 of two, not to 0."""
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        topics.create("completions", 1)
        flags = {"drain": not crash, **opening_commits_only}
        async with on.serving(**flags) as (_, talk):
            await talk.ask_all(IDS, key=b"k", partition=1)
            await talk.completions(3)
            assert {c.partition for c in talk.completed} == {0}
        await on.operator.add_partitions("completions", 2)

        async with on.serving(**flags) as (_, talk):
            await talk.ask_all(["fourth"], key=b"k", partition=1)
            await talk.completion("fourth")
            assert talk.completed[-1].partition == 1

        # This one crashes, or not, before anything of what it knew was committed.
        async with on.serving(**flags) as (_, talk):
            await talk.ask_all(["fifth"], key=b"k", partition=1)
            await talk.completion("fifth")
            await talk.to_the_end()
            asked = Counter(c.body["question_id"] for c in talk.completed)
            assert asked == Counter([*IDS, "fourth", "fifth"])
        assert len(on.models.calls) == 5


async def test_questions_that_the_retention_took_are_said_to_be_lost(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, recovery)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (service, talk):
            await talk.ask_all(["done"], key=b"k")
            await talk.completions(1)
            assert await sample(service, RETENTION) == 0
        async with on.serving("openai/hang-before", drain=False) as (_, talk):
            await talk.ask_all(["lost", "lost too", "left"], key=b"k")
            await on.models.called(2)
        await on.operator.delete_records("questions", before=3)

        async with on.serving() as (service, talk):
            await _each_once(talk, "done", "left")
            assert await sample(service, RETENTION) == 1
        [line] = heard.said("the retention took questions")
        assert (line["level"], line["partition"], line["offsets"]) == ("warning", 0, 2)


async def test_completions_that_the_retention_took_are_said_to_be_lost(
    bootstrap_servers: str,
    topics: Topics,
    opening_commits_only: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = hear(monkeypatch, completed)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(drain=False, **opening_commits_only) as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
        await on.operator.delete_records("completions", before=2)

        async with on.serving() as (_, talk):
            await talk.completion("second")
            # The third's completion is still there.
            await _each_once(talk, "first", "second", "third")
        assert len(on.models.calls) == 3 + 2 + 1
        [line] = heard.said("completions behind the last commit are gone")
        assert (line["level"], line["bookmark"], line["start"]) == ("warning", 0, 2)


async def test_a_commit_of_somebody_else_is_an_offset_and_nothing_more(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, recovery)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
        await on.operator.reset(1, "hello")

        async with on.serving() as (_, talk):
            await talk.completions(3 + 2)
            await _each_once(talk, "first", "second", "second", "third", "third")
        assert [line["reason"] for line in heard.said(DONE_AGAIN)] == ["not of ours"]


async def test_a_later_release_is_waited_for_and_its_completions_count(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, recovery)
    monkeypatch.setattr(recovery, "MARGIN", 0.3)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await talk.completions(3)
        await on.operator.reset(1, '{"penstock":3,"done":{"as":"nobody knows yet"}}')

        began = asyncio.get_running_loop().time()
        async with on.serving(drain_ms=200) as (_, talk):
            assert asyncio.get_running_loop().time() - began >= 0.5
            await _each_once(talk, *IDS)
        assert len(on.models.calls) == 4
        [line] = heard.said("a later release wrote the last commit; it may end")
        assert line["seconds"] == pytest.approx(0.5)
        # What this one commits can be read by this one.
        last = await on.operator.commit()
        assert metadata.read(last.offset, last.metadata, 0.0).done.committed == 4
        assert isinstance(metadata.read(last.offset, last.metadata, 0.0).bookmark, tuple)
