"""Which scenarios are meant, what they are told, and how their figures are shown."""

from argparse import Namespace
from io import StringIO

import pytest
from rich.console import Console

from tests.bench.__main__ import SCENARIOS, chosen, wanted
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.table import table

NOTHING = {"questions": None, "quick": False, "min_interval_ms": None, "rounds": None}


def test_a_beginning_names_all_that_begin_so() -> None:
    assert chosen(["saturation"]) == ["saturation-64", "saturation-256"]
    assert chosen(["skew", "saturation-64"]) == ["saturation-64", "skew"]
    assert chosen([]) == list(SCENARIOS)


@pytest.mark.parametrize("name", ["satur", "", "saturation-65"])
def test_what_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such scenario"):
        chosen([name])


def test_what_is_told_wins() -> None:
    scenario = SCENARIOS["saturation-64"]
    told = Namespace(**NOTHING)
    assert wanted(scenario, told) == Wanted(640, (0, 20), 3)
    told = Namespace(**NOTHING | {"quick": True})
    assert wanted(scenario, told) == Wanted(320, (0, 20), 1)
    told = Namespace(quick=True, questions=200, min_interval_ms=[5], rounds=2)
    assert wanted(scenario, told) == Wanted(200, (5,), 2)


def _shown(result: Result) -> tuple[str, list[list[str]]]:
    out = StringIO()
    Console(file=out, width=80).print(table("burst", result))
    lines = [line.split("│")[1:-1] for line in out.getvalue().splitlines() if line.startswith("│")]
    return out.getvalue(), [[cell.strip() for cell in line] for line in lines]


def test_a_figure_that_one_program_lacks_is_left_out() -> None:
    found = {"penstock": {"memory_mb": 1_234.5, "records": 3.0}, "floor": {"memory_mb": 60.0}}
    text, cells = _shown(Result({"questions": 20_000, "token_ms": 5}, found))
    assert cells == [["memory mb", "1,234.5", "60.0"], ["records", "3.0", ""]]
    assert "questions 20000, token ms 5" in text


def test_the_spread_is_beside_the_median() -> None:
    found = {"penstock": {"memory_mb": 1_234.5}}
    spread = {"penstock": {"memory_mb": (1_200.0, 1_300.0)}}
    _, cells = _shown(Result({}, found, spread))
    assert cells == [["memory mb", "1,234.5 (1,200.0 .. 1,300.0)"]]
