"""Two files of figures side by side."""

import copy
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from tests.bench.compare import Change, changes, table, warnings

OLD: dict[str, Any] = {
    "machine": {"cores": 2, "processor": "fast", "python": "3.12.1", "load_before": 0.1},
    "skew": {
        "conditions": {"questions": 3_000, "slots": 64},
        "subjects": {"penstock": {"questions_per_second": 60.0, "cpu_ms_per_question": 5.0}},
    },
}


def _new(**figures: float) -> dict[str, Any]:
    new = copy.deepcopy(OLD)
    new["skew"]["subjects"]["penstock"] = figures
    return new


def test_of_a_rate_more_is_better_and_of_a_cost_less() -> None:
    new = _new(questions_per_second=66.0, cpu_ms_per_question=6.0)
    rate, cost = changes(OLD, new)
    assert (rate.verdict, cost.verdict) == ("better", "worse")
    assert rate.percent == pytest.approx(10)
    assert cost.percent == pytest.approx(20)


def test_a_small_change_is_none() -> None:
    assert all(not one.verdict for one in changes(OLD, _new(questions_per_second=59.0)))


@pytest.mark.parametrize(
    ("old", "new", "verdict"), [(0, 2, "worse"), (-1, -2, "better"), (0, 0, "")]
)
def test_of_nothing_there_is_no_percentage(old: float, new: float, verdict: str) -> None:
    change = Change("unloaded", "penstock", "first_token_over_floor_ms_p50", old, new)
    assert change.percent is None
    assert change.verdict == verdict


def test_what_both_gave_in_some_round_is_noise() -> None:
    old, new = copy.deepcopy(OLD), _new(questions_per_second=66.0, cpu_ms_per_question=6.0)
    ranges = ((57.0, 64.0), (4.9, 5.1)), ((63.0, 69.0), (5.8, 6.1))
    for found, of in zip((old, new), ranges, strict=True):
        spread = dict(zip(("questions_per_second", "cpu_ms_per_question"), of, strict=True))
        found["skew"]["spread"] = {"penstock": spread}
    rate, cost = changes(old, new)
    assert (rate.verdict, cost.verdict) == ("", "worse")


def test_what_is_in_one_file_only_is_not_compared() -> None:
    new = _new(memory_mb=100.0)
    new["burst"] = new.pop("skew")
    assert not list(changes(OLD, new))
    assert list(warnings(OLD, new)) == ["skew: only in the old file"]


def test_the_same_conditions_need_no_warning() -> None:
    assert not list(warnings(OLD, copy.deepcopy(OLD)))


def test_another_machine_a_busy_one_and_another_load_are_warned_of() -> None:
    new = copy.deepcopy(OLD)
    new["machine"] |= {"cores": 8, "load_before": 3.5}
    new["skew"]["conditions"] = {"questions": 100, "slots": 64}
    assert list(warnings(OLD, new)) == [
        "cores: 2 then, 8 now",
        "the new machine was busy: its load was 3.5",
        "skew: questions differ",
    ]


def test_the_table_says_all_of_it() -> None:
    out = StringIO()
    found = changes(OLD, _new(questions_per_second=66.0, cpu_ms_per_question=5.0))
    Console(file=out, width=120).print(table(found))
    rate, cost = (line for line in out.getvalue().splitlines() if "penstock" in line)
    for word in ("skew", "questions per second", "60.0", "66.0", "+10.0 %", "better"):
        assert word in rate
    assert "+0.0 %" in cost
    assert "better" not in cost
    assert "worse" not in cost
