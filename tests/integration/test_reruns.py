"""A process dies in the middle of an answer, and the next one goes on from what was said."""

from itertools import pairwise
from typing import Any

import pytest

from penstock.events.texts import Texts
from penstock.events.token import TokenEvent
from penstock.kafka import recovery
from penstock.kafka.recovery import Recovery
from tests.support.conversation import Conversation
from tests.support.kafka import Topics
from tests.support.stage import stage

SLOW = "openai/slow?first_ms=0&token_ms=20&tokens=200"


async def _speaks(talk: Conversation, attempt: int = 1) -> None:
    """Until this attempt has said something."""
    await talk.until(
        lambda: [(event["attempt"], event["type"]) for event in talk.said("q")],
        lambda said: (attempt, "token") in said,
    )


def _text(said: list[dict[str, Any]]) -> str:
    texts = Texts()
    for event in said:
        texts.add(TokenEvent.model_validate(event).root)
    return texts["answer"]


async def test_a_rerun_goes_on_one_past_the_last_that_was_said(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(SLOW, drain=False) as (_, talk):
            await talk.ask({"id": "q", "question": "?"})
            await _speaks(talk)
        # Once more: the third process finds a `restart` among the rest.
        async with on.serving(SLOW, drain=False) as (_, talk):
            await _speaks(talk, attempt=2)

        async with on.serving() as (_, talk):
            said = await talk.ended("q")
            completion = await talk.completion("q")
            await talk.to_the_end()
        assert [event["sequence"] for event in said] == list(range(len(said)))
        restarts = [event for event in said if event["type"] == "restart"]
        assert [event["attempt"] for event in restarts] == [2, 3]
        assert [event["attempt"] for event in said] == sorted(event["attempt"] for event in said)
        for before, event in pairwise(said):
            assert (event["type"] == "restart") == (event["attempt"] > before["attempt"])
        assert _text(said) == completion["answer"]
        assert completion["last_sequence"] == said[-1]["sequence"]
        assert len(talk.completed) == 1
        assert len(on.models.calls) == 3


async def test_a_rerun_that_does_not_know_how_far_it_was_begins_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(SLOW, drain=False) as (_, talk):
            await talk.ask({"id": "q", "question": "?"})
            await _speaks(talk)
        monkeypatch.setattr(recovery, "TAIL", 0)

        async with on.serving() as (_, talk):
            completion = await talk.completion("q")
            said = await talk.ended("q")
        [again] = [at for at, event in enumerate(said) if event["type"] == "restart"]
        assert {event["type"] for event in said[:again]} == {"token"}
        for part in (said[:again], said[again:]):
            assert [event["sequence"] for event in part] == list(range(len(part)))
        assert _text(said) == completion["answer"]
        assert completion["last_sequence"] == len(said) - again - 1


async def test_a_restart_without_a_crash_restarts_no_answer(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        pool = {"slots": 1}
        async with on.serving("openai/slow?first_ms=100&token_ms=0", pool=pool) as (_, talk):
            await talk.ask_all(["first", "second", "third"], key=b"k")
            await on.models.called(1)
        assert len(on.models.calls) < 3

        read: list[int] = []
        read_tokens = Recovery._read_tokens

        async def reads(found: Recovery, topics_: Any, partition: int, below: int) -> Any:
            read.append(partition)
            return await read_tokens(found, topics_, partition, below)

        monkeypatch.setattr(Recovery, "_read_tokens", reads)
        async with on.serving(pool=pool) as (_, talk):
            for id_ in ("first", "second", "third"):
                said = await talk.ended(id_)
                assert "restart" not in {event["type"] for event in said}
                assert [event["sequence"] for event in said] == list(range(len(said)))
                assert {event["attempt"] for event in said} == {1}
        assert not read
        assert len(on.models.calls) == 3


@pytest.mark.parametrize("known", [True, False])
async def test_a_rerun_whose_time_is_over_ends_the_stream_of_before(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(SLOW, drain=False) as (_, talk):
            await talk.ask({"id": "q", "question": "?", "timeout_ms": 60_000})
            await _speaks(talk)
        if not known:
            monkeypatch.setattr(recovery, "TAIL", 0)

        over = {"default_ms": 1, "max_ms": 1}
        async with on.serving(deadline=over) as (_, talk):
            said = await talk.ended("q")
            completion = await talk.completion("q")
        assert len(on.models.calls) == 1
        *before, restart, end = said
        assert (restart["type"], end["status"]) == ("restart", "expired")
        assert restart["sequence"] == (len(before) if known else 0)
        assert end["sequence"] == completion["last_sequence"] == restart["sequence"] + 1
        # No attempt of its own, and none that is older than what was said.
        assert end["attempt"] == restart["attempt"] == (before[-1]["attempt"] if known else 0)
        assert completion["status"] == "expired"
