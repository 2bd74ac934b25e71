"""Bounded slots, fair between partitions, one at a time per lane."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.admission import Admission, LaneId
from penstock.core.facts import RecordId


def record(offset: int, partition: int = 0) -> RecordId:
    return RecordId(partition, 1, offset)


def lane(key: str, partition: int = 0) -> LaneId:
    return (partition, key)


def test_no_more_than_the_slots_run_at_once() -> None:
    admission = Admission(2)
    for offset in range(3):
        admission.add(record(offset), lane(str(offset)))
    assert [admission.take(), admission.take(), admission.take()] == [record(0), record(1), None]
    admission.free_slot()
    assert admission.take() == record(2)


def test_a_lane_is_shut_until_it_is_opened_even_when_slots_are_free() -> None:
    admission = Admission(2)
    admission.add(record(0), lane("a"))
    admission.add(record(1), lane("a"))
    assert admission.take() == record(0)
    admission.free_slot()
    assert admission.take() is None
    admission.open(lane("a"))
    assert admission.take() == record(1)


def test_what_arrives_in_a_shut_and_empty_lane_waits_too() -> None:
    admission = Admission(2)
    admission.add(record(0), lane("a"))
    admission.take()
    admission.add(record(1), lane("a"))
    assert admission.take() is None
    admission.open(lane("a"))
    assert admission.take() == record(1)


def test_partitions_take_turns_and_so_do_the_lanes_within_one() -> None:
    admission = Admission(9)
    for offset, key in enumerate("aab"):
        admission.add(record(offset), lane(key))
    admission.add(record(0, partition=1), lane("a", partition=1))
    admission.add(record(1, partition=1), lane("b", partition=1))
    taken = [admission.take() for _ in range(5)]
    assert taken == [record(0), record(0, 1), record(2), record(1, 1), None]


def test_a_dropped_record_never_runs_and_the_rest_of_its_lane_does() -> None:
    admission = Admission(9)
    for offset in range(2):
        admission.add(record(offset), lane("a"))
    admission.add(record(2), lane("b"))
    admission.drop(record(0), lane("a"))
    admission.drop(record(2), lane("b"))
    assert [admission.take(), admission.take()] == [record(1), None]


def test_dropping_from_a_shut_lane_does_not_open_it() -> None:
    admission = Admission(9)
    for offset in range(3):
        admission.add(record(offset), lane("a"))
    admission.take()
    admission.drop(record(1), lane("a"))
    assert admission.take() is None
    admission.open(lane("a"))
    assert admission.take() == record(2)


class Naive:
    """The same rules over one list: who of those that may run was served longest ago?"""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_flight = 0
        self.waiting: list[tuple[RecordId, LaneId]] = []
        self.shut: set[LaneId] = set()

    def candidates(self) -> set[RecordId]:
        """The head of every open lane: any of them may be next."""
        if self.in_flight >= self.slots:
            return set()
        heads: dict[LaneId, RecordId] = {}
        for waiting, name in self.waiting:
            heads.setdefault(name, waiting)
        return {waiting for name, waiting in heads.items() if name not in self.shut}


Moves = st.lists(
    st.tuples(
        st.sampled_from(("add", "add", "take", "take", "free", "open", "drop")),
        st.integers(0, 50),
    ),
    max_size=80,
)


@settings(max_examples=100, deadline=None)
@given(Moves)
def test_it_agrees_with_one_list(moves: list[tuple[str, int]]) -> None:
    admission, naive = Admission(3), Naive(3)
    lanes: dict[RecordId, LaneId] = {}
    turns: list[int] = []
    for offset, (move, number) in enumerate(moves):
        if move == "add":
            name = lane("abc"[number % 3], number % 2)
            lanes[record(offset, number % 2)] = name
            naive.waiting.append((record(offset, number % 2), name))
            admission.add(record(offset, number % 2), name)
        elif move == "take":
            possible = naive.candidates()
            taken = admission.take()
            assert taken in possible if possible else taken is None
            if taken is not None:
                name = lanes[taken]
                naive.waiting.remove((taken, name))
                naive.shut.add(name)
                naive.in_flight += 1
                turns = _took_turns(turns, taken.partition, possible)
        elif move == "free" and naive.in_flight:
            naive.in_flight -= 1
            admission.free_slot()
        elif move == "open" and naive.shut:
            name = sorted(naive.shut, key=str)[number % len(naive.shut)]
            naive.shut.remove(name)
            admission.open(name)
        elif move == "drop" and naive.waiting:
            gone, name = naive.waiting.pop(number % len(naive.waiting))
            admission.drop(gone, name)
        assert admission.in_flight == naive.in_flight <= 3


def _took_turns(turns: list[int], partition: int, possible: set[RecordId]) -> list[int]:
    """Nobody who could have run is passed over twice in favour of the same other partition."""
    overtaken = {other.partition for other in possible} - {partition}
    assert not (overtaken and turns[-2:] == [partition, partition])
    return [*turns, partition] if overtaken else []
