"""Who has run out of time, each named once."""

import random

from penstock.core.deadline import Deadlines, earliest
from penstock.core.facts import RecordId


def record(offset: int) -> RecordId:
    return RecordId(0, 1, offset)


def test_a_record_is_named_when_its_moment_has_come_and_only_once() -> None:
    deadlines = Deadlines()
    deadlines.arm(record(0), 10)
    assert deadlines.expired(9) == []
    assert deadlines.expired(10) == [record(0)]
    assert deadlines.expired(99) == []


def test_the_earliest_comes_first_and_is_the_next() -> None:
    deadlines = Deadlines()
    for offset, when in enumerate((30, 10, 20)):
        deadlines.arm(record(offset), when)
    assert deadlines.next_at() == 10
    assert deadlines.expired(25) == [record(1), record(2)]
    assert deadlines.next_at() == 30


def test_a_disarmed_record_is_never_named() -> None:
    deadlines = Deadlines()
    deadlines.arm(record(0), 10)
    deadlines.disarm(record(0))
    deadlines.disarm(record(1))
    assert deadlines.next_at() is None
    assert deadlines.expired(99) == []


def test_a_moved_moment_counts_and_its_leftover_does_not() -> None:
    deadlines = Deadlines()
    deadlines.arm(record(0), 10)
    deadlines.arm(record(0), 20)
    assert deadlines.next_at() == 20
    assert deadlines.expired(19) == []
    assert deadlines.expired(20) == [record(0)]


def test_arming_the_same_moment_again_names_it_once() -> None:
    deadlines = Deadlines()
    deadlines.arm(record(0), 10)
    deadlines.disarm(record(0))
    deadlines.arm(record(0), 10)
    assert deadlines.expired(10) == [record(0)]
    assert deadlines.next_at() is None


def test_leftovers_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for offset in range(10_000):
        deadlines.arm(record(offset), 1_000_000 - offset)
        if offset >= 10:
            deadlines.disarm(record(offset - 10))
    assert len(deadlines._heap) < 200


def test_it_agrees_with_a_dictionary() -> None:
    rng = random.Random(7)
    deadlines, armed = Deadlines(), dict[RecordId, int]()
    for now in range(3_000):
        subject = record(rng.randrange(200))
        if rng.random() < 0.6:
            armed[subject] = now + rng.randrange(1, 60)
            deadlines.arm(subject, armed[subject])
        else:
            armed.pop(subject, None)
            deadlines.disarm(subject)
        up = sorted((when, one) for one, when in armed.items() if when <= now)
        assert deadlines.expired(now) == [one for _, one in up]
        for _, one in up:
            del armed[one]
        assert deadlines.next_at() == min(armed.values(), default=None)


def test_the_earliest_of_those_that_there_are() -> None:
    assert earliest([None, 3, 1, None, 2]) == 1
    assert earliest([None, 0.0]) == 0.0
    assert earliest([None]) is None
