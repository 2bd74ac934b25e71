"""A user's program, its tests, and pytest alone."""

import shutil
from pathlib import Path

from tests.testing.pytest_run import passed, run_pytest

DESK = Path(__file__).with_name("desk")


def test_a_users_stories(tmp_path: Path) -> None:
    for name in ("penstock.toml", "desk.py"):
        shutil.copy(DESK / name, tmp_path)
    stories = shutil.copy(DESK / "stories.py", tmp_path / "test_desk.py")
    (tmp_path / ".env").write_text("PENSTOCK_RETRY__ANSWER_ATTEMPTS=1\n")
    told = Path(stories).read_text().count("\ndef test_")
    assert told > 20
    assert passed(run_pytest(tmp_path)) == told


def test_the_readmes_example(tmp_path: Path) -> None:
    readme = Path("README.md").read_text()
    _, _, before = readme.partition("A program of your own is a DSPy signature or a module")
    blocks = before.split("```")[1::2]
    toml = next(block for block in blocks if block.startswith("toml\n"))
    desk = next(block for block in blocks if block.startswith("python\n# desk.py\n"))
    tests = next(block for block in blocks if block.startswith("python\n# test_desk.py\n"))
    (tmp_path / "desk.py").write_text(desk.removeprefix("python\n"))
    (tmp_path / "test_desk.py").write_text(tests.removeprefix("python\n"))
    # What an optimizer has learned is nobody's to show.
    (tmp_path / "penstock.toml").write_text(
        toml.removeprefix("toml\n").replace(', state = "support.json"', "")
    )
    assert passed(run_pytest(tmp_path)) == tests.count("\ndef test_")
