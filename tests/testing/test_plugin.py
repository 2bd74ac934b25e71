"""pytest knows us, and whoever does not use us does not notice."""

from pathlib import Path

from tests.testing.pytest_run import passed, run_pytest

_IDLE = """
import sys


def test_nothing_is_imported():
    heavy = {"dspy", "aiokafka", "aiohttp", "pydantic", "structlog", "orjson"}
    assert "penstock.pytest_plugin" in sys.modules
    assert not heavy & sys.modules.keys()
    ours = {name for name in sys.modules if name.split(".")[0] == "penstock"}
    assert ours == {"penstock", "penstock.pytest_plugin"}
"""

_MARKED = """
import pytest

pytestmark = pytest.mark.penstock(program="question -> answer", retry={"answer_attempts": 1})


def test_of_the_file(penstock):
    penstock.model.says_text("No.")
    assert penstock.ask("?").attempts == 1


@pytest.mark.penstock(retry={"answer_attempts": 2})
def test_its_own(penstock):
    penstock.model.says_text("No.")
    penstock.model.says_text("No.")
    assert penstock.ask("?").attempts == 2
    assert penstock.model.requests[0].outputs == ("answer",)
"""


_FAULTY = """
import dspy
import pytest


class Faulty(dspy.Module):
    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    async def aforward(self, question):
        answered = await self.answer.acall(question=question)
        return answered.misspelt


@pytest.mark.penstock(program="test_faulty:Faulty", retry={"answer_attempts": 1})
def test_what_is_shown(penstock):
    penstock.model.fails(429, retry_after_s=1)
    assert penstock.ask("?").status == "failed"
"""


def test_a_run_that_does_not_use_it_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_idle.py").write_text(_IDLE)
    assert passed(run_pytest(tmp_path)) == 1


def test_what_a_program_raises_is_shown_and_how_the_model_fails_is_not(tmp_path: Path) -> None:
    (tmp_path / "test_faulty.py").write_text(_FAULTY)
    said = run_pytest(tmp_path, "-s")
    assert said.count("Traceback") == 1
    assert "return answered.misspelt" in said
    assert "question ended" in said


def test_the_closest_marker_counts(tmp_path: Path) -> None:
    (tmp_path / "test_marked.py").write_text(_MARKED)
    assert passed(run_pytest(tmp_path, "--strict-markers")) == 2


_OF_A_PROJECT = """
import pytest


def test_the_projects_program(penstock):
    assert penstock.ask("?").status == "completed"


@pytest.mark.penstock("question -> answer")
def test_the_program_of_a_marker(penstock):
    assert penstock.ask("?").status == "completed"
"""


def test_no_other_program_is_tested_than_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(_OF_A_PROJECT)
    said = run_pytest(tmp_path, "--tb=line", passes=False)
    assert "2 errors" in said
    assert f"no program is named, and there is no penstock.toml in {tmp_path}" in said
    assert "takes what it is given by name, such as program='question -> answer'" in said
