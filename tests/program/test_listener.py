"""What a question says is the same whoever asks the model, and said once."""

import asyncio
import gc
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.clock import Clock
from penstock.events.report import Report
from penstock.program import catalog
from penstock.program.runner import Runner
from penstock.program.stream import TokenStream
from tests.support.clients import NATIVE, OURS, Client
from tests.support.model_server import model_server

TWICE = """
import asyncio, dspy

class Twice(dspy.Module):
    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.answer = dspy.ChainOfThought("question, draft -> answer")

    async def aforward(self, question):
        drafts = await asyncio.gather(*(self.draft.acall(question=question) for _ in range(3)))
        return await self.answer.acall(question=question, draft=drafts[0].draft)
"""


async def said(client: Client, model: str, entry: str) -> tuple[Counter[Any], Report]:
    """The text of each field of each call, however many events it came in."""
    events: list[dict[str, Any]] = []

    async def send(value: bytes, _: int) -> "asyncio.Future[Any]":
        events.append(orjson.loads(value))
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    report = Report()
    async with model_server() as server, client.built(server, model) as built:
        program = catalog.load("p", entry, built)
        stream = TokenStream("q", send)
        runner = Runner({"p": program}, Clock())
        assert await runner.run("p", {"question": "Why?"}, report, stream) is None
        await stream.end("completed")
    texts: dict[Any, str] = {}
    for event in events:
        assert event["type"] in {"token", "end"}
        if event["type"] == "token":
            where = event["step"], event["call"], event["field"]
            texts[where] = texts.get(where, "") + event["text"]
    return Counter((step, field, text) for (step, _, field), text in texts.items()), report


@pytest.mark.parametrize("model", ["ok", "ok?token_ms=1", "thinking", "whole"])
@pytest.mark.parametrize("entry", ["question -> answer", "twice:Twice"])
async def test_words_are_said_once_through_either_client(
    model: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "twice.py").write_text(TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    ours, report = await said(OURS, model, entry)
    assert report.answer == "You said Why?"
    assert report.first_token_at is not None
    for (_, _, text), times in ours.items():
        assert text.count("You said Why?") == 1
        assert times in {1, 3}
    if model != "whole":
        native, other = await said(NATIVE, model, entry)
        assert ours == native
        assert report.usage == other.usage


async def test_a_question_leaves_nothing_to_the_garbage_collector() -> None:
    async def take(_: bytes, __: int) -> "asyncio.Future[Any]":
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    async def answered(runner: Runner) -> weakref.ref[TokenStream]:
        report, stream = Report(), TokenStream("q", take)
        report.answering = stream.drop  # held by it, as it is by the job of both
        assert await runner.run("p", {"question": "Why?"}, report, stream) is None
        return weakref.ref(stream)

    async with model_server() as server, OURS.built(server, "ok") as built:
        runner = Runner({"p": catalog.load("p", "question -> answer", built)}, Clock())
        await answered(runner)
        gc.disable()
        try:
            assert (await answered(runner))() is None
        finally:
            gc.enable()
