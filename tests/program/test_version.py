"""A program's version: the same wherever it is loaded, another when its prompts are others."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

import dspy
import pydantic
import pytest

from penstock.program.version import content_version
from tests.support.programs import Counted, DraftThenAnswer
from tests.support.running import runner


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Fact(pydantic.BaseModel):
    text: str
    source: str | None = None


class Rich(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Of every type that may differ from one process to the next."""

    question: str = dspy.InputField()
    topics: set[str] = dspy.InputField()
    facts: list[Fact] = dspy.OutputField(desc="what is known")
    mood: Mood = dspy.OutputField()
    tone: Literal["calm", "loud"] = dspy.OutputField()


class Everything(DraftThenAnswer):
    def __init__(self) -> None:
        super().__init__()
        self.rich = dspy.Predict(Rich)
        self.rich.demos = [
            dspy.Example(question="?", topics={"a", "b", "c", "d"}, mood=Mood.GOOD),
            {"question": "!", "facts": [Fact(text="t")], "by": lambda: None, "thing": object()},
        ]


def test_it_is_the_same_in_every_process() -> None:
    script = (
        "from penstock.program.version import content_version as v\n"
        "from tests.program.test_version import Everything\n"
        "print(v(Everything()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert found == {content_version(Everything())}
    [version] = found
    assert len(version) == 12
    assert int(version, 16) >= 0


def _instruction(program: Any) -> None:
    program.draft.signature = program.draft.signature.with_instructions("Be brief.")


def _description(program: Any) -> None:
    program.draft.signature = program.draft.signature.with_updated_fields("draft", desc="a draft")


def _type(program: Any) -> None:
    program.draft.signature = program.draft.signature.with_updated_fields("draft", type_=int)


def _field(program: Any) -> None:
    program.draft.signature = program.draft.signature.append("more", dspy.OutputField())


def _order(program: Any) -> None:
    program.answer.signature = dspy.Signature("draft, question -> answer")


def _direction(program: Any) -> None:
    program.answer.signature = dspy.Signature("question -> draft, answer")


def _demo(program: Any) -> None:
    program.answer.demos = [dspy.Example(question="?", draft="d", answer="a")]


def _predictor(program: Any) -> None:
    program.judge = dspy.Predict("answer -> verdict")


def _class_of_a_field(program: Any) -> None:
    class Fact(pydantic.BaseModel):
        text: str
        source: str | None = None
        year: int = 0

    assert content_version(dspy.Predict(Rich)) != content_version(
        dspy.Predict(Rich.with_updated_fields("facts", type_=list[Fact]))
    )
    _field(program)


CHANGES = [
    *(_instruction, _description, _type, _field, _order, _direction),
    *(_demo, _predictor, _class_of_a_field),
]


@pytest.mark.parametrize("change", CHANGES)
def test_it_changes_with_what_is_in_the_prompts(change: Callable[[Any], None]) -> None:
    program = DraftThenAnswer()
    before = content_version(program)
    change(program)

    assert content_version(program) != before


def _model(program: Any) -> None:
    program.set_lm(dspy.LM("openai/another"))


def _training(program: Any) -> None:
    program.draft.train = [dspy.Example(question="?")]
    program.draft.traces = ["a trace"]


def _history(program: Any) -> None:
    program.history.append({"prompt": "?"})


@pytest.mark.parametrize("change", [_model, _training, _history])
def test_it_does_not_change_otherwise(change: Callable[[Any], None]) -> None:
    program = DraftThenAnswer()
    before = content_version(program)
    change(program)

    assert content_version(program) == before
    assert content_version(program.deepcopy()) == before


async def test_one_that_is_given_comes_first() -> None:
    entry = "tests.support.programs:Counted"
    async with runner(entry) as run:
        ran = await run(question="?")
        assert ran.report.program is not None
        assert ran.report.program.version == content_version(dspy.Predict(Counted))
    async with runner({"entry": entry, "version": "2026-11"}) as run:
        ran = await run(question="?")
        assert ran.report.program is not None
        assert ran.report.program.version == "2026-11"
        assert json.loads(ran.report.program.model_dump_json())["version"] == "2026-11"
