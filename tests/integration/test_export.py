"""`penstock export`: what was asked and answered, as a dataset."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dspy
import pytest

from penstock.events.completion import Program
from tests.support.command import environment, penstock
from tests.support.kafka import Topics
from tests.support.readme import blocks
from tests.support.recorded import recording
from tests.support.service import settings_for

SUPPORT = Program(name="support", version="1")


@asynccontextmanager
async def asked(servers: str, topics: Topics) -> AsyncIterator[dict[str, str]]:
    """Seven questions; gives the environment of the command."""
    topics.create("questions", 2)
    topics.create("completions", 2)
    settings = settings_for(servers, topics, "openai/x")
    async with recording(servers, topics) as record:
        for body, partition, said in (
            ("Why?", 0, {"outputs": {"answer": "Because."}, "question_id": "one"}),
            (
                {
                    "inputs": {"letter": "Hm", "tone": 1, "answer": "not asked"},
                    "metadata": {"a": 1},
                },
                1,
                {"outputs": {"answer": "Ja <b>"}, "program": SUPPORT, "metadata": {"a": 1}},
            ),
            ("fails", 0, {"status": "failed"}),
            ("again", 0, {"status": "duplicate"}),
            ("late", 1, {"status": "expired", "outputs": {"answer": "so f"}}),
            (None, 1, {"status": "failed"}),
            ("nobody answers", 0, None),
        ):
            where = await record.question(body, partition, key="k")
            if said is not None:
                await record.completion(where, **said)
    yield {**environment(settings), "PENSTOCK_KAFKA__GROUP_ID": topics.name("group")}


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def by_offset(found: list[dict[str, Any]]) -> Mapping[tuple[int, int], dict[str, Any]]:
    return {(row["partition"], row["offset"]): row for row in found}


async def test_what_was_asked_and_answered(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    async with asked(bootstrap_servers, topics) as env:
        dspy_, late, whole, some = await asyncio.gather(
            penstock("export", "train.jsonl", env=env, cwd=tmp_path),
            penstock("export", "--where", "status=expired", env=env),
            penstock("export", "--format", "jsonl", env=env),
            penstock("export", "--format", "jsonl", "-p", "1", "-o", "1:", env=env),
        )
        assert (dspy_.code, dspy_.stdout) == (0, "")
        found = rows((tmp_path / "train.jsonl").read_text())
        assert sorted(found, key=str) == [
            {"inputs": {"letter": "Hm", "tone": 1}, "outputs": {"answer": "Ja <b>"}},
            {"inputs": {"question": "Why?"}, "outputs": {"answer": "Because."}},
        ]
        assert dspy_.stderr.splitlines() == [
            "penstock: 2 written; left out: 5 not status=completed",
            "penstock: of several programs (qa 1, support 1): --where program=NAME takes one",
        ]

        assert rows(late.stdout) == [
            {"inputs": {"question": "late"}, "outputs": {"answer": "so f"}}
        ]

        assert whole.stderr == "penstock: 7 written\n"
        by_place = by_offset(rows(whole.stdout))
        assert len(by_place) == 7
        one = by_place[0, 0]
        assert one["question"] == {"question": "Why?"}
        assert one["completion"]["outputs"] == {"answer": "Because."}
        assert (one["topic"], one["key"]) == (topics.name("questions"), "k")
        assert by_place[1, 0]["question"]["metadata"] == {"a": 1}
        assert by_place[1, 2]["question"] is None
        assert by_place[1, 2]["completion"]["status"] == "failed"
        assert by_place[0, 3]["completion"] is None

        assert {(row["partition"], row["offset"]) for row in rows(some.stdout)} == {(1, 1), (1, 2)}

        # A file of somebody's stays, but with --force; and for nothing there is none.
        (tmp_path / "mine").write_text("mine")
        kept, forced, nothing = await asyncio.gather(
            penstock("export", "mine", env=env, cwd=tmp_path),
            penstock(
                "export", "train.jsonl", "--force", "-o", ":1", "-p", "0", env=env, cwd=tmp_path
            ),
            penstock("export", "new", "--where", "status=failed", env=env, cwd=tmp_path),
        )
    assert (kept.code, kept.stderr) == (2, "penstock: mine exists; --force writes over it\n")
    assert (tmp_path / "mine").read_text() == "mine"
    assert forced.code == 0
    assert [row["outputs"] for row in rows((tmp_path / "train.jsonl").read_text())] == [
        {"answer": "Because."}
    ]
    assert nothing.code == 1
    assert nothing.stderr == (
        "penstock: 0 written; left out: 5 not status=failed, 2 failed, without outputs\n"
    )
    assert names_in(tmp_path) == {"train.jsonl", "mine"}


def test_the_readme_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.jsonl").write_text(
        '{"inputs": {"question": "Why?"}, "outputs": {"answer": "Because."}}\n'
    )
    monkeypatch.chdir(tmp_path)
    [block] = [
        one
        for one in blocks("### Compare and export", "### Dead letters")
        if one.language == "python"
    ]
    names: dict[str, Any] = {}
    exec(block.text, names)
    [example] = names["trainset"]
    assert isinstance(example, dspy.Example)
    assert example.inputs().toDict() == {"question": "Why?"}
    assert example.labels().toDict() == {"answer": "Because."}
