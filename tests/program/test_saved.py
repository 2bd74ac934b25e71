"""Saved state: what an optimizer learned is served; another program's is not, nor a pickle."""

import json
import pickle
from pathlib import Path
from typing import Any

import dspy
import pytest

from penstock.errors import ConfigurationError
from tests.support.programs import DraftThenAnswer, thoughtful
from tests.support.running import runner

DEMO = {"question": "What is a weir?", "draft": "A low dam.", "answer": "A low dam, in short."}
TWO_STEPS = "tests.support.programs:DraftThenAnswer"


def _learned() -> dspy.Module:
    program = DraftThenAnswer()
    program.draft.signature = program.draft.signature.with_instructions("Draft like a poet.")
    program.answer.demos = [dspy.Example(**DEMO)]
    return program


def _saved(path: Path, program: dspy.Module | None = None) -> Path:
    (program or _learned()).save(path)
    return path


def _edited(path: Path, edit: Any) -> Path:
    state = json.loads(path.read_bytes())
    edit(state)
    path.write_text(json.dumps(state))
    return path


async def test_what_was_learned_is_in_the_prompts(tmp_path: Path) -> None:
    state = _saved(tmp_path / "learned.json")
    async with runner({"entry": TWO_STEPS, "state": str(state)}, "echo") as run:
        assert (await run(question="?")).failure is None
        assert run.program.module.draft.signature.instructions == "Draft like a poet."
        assert run.program.module.answer.demos[0]["answer"] == DEMO["answer"]


async def test_its_path_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _saved(tmp_path / "learned.json")
    monkeypatch.chdir(tmp_path)
    async with runner({"entry": TWO_STEPS, "state": "learned.json"}) as run:
        assert run.program.module.answer.demos


async def test_a_saved_model_is_not_asked(tmp_path: Path) -> None:
    """It would come before the configured one, which here is the only one that is there."""
    program = _learned()
    program.set_lm(dspy.LM("openai/elsewhere", api_base="http://localhost:1", api_key="none"))
    state = _saved(tmp_path / "learned.json", program)
    async with runner({"entry": TWO_STEPS, "state": str(state)}) as run:
        assert (await run(question="?")).answer == "You said ?"
        assert run.models.calls.per_model == {"ok": 2}


async def test_an_object_that_others_serve_too_keeps_its_own_state(tmp_path: Path) -> None:
    program = dspy.ChainOfThought("question -> answer")
    program.predict.signature = program.predict.signature.with_instructions("Be brief.")
    state = _saved(tmp_path / "brief.json", program)
    entry = "tests.support.programs:thoughtful"
    async with runner({"entry": entry, "state": str(state)}) as run:
        assert run.program.module.predict.signature.instructions == "Be brief."
        assert thoughtful.predict.signature.instructions != "Be brief."


class Planted:
    """A pickle that leaves a trace where it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["state.pkl", "state.json", "state", "folder", "folder.json"])
async def test_a_pickle_is_never_read(tmp_path: Path, name: str) -> None:
    trace, state = tmp_path / "trace", tmp_path / name
    planted = pickle.dumps(Planted(trace))
    if "folder" in name:
        state.mkdir()
        (state / "program.pkl").write_bytes(planted)
    else:
        state.write_bytes(planted)

    message = await _refused(state)

    assert not trace.exists()
    assert "json" in message.lower()
    pickle.loads(planted)
    assert trace.exists(), "the trap works"


def _rename(state: dict[str, Any]) -> None:
    state["final"] = state.pop("answer")


def _no_draft(state: dict[str, Any]) -> None:
    del state["draft"]


def _one_more(state: dict[str, Any]) -> None:
    state["judge"] = state["draft"]


def _other_field(state: dict[str, Any]) -> None:
    state["draft"]["signature"]["fields"][0].update(prefix="Topic:", description="${topic}")


def _one_field_less(state: dict[str, Any]) -> None:
    state["answer"]["signature"]["fields"].pop()


def _other_demos(state: dict[str, Any]) -> None:
    state["answer"]["demos"] = [{"text": "?", "label": "b"}]


def _no_signature(state: dict[str, Any]) -> None:
    del state["draft"]["signature"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_rename, ["'answer'", "draft, final"]),
        (_no_draft, ["'draft'"]),
        (_one_more, ["'judge'", "draft, answer"]),
        (_other_field, ["'draft'", "'question'", "'topic'"]),
        (_one_field_less, ["'answer'", "question, draft, answer", "'Draft:'"]),
        (_other_demos, ["'answer'", "text, label"]),
        (_no_signature, ["'draft'", "'signature'"]),
    ],
)
async def test_a_state_that_does_not_fit_is_refused_and_says_where(
    tmp_path: Path, edit: Any, words: list[str]
) -> None:
    state = _edited(_saved(tmp_path / "learned.json"), edit)

    message = await _refused(state)

    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"{", "not JSON"),
        (b"[]", "not what"),
        (b'{"draft": 1, "answer": 2}', "not what"),
        (b'{"draft": {}, "answer": {}}', "not what"),
    ],
)
async def test_a_file_that_is_no_state_is_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    state = tmp_path / "learned.json"
    if content is not None:
        state.write_bytes(content)

    assert words in await _refused(state)


async def _refused(state: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with runner({"entry": TWO_STEPS, "state": str(state)}):
            pass
    message = str(caught.value)
    assert message.startswith("program 'mine': its state ")
    assert str(state) in message
    assert "\n" not in message
    return message
