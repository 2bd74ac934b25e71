"""Rates, percentiles and ratios."""

import pytest

from tests.bench.figures import beside_floor, middle_and_tail, per_second, percentile


def test_a_rate_counts_neither_while_slots_fill_nor_while_they_run_out() -> None:
    # Two slots: one completion every 10 ms, but for a slow start and a slow end.
    steady = list(range(1_000, 1_210, 10))
    assert per_second([0, *steady, 9_000, 9_500], slots=2) == pytest.approx(100)


def test_a_rate_does_not_ask_for_an_order() -> None:
    assert per_second([30, 0, 20, 50, 10, 40], slots=1) == pytest.approx(100)


def test_a_rate_counts_from_when_it_has_settled() -> None:
    fast, slow = range(0, 100, 1), range(100, 1_100, 10)
    assert per_second([*fast, *slow], slots=1) > 150
    assert per_second([*fast, *slow], slots=1, settle_ms=100) == pytest.approx(100)


@pytest.mark.parametrize("timestamps", [[], [1, 2, 3, 4], [5] * 100])
def test_there_is_no_rate_of_too_few(timestamps: list[int]) -> None:
    with pytest.raises(ValueError, match="give no rate"):
        per_second(timestamps, slots=2)


def test_a_percentile_is_between_its_neighbours() -> None:
    assert percentile([1.0, 2.0], 50) == pytest.approx(1.5)
    assert percentile([float(n) for n in range(101)], 95) == pytest.approx(95)
    assert percentile([7.0], 95) == 7.0


def test_the_middle_and_the_tail_have_names() -> None:
    told = middle_and_tail("wait_ms", [1.0, 2.0, 3.0])
    assert told == {"wait_ms_p50": 2.0, "wait_ms_p95": 2.9, "wait_ms_p99": 2.98}


def test_each_is_beside_the_floor() -> None:
    told = beside_floor(
        {
            "penstock": {
                "questions_per_second": 90.0,
                "cpu_ms_per_question": 6.0,
                "first_token_added_ms_p50": 12.5,
            },
            "floor": {
                "questions_per_second": 120.0,
                "cpu_ms_per_question": 4.0,
                "first_token_added_ms_p50": 10.0,
            },
        }
    )
    assert (
        told["penstock"]
        | {
            "rate_to_floor": 0.75,
            "cpu_to_floor": 1.5,
            "first_token_over_floor_ms_p50": 2.5,
        }
        == told["penstock"]
    )
    assert told["floor"]["rate_to_floor"] == 1


def test_what_is_not_measured_has_no_ratio() -> None:
    only = {"penstock": {"questions_per_second": 90.0}}
    assert beside_floor(only) == only
    told = beside_floor(only | {"floor": {"cpu_ms_per_question": 0.0}})
    assert told["penstock"] == {"questions_per_second": 90.0}
