"""What the provider grants a minute, spread evenly, and settled by what calls have taken."""

from random import Random

import pytest

from penstock.core.rate import Rate


def known(per_minute: float, usual: float) -> Rate:
    """One that has learned at 0 what calls take, and has a full second's worth left at 1,000."""
    rate = Rate(per_minute)
    rate.settle(rate.charge(0), usual, answered=True)
    return rate


def starts(rate: Rate, now: float, most: int = 1_000) -> int:
    """How many calls may start now."""
    for number in range(most):
        if rate.allows_at(now) > now:
            return number
        rate.charge(now)
    return most


def test_a_second_s_worth_may_come_at_once_and_then_it_is_spread_evenly() -> None:
    rate = known(600, usual=1)
    assert starts(rate, 1_000) == 10
    assert rate.allows_at(1_000) == pytest.approx(1_000.1)
    assert starts(rate, 1_000.25) == 2
    assert starts(rate, 1_001.25) == 10


def test_what_is_not_used_for_long_is_no_more_than_a_second_s_worth() -> None:
    assert starts(known(600, usual=1), 100_000) == 10


def test_less_than_one_a_second_comes_one_at_a_time() -> None:
    rate = known(6, usual=1)
    assert starts(rate, 1_000) == 1
    assert rate.allows_at(1_005) == pytest.approx(1_010)
    assert starts(rate, 1_010) == 1


@pytest.mark.parametrize("seed", range(5))
def test_when_it_is_time_it_is(seed: int) -> None:
    """Whatever floats make of it: who wakes up then need not wait another moment."""
    random = Random(seed)
    for _ in range(200):
        rate = known(random.uniform(1, 10_000), usual=random.uniform(1, 10_000))
        now = random.uniform(10**5, 10**6)
        starts(rate, now, most=10_000)
        at = rate.allows_at(now)
        assert now < at == rate.allows_at(at)


def test_asking_takes_nothing() -> None:
    rate = known(60, usual=1)
    assert {rate.allows_at(1_000) for _ in range(100)} == {1_000}


def test_a_call_that_takes_more_than_a_second_s_worth_waits_for_it_afterwards() -> None:
    rate = known(6_000, usual=1_000)
    assert starts(rate, 1_000) == 1
    # 100 a second, and 900 short: it starts when a second's worth is there.
    assert rate.allows_at(1_000) == pytest.approx(1_010)


def test_what_was_charged_too_much_is_given_back_and_too_little_is_owed() -> None:
    rate = known(6_000, usual=100)
    assert starts(rate, 1_000) == 1
    rate.settle(100, 20, answered=False)
    assert rate.allows_at(1_000) == pytest.approx(1_000.2)
    rate.settle(20, 520, answered=False)
    assert rate.allows_at(1_000) == pytest.approx(1_005.2)


def test_nothing_is_given_back_beyond_a_second_s_worth() -> None:
    rate = known(6_000, usual=1)
    for _ in range(50):
        rate.settle(100, 0, answered=False)
    assert starts(rate, 1_000) == 100


# --- what calls take ----------------------------------------------------------------------------


def test_before_it_is_known_what_a_call_takes_one_starts_a_second() -> None:
    """All at once could take many times what is granted."""
    rate = Rate(600_000)
    assert starts(rate, 1_000) == 1
    assert rate.allows_at(1_000) == pytest.approx(1_001)


def test_nor_more_than_one_where_a_second_s_worth_is_less() -> None:
    rate = Rate(6)
    assert starts(rate, 1_000) == 1
    assert rate.allows_at(1_000) == pytest.approx(1_010)


def test_the_first_that_is_answered_says_what_a_call_takes() -> None:
    rate = Rate(600_000)
    rate.settle(rate.charge(1_000), 2_000, answered=True)
    assert starts(rate, 1_000) == 4


def test_what_they_take_is_followed() -> None:
    rate = known(600_000, usual=1_000)
    for _ in range(40):
        rate.settle(5_000, 5_000, answered=True)
    assert starts(rate, 1_000) == 2


def test_calls_that_came_to_nothing_do_not_say_what_the_next_will_take() -> None:
    """Else all would start at once when the model is back."""
    rate = known(600_000, usual=1_000)
    for _ in range(100):
        rate.settle(1_000, 0, answered=False)
    assert starts(rate, 1_000) == 10


def test_where_no_tokens_are_reported_none_are_counted() -> None:
    rate = Rate(600_000)
    rate.settle(rate.charge(0), 0, answered=True)
    assert starts(rate, 1_000, most=500) == 500


@pytest.mark.parametrize("seed", range(5))
def test_over_time_no_more_is_taken_than_is_granted_and_little_less(seed: int) -> None:
    random, rate, now, taken = Random(seed), Rate(60_000), 0.0, 0
    running: list[tuple[float, float, int]] = []
    while now < 600:
        while running and running[0][0] <= now:
            _, charged, used = running.pop(0)
            rate.settle(charged, used, answered=True)
        if (at := rate.allows_at(now)) <= now:
            used = random.randrange(100, 3_000)
            taken += used
            running.append((now + random.uniform(0.5, 4), rate.charge(now), used))
            running.sort()
        else:
            now = min(at, running[0][0]) if running else at
    assert 0.9 <= taken / (60_000 / 60 * 600) <= 1.02
