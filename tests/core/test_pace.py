"""So many a second, evenly."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.pace import Pace


def starts(pace: Pace, begin: float, end: float, turn: float = 0.001) -> int:
    """How many of many that wait start, where somebody looks every turn."""
    count, now = 0, begin
    while now < end:
        while pace.allows_at(now) <= now:
            pace.started(now)
            count += 1
        now += turn
    return count


def test_without_a_pace_all_may_start() -> None:
    pace = Pace()
    pace.started(1.0)
    assert pace.allows_at(1.0) == 1.0


def test_so_many_start_in_a_second() -> None:
    pace = Pace(50)
    assert 500 <= starts(pace, 100.0, 110.0) <= 506


def test_what_nobody_wanted_is_not_made_up_for() -> None:
    pace = Pace(10)
    assert starts(pace, 0.0, 1.0) <= 12
    assert starts(pace, 60.0, 61.0) <= 12


def test_the_next_one_is_told() -> None:
    pace = Pace(0.5)
    pace.started(10.0)
    assert pace.allows_at(10.0) == 11.9
    assert pace.allows_at(12.5) == 12.5


def test_a_new_pace_holds_from_now_on() -> None:
    pace = Pace(0.01)
    pace.started(0.0)
    pace.change(10, 1.0)
    assert pace.allows_at(1.0) <= 1.1
    pace.change(None, 1.0)
    assert pace.allows_at(1.0) == 1.0
    pace.change(1, 2.0)
    assert starts(pace, 2.0, 12.0) <= 12


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=8))
def test_however_it_changes_it_is_kept(paces: list[float]) -> None:
    pace, now, most = Pace(paces[0]), 0.0, 1.0
    count = 0
    for per_second in paces:
        pace.change(per_second, now)
        count += starts(pace, now, now + 2, 0.01)
        # And what may be made up for, at each.
        most += 2 * per_second + 0.1 * per_second + 1
        now += 2
    assert count <= most
