"""By id, for as long as a question of that id may still turn up."""

from penstock.core.cancellations import Cancellations


def test_an_id_is_cancelled_until_its_time_is_over() -> None:
    one = Cancellations()
    one.add("a", until=10, now=0)
    assert [one.hold("a", now) for now in (0, 9, 10, 11)] == [True, True, False, False]


def test_other_ids_are_not() -> None:
    one = Cancellations()
    one.add("a", until=10, now=0)
    assert not one.hold("b", 0)


def test_what_is_over_when_it_is_heard_of_is_over() -> None:
    one = Cancellations()
    one.add("a", until=10, now=20)
    assert not one.hold("a", 20)
    assert len(one) == 0


def test_cancelled_again_it_holds_for_longer_and_never_for_shorter() -> None:
    one = Cancellations()
    one.add("a", until=10, now=0)
    one.add("a", until=20, now=5)
    assert one.hold("a", 15)
    one.add("a", until=8, now=6)
    assert one.hold("a", 15)


def test_it_may_be_asked_more_than_once_for_ids_come_again() -> None:
    one = Cancellations()
    one.add("a", until=10, now=0)
    assert one.hold("a", 1)
    assert one.hold("a", 1)


def test_what_is_over_is_forgotten() -> None:
    one = Cancellations()
    for now in range(1_000):
        one.add(f"question-{now}", until=now + 10, now=now)
    assert len(one) == 10


def test_cancelled_again_it_keeps_nobody_else() -> None:
    one = Cancellations()
    one.add("a", until=10, now=0)
    one.add("b", until=20, now=1)
    one.add("a", until=100, now=2)
    one.add("c", until=100, now=30)
    assert len(one) == 2


def test_what_holds_for_longer_and_came_before_keeps_only_what_came_since() -> None:
    one = Cancellations()
    one.add("long", until=1_000, now=0)
    for now in range(100):
        one.add(f"question-{now}", until=now + 10, now=now)
    assert one.hold("long", 999)
    assert not one.hold("question-0", 50)
    one.add("last", until=2_000, now=1_000)
    assert len(one) == 1
