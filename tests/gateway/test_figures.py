"""What went by of late, counted in steps."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.figures import SAMPLE, STEP, STEPS, Figures, Quantiles, Sample, quantiles

NOW = 1_795_434_000.0
"""The begin of a step."""


def ended(figures: Figures, at: float, duration_ms: float | None = 100.0) -> None:
    figures.ended(at, failed=False, first_token_ms=None, duration_ms=duration_ms)


def test_what_goes_by_is_of_the_step_in_which_it_did() -> None:
    figures = Figures(NOW)
    figures.begin(NOW)
    figures.asked(NOW + 1)
    figures.tokens += 7
    figures.turn(NOW + STEP)
    figures.asked(NOW + STEP)
    figures.ended(NOW + STEP + 1, failed=True, first_token_ms=3.0, duration_ms=9.0)
    figures.tokens += 2
    *_, before, now = figures.steps(NOW + STEP + 2)
    assert (before.second, before.asked, before.ended, before.tokens) == (NOW, 1, 0, 7)
    assert (now.second, now.asked, now.ended, now.failed, now.tokens) == (NOW + STEP, 1, 1, 1, 2)
    assert now.duration.quantiles == Quantiles(9.0, 9.0)


def test_steps_are_always_as_many_and_without_a_gap() -> None:
    figures = Figures(NOW)
    # It stood still, and then the clock was set back.
    for now in (NOW + 3, NOW + 10 * STEPS * STEP, NOW + STEPS * STEP):
        figures.turn(now)
        figures.asked(now)
        steps = figures.steps(now)
        assert (len(steps), steps[-1].asked) == (STEPS, 1)
        assert [b.second - a.second for a, b in pairwise(steps)] == ([STEP] * (STEPS - 1))


def test_what_was_there_before_fills_the_steps_and_what_is_forgotten_none() -> None:
    figures = Figures(NOW)
    figures.asked(NOW - 3 * STEP)
    ended(figures, NOW - 2 * STEP)
    figures.asked(NOW - STEPS * STEP)
    figures.tokens += 1000
    figures.begin(NOW + 1)
    steps = figures.steps(NOW + 1)
    assert [step.asked for step in steps[-4:]] == [1, 0, 0, 0]
    assert sum(step.asked for step in steps) == 1
    assert sum(step.tokens for step in steps) == 0, "nobody knows when they were said"


def test_rates_are_of_the_last_minute() -> None:
    figures = Figures(NOW)
    figures.begin(NOW)
    for second in range(120):
        figures.asked(NOW + second)
        ended(figures, NOW + second, None if second % 2 else 10.0 + second)
        figures.tokens += 20
        figures.turn(NOW + second + 1)
    rates = figures.rates(NOW + 120)
    assert (rates.asked, rates.ended, rates.failed, rates.tokens) == (1.0, 1.0, 0.0, 20.0)
    # Of the seconds 65 to 119, every other one.
    assert rates.duration_ms == Quantiles(102.0, 126.0)
    assert rates.first_token_ms is None


def test_rates_of_tokens_are_of_the_time_that_they_were_counted() -> None:
    figures = Figures(NOW)
    figures.begin(NOW + 2)
    figures.tokens += 50
    assert figures.rates(NOW + 12).tokens == 5.0


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200), st.integers(1, 5))
def test_quantiles_are_those_of_all_of_them(values: list[int], parts: int) -> None:
    samples = [Sample() for _ in range(parts)]
    draw = random.Random(1)
    for number, value in enumerate(values):
        samples[number % parts].add(float(value), draw)
    found = quantiles(samples)
    ordered = sorted(values)
    assert found is not None
    assert found.p50 == ordered[-(-len(values) // 2) - 1]
    assert found.p95 == ordered[-(-len(values) * 95 // 100) - 1]


def test_of_many_a_sample_is_kept_and_each_stands_for_several() -> None:
    many, few, draw = Sample(), Sample(), random.Random(1)
    for number in range(100 * SAMPLE):
        many.add(1000.0 + number % 10, draw)
    for _ in range(SAMPLE):
        few.add(1.0, draw)
    assert len(many.kept) == SAMPLE
    found = quantiles([few, many])
    assert found is not None
    assert found.p50 >= 1000.0, "as many are kept of the few, and they are no half of all"
