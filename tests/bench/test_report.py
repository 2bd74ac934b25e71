"""Which runs are told of, and that each of their figures comes where it belongs."""

import copy
import json
from typing import Any

import pytest

from schemas.performance import MEASURED, Run, tables
from schemas.performance_chart import charts
from tests.bench.__main__ import SCENARIOS
from tests.bench.report import missing, smaller

TOLD: dict[str, Any] = json.loads(MEASURED.read_text())


def test_what_is_told_is_of_a_whole_run() -> None:
    assert not missing(TOLD)
    assert not smaller(TOLD)


def test_of_a_part_it_is_said_what_lacks() -> None:
    part = [name for name in SCENARIOS if name != "skew"]
    assert missing(part) == ["skew"]


@pytest.mark.parametrize("less", [{"questions": 1_500}, {"rounds": 0}])
def test_a_run_of_few_questions_or_rounds_is_not_told_of(less: dict[str, int]) -> None:
    whole: dict[str, Any] = {
        name: {"conditions": {"questions": scenario.questions, "rounds": scenario.rounds}}
        for name, scenario in SCENARIOS.items()
    }
    recovery = whole["recovery"]["conditions"]
    recovery["completions"] = recovery.pop("questions")
    assert not smaller(whole)
    whole["skew"]["conditions"] |= less
    assert smaller(whole) == ["skew"]


def test_every_figure_that_is_told_is_of_the_run() -> None:
    """A change of each changes the tables: none is of another scenario, or of nothing."""
    told = tables(Run(TOLD))
    for scenario, subject, figure in (
        ("saturation-64", "penstock", "questions_per_second"),
        ("saturation-64", "floor", "cpu_us_per_chunk"),
        ("saturation-64", "with DSPy's client", "peak_memory_mb"),
        ("saturation-256", "reference", "cpu_ms_per_question"),
        ("unloaded", "penstock, merging 20 ms", "first_token_added_ms_p99"),
        ("unloaded", "penstock", "first_token_over_floor_ms_p50"),
        ("skew", "penstock", "rate_to_floor"),
        ("slow-broker", "penstock", "token_records_per_question"),
        ("memory", "penstock", "memory_grown_kb_per_1000_questions"),
        ("scaling", "4 at work", "questions_per_second"),
        ("recovery", "no_commit", "open_seconds"),
        ("backlog-cost", "100,000 wait", "cpu_ms_per_question"),
    ):
        other = copy.deepcopy(TOLD)
        other[scenario]["subjects"][subject][figure] = 987.6
        assert tables(Run(other)) != told, (scenario, subject, figure)


def test_a_bar_is_as_long_as_its_share_of_the_limit() -> None:
    half = copy.deepcopy(TOLD)
    conditions = half["saturation-64"]["conditions"]
    rate = half["saturation-64"]["subjects"]["penstock"]["questions_per_second"]
    conditions["limit_per_second"] = rate * 2
    for subject in ("floor", "reference"):
        half["saturation-64"]["subjects"][subject]["questions_per_second"] = rate / 2
    drawn = charts(Run(half))["performance.svg"]
    assert 'width="85.0"' in drawn
    assert drawn.count('width="42.5"') == 2
