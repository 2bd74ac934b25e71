"""How far a replay has come, what is our share of its rate, and how fast it is."""

import random

import pytest

from penstock.core.offset_map import DoneBeyond
from penstock.errors import ConfigurationError
from penstock.replay.plan import Plan, check_id, decode, encode, parts
from penstock.replay.progress import Progress, Speed, pace, progress
from penstock.replay.selection import Selection, these


def plan(rate: float | None = None, **more: object) -> Plan:
    wanted = {0: Selection(10, 20), 2: these([5, 7, 30]), 3: Selection(4, 4)}
    return Plan.model_validate(
        {
            "id": "a",
            "created_at": 0,
            "questions": "q",
            "group": "g.replay.a",
            "original_group": "g",
            "tokens": "t",
            "completions": "c",
            "dead_letters": "d",
            "parts": parts(wanted),
            "rate": rate,
            **more,
        }
    )


def test_what_is_done_is_what_is_wanted_and_committed() -> None:
    begun = progress(plan(), {0: None, 2: None})
    assert begun == Progress(0, 13, frozenset({0, 2}))
    assert not begun.over
    some = progress(plan(), {0: DoneBeyond(12, ((15, 17),)), 2: DoneBeyond(6, ((6, 20),))})
    assert some == Progress(2 + 2 + 1 + 1, 13, frozenset({0, 2}))
    half = progress(plan(), {0: DoneBeyond(25), 2: DoneBeyond(30)})
    assert half == Progress(12, 13, frozenset({2}))
    assert progress(plan(), {0: DoneBeyond(20), 2: DoneBeyond(31)}).over


def test_the_rate_is_shared_by_the_partitions_that_are_left() -> None:
    begun = progress(plan(), {0: None, 2: None})
    assert pace(plan(), begun, [0, 2]) is None
    assert pace(plan(10), begun, [0, 2]) == 10
    assert pace(plan(10), begun, [0, 9]) == 5
    assert pace(plan(10), begun, []) == 5, "what is about to be ours may begin"
    half = progress(plan(), {0: DoneBeyond(20), 2: None})
    assert pace(plan(10), half, [0, 2]) == 10


def test_speed_is_of_late() -> None:
    speed = Speed()
    speed.saw(0, 0.0)
    assert speed.per_second == 0
    for second in range(1, 100):
        speed.saw(min(second, 50), second)
    assert speed.per_second == 0
    speed.saw(80, 100.0)
    assert speed.per_second == pytest.approx(1.0)


def test_a_plan_is_read_as_it_was_written() -> None:
    written = decode(encode(plan(3.5)))
    assert written == plan(3.5)
    assert written.records == 13
    assert written.ends == {0: 20, 2: 31}
    with pytest.raises(ConfigurationError, match="cannot be read: id"):
        decode(b'{"type": "replay"}')


def test_too_scattered_a_plan_is_refused() -> None:
    chance = random.Random(1)
    wanted = these([number for number in range(8_000_000) if chance.random() < 0.5])
    with pytest.raises(ConfigurationError, match="narrow it"):
        encode(plan(parts=parts({0: wanted})))


def test_an_id_becomes_part_of_names() -> None:
    assert check_id("2026-11-27.a_b") == "2026-11-27.a_b"
    for name in ("", "a/b", "a b", "ä", "x" * 101):
        with pytest.raises(ConfigurationError, match="is no id"):
            check_id(name)
