"""So many a second, evenly."""

import math

import pytest

from penstock.replay.batch_pace import BatchPace


@pytest.mark.parametrize("rate", [0.5, 1, 7, 100, 10_000])
def test_a_rate_is_kept_evenly(rate: float) -> None:
    pace, now, gone = BatchPace(rate, 500), 0.0, 0
    while now < 100:
        now += pace.waits(now)
        gone += pace.at_once
        pace.gone(pace.at_once, now)
    assert gone == pytest.approx(rate * 100, rel=0.03)
    assert pace.at_once <= max(1, rate * 0.2)


def test_what_was_missed_is_not_caught_up_with() -> None:
    pace = BatchPace(10, 500)
    pace.gone(pace.at_once, 0)
    assert pace.waits(60) == 0
    pace.gone(pace.at_once, 60)
    assert pace.waits(60) == pytest.approx(pace.at_once / 10)


@pytest.mark.parametrize("rate", [None, math.inf])
def test_without_one_nothing_waits(rate: float | None) -> None:
    pace = BatchPace(rate, 500)
    pace.gone(500, 0)
    assert (pace.at_once, pace.waits(0)) == (500, 0)
