"""How often one may ask, by a clock of the test's own."""

from penstock.gateway.rates import SUBJECTS, Rates


def test_a_minutes_worth_at_once_and_then_evenly() -> None:
    rates = Rates()
    # Seven sevenths of a minute are a little more than a minute, in floating point.
    assert [rates.spend("ana", 7, 100.0) for _ in range(7)] == [0.0] * 7
    wait = rates.spend("ana", 7, 100.0)
    assert abs(wait - 60 / 7) < 1e-6
    assert rates.spend("ana", 7, 100.0 + wait / 2) > 0
    assert rates.spend("ana", 7, 100.0 + wait) == 0.0
    assert rates.spend("ana", 7, 100.0 + wait) > 0


def test_who_is_refused_pays_nothing_for_it() -> None:
    rates = Rates()
    rates.spend("ana", 1, 0.0)
    waits = [rates.spend("ana", 1, 0.0) for _ in range(3)]
    assert waits == [60.0] * 3
    assert rates.spend("ana", 1, 60.0) == 0.0


def test_one_bucket_is_never_more_than_full() -> None:
    rates = Rates()
    rates.spend("ana", 2, 0.0)
    assert [rates.spend("ana", 2, 10_000.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_what_one_asks_is_nothing_to_another() -> None:
    rates = Rates()
    assert rates.spend("ana", 1, 0.0) == 0.0
    assert rates.spend("ben", 1, 0.0) == 0.0
    assert rates.spend("ana", 1, 0.0) > 0.0


def test_so_many_are_remembered_and_who_was_silent_longest_is_forgotten() -> None:
    rates = Rates()
    for one in ("ana", "silent"):
        assert rates.spend(one, 1, 0.0) == 0.0
    for number in range(SUBJECTS - 2):
        rates.spend(str(number), 1, 0.0)
    assert rates.spend("ana", 1, 0.0) > 0.0
    rates.spend("one more", 1, 0.0)
    assert rates.spend("ana", 1, 0.0) > 0.0
    assert len(rates._full_at) == SUBJECTS
    assert rates.spend("silent", 1, 0.0) == 0.0
