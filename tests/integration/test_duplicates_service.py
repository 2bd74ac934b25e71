"""The same id once more: one call, and a completion that says who was asked first."""

import time
from collections import Counter
from typing import Any

import pytest

from tests.support.conversation import Conversation, Record
from tests.support.kafka import Topics
from tests.support.stage import opening_commits_only, stage

# pytest finds fixtures by their names in this module.
__all__ = ["opening_commits_only"]

SAME = {"id": "same", "question": "?"}
LONG_AGO = int(time.time() * 1000) - 3_600_000
"""Long ago, and not so long that the retention takes it."""


async def _of(talk: Conversation, offset: int, partition: int = 0) -> dict[str, Any]:
    """The only completion of this record."""
    found = await talk.until(
        lambda: [c for c in talk.completed if c.asked == (partition, offset)], bool
    )
    await talk.to_the_end()
    [completion] = [c for c in talk.completed if c.asked == (partition, offset)]
    assert found == [completion]
    return completion.body


def _said_by(talk: Conversation, offset: int) -> list[Record]:
    """The events about the record of this offset: their ids begin with its place."""
    place = f"{talk.topics.questions}/0/{offset}/"
    return [record for record in talk.tokens if record.header("ce_id").startswith(place)]


def _is_duplicate(again: dict[str, Any], first: dict[str, Any]) -> bool:
    assert again["question_id"] == first["question_id"]
    nothing = ("answer", "outputs", "error", "last_sequence", "dead_letter")
    return (
        again["status"] == "duplicate"
        and again["duplicate_of"] == first["source"]
        and again["attempts"] == 0
        and all(again[name] is None for name in nothing)
    )


async def test_the_same_id_is_asked_once(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        async with on.serving() as (_, talk):
            await talk.ask(SAME | {"metadata": {"n": 1}})
            await talk.ask(SAME | {"metadata": {"n": 2}})
            await talk.ask({"id": "other", "question": "?"})
            first, again = await _of(talk, 0), await _of(talk, 1)
            assert first["status"] == "completed"
            assert first["duplicate_of"] is None
            assert _is_duplicate(again, first)
            assert again["metadata"] == {"n": 2}
            # Of a duplicate of a duplicate the first is the first.
            await talk.ask(SAME)
            assert _is_duplicate(await _of(talk, 3), first)
            assert (await _of(talk, 2))["status"] == "completed"
            # In another partition it is another question.
            await talk.ask(SAME, partition=1)
            elsewhere = await _of(talk, 0, partition=1)
            assert (elsewhere["status"], elsewhere["duplicate_of"]) == ("completed", None)
            await talk.ended("other")
            assert _said_by(talk, 0)
            assert not _said_by(talk, 1) + _said_by(talk, 3)
        assert len(on.models.calls) == 3


async def test_one_that_waits_behind_the_first_is_a_duplicate_too(
    bootstrap_servers: str, topics: Topics
) -> None:
    """It does not wait for the answer, which it has nothing to do with."""
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving("openai/slow?first_ms=300&token_ms=0") as (_, talk):
            await talk.ask(SAME)
            await talk.ask(SAME)
            again, first = (c.body for c in await talk.completions(2))
            assert _is_duplicate(again, first)
        assert len(on.models.calls) == 1


@pytest.mark.parametrize("crash", [False, True])
async def test_an_id_is_remembered_by_the_next_process(
    bootstrap_servers: str, topics: Topics, opening_commits_only: dict[str, Any], crash: bool
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(drain=not crash, **opening_commits_only) as (_, talk):
            await talk.ask(SAME)
            first = await _of(talk, 0)
        assert (await on.operator.commit()).offset == (0 if crash else 1)

        async with on.serving() as (_, talk):
            await talk.ask(SAME)
            assert _is_duplicate(await _of(talk, 1), first)
        async with on.serving() as (_, talk):
            await talk.ask(SAME)
            assert _is_duplicate(await _of(talk, 2), first)
        assert len(on.models.calls) == 1


async def test_an_id_that_a_crash_cut_off_is_the_first_all_the_same(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["once"] = lambda count, _: "hang-before" if count == 1 else "ok"
        async with on.serving("openai/once", drain=False) as (_, talk):
            await talk.ask(SAME)
            await on.models.called(1)
            await talk.ask(SAME)
            again = await _of(talk, 1)

        async with on.serving("openai/once") as (_, talk):
            first = await _of(talk, 0)
            assert first["status"] == "completed"
            assert _is_duplicate(again, first)
            assert _is_duplicate(await _of(talk, 1), first)
        assert len(on.models.calls) == 2


async def test_a_question_that_was_none_may_be_asked_again(
    bootstrap_servers: str, topics: Topics
) -> None:
    """Its author has mended it: before a restart, and after one."""
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            for id_ in ("one", "two"):
                await talk.ask({"id": id_, "program": "nobody's", "question": "?"})
            await talk.ask({"id": "one", "question": "?"})
            await talk.completions(3)
        async with on.serving() as (_, talk):
            await talk.ask({"id": "two", "question": "?"})
            await talk.completions(4)
            await talk.to_the_end()
        ended = Counter((c.body["question_id"], c.body["status"]) for c in talk.completed)
        assert ended == {
            ("one", "failed"): 1,
            ("one", "completed"): 1,
            ("two", "failed"): 1,
            ("two", "completed"): 1,
        }


async def test_without_a_window_everything_is_asked(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as on:
        for number in range(2):
            async with on.serving(duplicates={"window_ms": 0}) as (_, talk):
                await talk.ask(SAME, timestamp_ms=LONG_AGO)
                await talk.ask(SAME, timestamp_ms=LONG_AGO)
                completions = await talk.completions(2 * (number + 1))
        assert {c.body["status"] for c in completions} == {"completed"}
        assert len(on.models.calls) == 4


async def test_the_window_is_between_the_records(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as on:
        window = {"window_ms": 60_000}
        async with on.serving(duplicates=window) as (service, talk):
            for timestamp in (LONG_AGO, LONG_AGO + 60_000, LONG_AGO + 60_001):
                await talk.ask(SAME, timestamp_ms=timestamp)
            first, inside, outside = [await _of(talk, offset) for offset in range(3)]
            assert _is_duplicate(inside, first)
            assert outside["status"] == "completed"
            # It waits for long, to go by the clock.
            service.source.pause([0])
            await talk.ask(SAME, timestamp_ms=LONG_AGO + 60_002)
        async with on.serving(duplicates=window) as (_, talk):
            assert _is_duplicate(await _of(talk, 3), outside)
        assert len(on.models.calls) == 2
