"""By id: of what was asked before, for good, and of what may be asked yet, for a while."""

import pytest

from penstock.core.cancellations import Cancellations


def test_what_was_asked_before_is_cancelled_however_late_it_is_fetched() -> None:
    one = Cancellations()
    one.add("a", at=1_000, until=10)
    assert one.hold("a", asked_at=999, now=10**6)
    assert one.hold("a", asked_at=1_000, now=10**6)


def test_what_is_asked_later_is_cancelled_until_the_time_is_over() -> None:
    one = Cancellations()
    one.add("a", at=1_000, until=10)
    held = [one.hold("a", 1_001, now) for now in (0, 9, 10, 11)]
    assert held == [True, True, False, False]


def test_other_ids_are_not() -> None:
    one = Cancellations()
    one.add("a", at=1_000, until=10)
    assert not one.hold("b", asked_at=0, now=0)


def test_cancelled_again_it_holds_for_longer_and_never_for_shorter() -> None:
    one = Cancellations()
    one.add("a", at=1_000, until=10)
    one.add("a", at=2_000, until=20)
    one.add("a", at=500, until=8)
    assert one.hold("a", asked_at=2_000, now=30)
    assert one.hold("a", asked_at=3_000, now=19)
    assert not one.hold("a", asked_at=2_001, now=20)


def test_it_may_be_asked_more_than_once_for_ids_come_again() -> None:
    one = Cancellations()
    one.add("a", at=1_000, until=10)
    assert one.hold("a", 0, 1)
    assert one.hold("a", 0, 1)


def test_of_too_many_the_one_cancelled_longest_ago_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cancellations, "MOST", 2)
    one = Cancellations()
    for question_id in ("a", "b", "a", "c"):
        one.add(question_id, at=1_000, until=10)
    assert len(one) == 2
    held = [one.hold(question_id, asked_at=0, now=0) for question_id in ("a", "b", "c")]
    assert held == [True, False, True]
