"""`penstock compare`: it finds exactly the answers that were made to differ."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.compare_find import find
from penstock.cli.ranges import Meant
from penstock.cli.reading import Reading
from penstock.cli.scoring import Metric
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.events.completion import Program
from penstock.kafka.security import client_arguments
from tests.support.command import Ended, environment, penstock
from tests.support.kafka import Topics
from tests.support.recorded import Recorder, Where, recording
from tests.support.service import settings_for

QUESTIONS = 300
MADE = {"changed": 17, "newly_failed": 5, "newly_fixed": 4, "both_failed": 3}
NEW = Program(name="qa", version="2")

METRIC = """
def longer(example, prediction, trace=None):
    print("by the way")
    assert example.inputs().keys() == ["question"]
    if example.question == "question 7?":
        raise KeyError(prediction.answer)
    return len(prediction.answer)

word = "no function"
"""


class Comparing:
    """Topics with questions, and the command."""

    def __init__(self, servers: str, topics: Topics, record: Recorder) -> None:
        settings = settings_for(servers, topics, "openai/x")
        self.env = {**environment(settings), "PENSTOCK_KAFKA__GROUP_ID": topics.name("group")}
        self.topics = topics
        self.record = record
        self.prefix = topics.name("again")

    async def ask(self, count: int, partitions: int = 3) -> list[Where]:
        return [
            await self.record.question(f"question {n}?", n % partitions, key=f"k{n}")
            for n in range(count)
        ]

    async def answer(
        self, asked: Where, name: str, before: str | None, after: str | None, **more: Any
    ) -> None:
        """None: it fails."""
        for replay, said in ((None, before), ("monday", after)):
            await self.record.completion(
                asked,
                None if said is None else {"answer": said, "reasoning": f"as {name}"},
                question_id=name,
                status="failed" if said is None else "completed",
                replay=replay,
                topic="again.completions" if replay else "completions",
                partition=asked.partition % (2 if replay else 3),
                program=NEW if replay else None,
                tokens=15 if replay else 10,
                duration_ms=50.0 if replay else 100.0,
                **more,
            )

    async def run(self, *words: str, cwd: Path | None = None) -> Ended:
        """Of the replay's own topics."""
        return await penstock(
            "compare", "--topic-prefix", self.prefix, *words, env=self.env, cwd=cwd
        )


@asynccontextmanager
async def comparing(servers: str, topics: Topics) -> AsyncIterator[Comparing]:
    topics.create("questions", 3)
    topics.create("completions", 3)
    topics.create("again.completions", 2)
    async with recording(servers, topics) as record:
        yield Comparing(servers, topics, record)


def told(ended: Ended) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The questions by their ids, and the summary."""
    *questions, summary = map(json.loads, ended.stdout.splitlines())
    assert summary["type"] == "summary"
    assert {one["type"] for one in questions} <= {"question"}
    by_id = {one["question_id"]: one for one in questions}
    assert len(by_id) == len(questions)
    return by_id, summary


def drawn() -> dict[int, str]:
    """What becomes of which question, of those that are not answered the same."""
    numbers = random.Random(8).sample(range(QUESTIONS), sum(MADE.values()))
    return dict(zip(numbers, Counter(MADE).elements(), strict=True))


async def answer_all(on: Comparing, made: Mapping[int, str]) -> None:
    """In any order; one more is not asked again, and one had not been answered before."""
    order = list(enumerate(await on.ask(QUESTIONS)))
    random.Random(9).shuffle(order)
    for number, where in order:
        outcome = made.get(number, "equal")
        before = None if outcome in {"newly_fixed", "both_failed"} else f"It is {number}."
        after = None if outcome in {"newly_failed", "both_failed"} else f"It is {number}."
        if outcome == "changed":
            after = f"It was {number}."
        elif outcome == "equal" and number % 5 == 0:
            after = f" {after}\n"
        tenant = {"tenant": "acme" if number % 2 else "other"}
        await on.answer(where, f"q{number}", before, after, metadata=tenant)
    waits = await on.record.question("not asked again", 0)
    await on.record.completion(waits, {"answer": "!"}, question_id="waits")
    last = await on.record.question("not asked before", 0)
    await on.record.completion(
        last, {"answer": "!"}, question_id="last", replay="monday", topic="again.completions"
    )
    await on.record.producer.flush()


async def test_exactly_what_was_made_to_differ(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    (tmp_path / "judge.py").write_text(METRIC)
    made = drawn()
    async with comparing(bootstrap_servers, topics) as on:
        await answer_all(on, made)
        whole, scored, some, text = await asyncio.gather(
            on.run("--output", "json"),
            on.run("monday", "--output", "json", "--metric", "judge:longer", cwd=tmp_path),
            on.run(
                *("--output", "json", "--where", "metadata.tenant=acme", "-p", "1"),
                *("--offset", "10:40", "--field", "reasoning"),
            ),
            on.run("--limit", "100"),
        )
    _found_exactly(whole, made)
    _scored(scored, made)

    found, _ = told(some)
    assert set(found) == {f"q{n}" for n in range(1, QUESTIONS, 6) if 10 <= n // 3 < 40}
    assert "changed" not in {one["outcome"] for one in found.values()}

    assert (text.code, text.stderr) == (0, "")
    assert f"Replay monday: {QUESTIONS + 1} questions" in text.stdout
    for outcome, count in MADE.items():
        assert re.search(rf"^  {outcome.replace('_', ' ')} +{count} ", text.stdout, re.MULTILINE)
    assert text.stdout.count("It [-is-]{+was+} ") == MADE["changed"]
    assert text.stdout.count("was ANSWER unparsable: no field `answer`") == MADE["newly_fixed"]


def _found_exactly(whole: Ended, made: Mapping[int, str]) -> None:
    found, summary = told(whole)
    assert (whole.code, whole.stderr) == (0, "")
    expected = {f"q{number}": made.get(number, "equal") for number in range(QUESTIONS)}
    expected["last"] = "original_unanswered"
    assert {name: one["outcome"] for name, one in found.items()} == expected
    for one in found.values():
        assert one["fields"] == (["answer"] if one["outcome"] == "changed" else [])
        assert one["inputs"].keys() == {"question"}
        assert one["original"] is None or one["original"]["replay"] is None
        assert one["replay"]["replay"]["id"] == "monday"
    assert summary["outcomes"] == MADE | {
        "equal": QUESTIONS - sum(MADE.values()),
        "original_unanswered": 1,
    }
    assert (summary["replay"], summary["not_replayed"]) == ("monday", 1)
    assert summary["duration_ms"] == {
        "questions": QUESTIONS - sum(MADE.values()) + MADE["changed"],
        "original": {"p50": 100.0, "p90": 100.0, "mean": 100.0},
        "replay": {"p50": 50.0, "p90": 50.0, "mean": 50.0},
    }
    assert summary["usage"]["original"]["total_tokens"] == 20 * QUESTIONS
    assert summary["usage"]["ratio"]["total_tokens"] == 1.5
    assert summary["programs"]["original"] == {"qa 1 openai/scripted": QUESTIONS}


def _scored(scored: Ended, made: Mapping[int, str]) -> None:
    """It raises for one question, and prints."""
    assert scored.code == 3
    assert "by the way" in scored.stderr
    assert "by the way" not in scored.stdout
    found, summary = told(scored)
    raised = found.pop("q7")["scores"]
    assert raised == {"original": None, "replay": None, "error": "KeyError: 'It is 7.'"}
    for one in found.values():
        for side in ("original", "replay"):
            answer = ((one[side] or {}).get("outputs") or {}).get("answer")
            assert one["scores"][side] == (None if answer is None else len(answer))
    blanks = sum(n % 5 == 0 and n not in made for n in range(QUESTIONS))
    metric = summary["metric"]
    assert (metric["name"], metric["raised"]) == ("judge:longer", 1)
    assert (metric["better"], metric["worse"]) == (MADE["changed"] + blanks, 0)


async def test_a_replay_in_place_is_told_apart_by_its_id(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with comparing(bootstrap_servers, topics) as on:
        asked = await on.ask(6)
        for number, where in enumerate(asked):
            for replay, said in ((None, "a"), ("one", "a" if number else "b"), ("two", "c")):
                await on.record.completion(
                    where, {"answer": said}, question_id=f"q{number}", replay=replay
                )
        await on.record.producer.flush()
        one = await penstock("compare", "one", "--output", "json", env=on.env)
        misspelt = await penstock("compare", "one", "--field", "anwser", env=on.env)
    found, summary = told(one)
    assert summary["outcomes"]["changed"] == 1
    assert summary["outcomes"]["equal"] == 5
    assert found["q0"]["fields"] == ["answer"]
    assert (misspelt.code, misspelt.stdout) == (2, "")
    assert misspelt.stderr == "penstock: --field anwser: no answer has it; there are answer\n"


async def test_which_replay_is_meant(bootstrap_servers: str, topics: Topics) -> None:
    """Each on one line."""
    async with comparing(bootstrap_servers, topics) as on:
        [where, *_] = await on.ask(3)
        for replay in ("one", "two"):
            await on.record.completion(
                where, {"answer": "a"}, replay=replay, topic="again.completions"
            )
        await on.record.producer.flush()
    settings = settings_for(bootstrap_servers, topics, "openai/x")
    client = client_arguments(bootstrap_servers, {})
    own = Reading(settings, client, Clock(), Meant(), ())

    async def refused(replay: str | None, prefix: str | None, **meant: Any) -> str:
        with pytest.raises(ConfigurationError) as refusal:
            await find(replace(own, meant=Meant(**meant)), replay, prefix)
        said = str(refusal.value)
        assert "\n" not in said
        return said

    assert "of several replays: one, two; name the one" in await refused(None, on.prefix)
    assert "there is no replay 'three'" in await refused("three", on.prefix)
    assert "no replay's topic nowhere.completions" in await refused(None, "nowhere")
    said = await refused("one", on.prefix, partitions=[1])
    assert said == "in this range there is no question of the replay 'one'"
    assert "the partitions 0 to 2" in await refused("one", on.prefix, partitions=[3])
    assert "offset 99 is beyond the end" in await refused("one", on.prefix, offset="99")
    missing = topics.name("no-completions")
    elsewhere = settings.topics.model_copy(update={"completions": missing})
    own = replace(own, settings=settings.model_copy(update={"topics": elsewhere}))
    assert f"topic '{missing}' is missing" in await refused("one", on.prefix)

    found = await find(replace(own, settings=settings), "one", on.prefix)
    assert found.replay == "one"
    original, again = found.by
    assert (original.group, original.replay) == (topics.name("group"), None)
    assert (again.group, again.replay) == (f"{topics.name('group')}.replay.one", "one")
    assert [tuple(some) for some in found.stretches.values()] == [(0, 1), (0, 0), (0, 0)]


async def test_what_cannot_be_compared_is_said_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("mine")
    cases = {
        "which replay?": (),
        "old.html exists; --force": ("one", "--html", "old.html"),
        "no Kafka answers at [::1]:1": ("one", "-b", "[::1]:1"),
    }
    ended = await asyncio.gather(
        *(penstock("compare", *words, cwd=tmp_path) for words in cases.values())
    )
    for says, end in zip(cases, ended, strict=True):
        assert end.code == 2, (says, end)
        assert says in end.stderr, (says, end)
        assert len(end.stderr.splitlines()) == 1, end.stderr
        assert not end.stdout
    assert (tmp_path / "old.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("judge", "--metric judge: write module:function"),
        ("compare_judge:nobody", "--metric: cannot import 'compare_judge:nobody'"),
        ("compare_judge:word", "--metric compare_judge:word: is no function"),
        ("no.such.module:function", "--metric: cannot import 'no.such.module:function'"),
    ],
)
def test_what_is_no_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, says: str
) -> None:
    (tmp_path / "compare_judge.py").write_text(METRIC)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        Metric(entry)
