"""What is growth, and what is there that is needed once."""

import pytest

from tests.bench.memory import grown


def test_growth_is_counted_from_a_fifth_of_the_questions_to_the_last() -> None:
    told = grown([90, 110, 120, *range(121, 129)], questions=100_000)
    assert told["memory_at_start_mb"] == 90
    assert told["memory_at_20_percent_mb"] == 120
    assert told["memory_at_100_percent_mb"] == 128
    assert told["memory_grown_mb"] == 8
    assert told["memory_grown_kb_per_1000_questions"] == pytest.approx(8 * 1024 / 80, abs=0.05)


def test_what_is_flat_has_not_grown() -> None:
    assert grown([90, 110, *[120] * 9], questions=1_000)["memory_grown_kb_per_1000_questions"] == 0
