"""What a question had streamed when its time was over, where its completion is to hold it."""

import asyncio
from typing import Any

from tests.support.conversation import Conversation
from tests.support.kafka import Topics
from tests.support.stage import stage

MODEL = "openai/moody"
TIMEOUT_MS = 1_500
PARTLY = {"partial": True}


async def _ask(talk: Conversation, name: str, **more: Any) -> dict[str, Any]:
    """Its completion, when it has expired."""
    await talk.ask({"id": name, "question": name, "timeout_ms": TIMEOUT_MS, **more})
    completion = await talk.completion(name)
    assert completion["status"] == "expired"
    assert completion["error"]["kind"] == "DEADLINE"
    return completion


def _said(talk: Conversation, name: str, field: str = "answer") -> str:
    """Since the last restart."""
    said = ""
    for event in talk.said(name):
        if event["type"] == "restart":
            said = ""
        elif event["type"] == "token" and event["field"] == field:
            said += event["text"]
    return said


async def test_what_was_streamed_is_there_and_marked(
    bootstrap_servers: str, topics: Topics
) -> None:
    behaviours = {"two": "hang-during?at=24", "silent": "hang-before"}
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda _, request: behaviours.get(
            request.question, "hang-during?at=8"
        )
        programs = {"one": "question -> answer", "two": "question -> title, answer"}
        flags: dict[str, Any] = {"programs": programs, "deadline": PARTLY}
        async with on.serving(MODEL, **flags) as (_, talk):
            one, two, silent, quiet = await asyncio.gather(
                _ask(talk, "one", program="one"),
                _ask(talk, "two", program="two"),
                _ask(talk, "silent"),
                _ask(talk, "quiet", stream=False),
            )
            letters = await talk.dead_letters(4)
            await talk.to_the_end()

            assert one["partial"]
            assert one["outputs"] == {"answer": _said(talk, "one")}
            assert one["answer"] == _said(talk, "one")
            assert one["answer"].startswith("You said")
            assert two["partial"]
            assert two["outputs"] == {
                "title": _said(talk, "two", "title"),
                "answer": _said(talk, "two"),
            }
            assert two["answer"] == _said(talk, "two") != ""
            for nothing in (silent, quiet):
                assert not nothing["partial"]
                assert nothing["outputs"] is nothing["answer"] is None
            # It has expired all the same.
            assert len(letters) == 4


async def test_what_an_earlier_attempt_had_said_is_not(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda number, _: (
            "cut?at=9&text=first+first+first" if number == 1 else "hang-during?at=8&text=second"
        )
        flags: dict[str, Any] = {"deadline": PARTLY, "retry": {"base_ms": 1}}
        async with on.serving(MODEL, **flags) as (_, talk):
            completion = await _ask(talk, "q")
            await talk.to_the_end()

            assert completion["attempts"] == 2
            assert completion["outputs"] == {"answer": _said(talk, "q")}
            assert "first" not in completion["answer"]


async def test_where_it_is_not_wanted_there_is_nothing(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda *_: "hang-during?at=8"
        async with on.serving(MODEL) as (_, talk):
            completion = await _ask(talk, "q")
            await talk.to_the_end()

            assert _said(talk, "q")
            assert not completion["partial"]
            assert completion["outputs"] is completion["answer"] is None
