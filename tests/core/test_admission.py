"""Bounded slots, fair between partitions, one at a time per lane."""

from penstock.core.admission import Admission, LaneId, Turn
from penstock.core.facts import RecordId

QA, SHORT = "qa", "short"
"""Programs, each with a model of its own."""


def record(offset: int, partition: int = 0) -> RecordId:
    return RecordId(partition, 1, offset)


def lane(key: str, partition: int = 0) -> LaneId:
    return (partition, key)


def turn(program: str = QA, partition: int = 0) -> Turn:
    return Turn(partition, program, f"of {program}")


def take(admission: Admission, **ceilings: int) -> RecordId | None:
    """The ceiling of partition 1 is called `p1`; there is none unless told otherwise."""
    return admission.take(lambda _: True, lambda partition: ceilings.get(f"p{partition}"))


def test_no_more_than_the_slots_run_at_once() -> None:
    admission = Admission(2)
    for offset in range(3):
        admission.add(record(offset), lane(str(offset)), turn())
    assert [take(admission), take(admission), take(admission)] == [record(0), record(1), None]
    admission.free_slot()
    assert take(admission) == record(2)


def test_a_lane_is_shut_until_it_is_opened_even_when_slots_are_free() -> None:
    admission = Admission(2)
    admission.add(record(0), lane("a"), turn())
    admission.add(record(1), lane("a"), turn())
    assert take(admission) == record(0)
    admission.free_slot()
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(1)


def test_what_arrives_in_a_shut_and_empty_lane_waits_too() -> None:
    admission = Admission(2)
    admission.add(record(0), lane("a"), turn())
    take(admission)
    admission.add(record(1), lane("a"), turn())
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(1)


def test_partitions_take_turns_and_so_do_the_lanes_within_one() -> None:
    admission = Admission(9)
    for offset, key in enumerate("aab"):
        admission.add(record(offset), lane(key), turn())
    admission.add(record(0, partition=1), lane("a", partition=1), turn(partition=1))
    admission.add(record(1, partition=1), lane("b", partition=1), turn(partition=1))
    taken = [take(admission) for _ in range(5)]
    assert taken == [record(0), record(0, 1), record(2), record(1, 1), None]


def test_a_dropped_record_never_runs_and_the_rest_of_its_lane_does() -> None:
    admission = Admission(9)
    for offset in range(2):
        admission.add(record(offset), lane("a"), turn())
    admission.add(record(2), lane("b"), turn())
    admission.drop(record(0), lane("a"), turn())
    admission.drop(record(2), lane("b"), turn())
    assert [take(admission), take(admission)] == [record(1), None]


def test_dropping_from_a_shut_lane_does_not_open_it() -> None:
    admission = Admission(9)
    for offset in range(3):
        admission.add(record(offset), lane("a"), turn())
    take(admission)
    admission.drop(record(1), lane("a"), turn())
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(2)


# --- below the ceiling --------------------------------------------------------------------------


def test_at_or_above_the_ceiling_nothing_runs_and_below_it_does() -> None:
    admission = Admission(9)
    for offset in (4, 5, 6):
        admission.add(record(offset), lane(str(offset)), turn())
    assert [take(admission, p0=5), take(admission, p0=5)] == [record(4), None]
    assert [take(admission), take(admission)] == [record(5), record(6)]


def test_a_lane_below_the_ceiling_is_found_behind_others_that_are_not() -> None:
    admission = Admission(9)
    for offset, key in ((5, "a"), (3, "b")):
        admission.add(record(offset), lane(key), turn())
    assert [take(admission, p0=4), take(admission, p0=4)] == [record(3), None]


def test_only_the_next_of_a_lane_counts() -> None:
    admission = Admission(9)
    for offset in (3, 5):
        admission.add(record(offset), lane("a"), turn())
    assert take(admission, p0=4) == record(3)
    admission.open(lane("a"))
    assert take(admission, p0=4) is None


def test_a_partition_under_its_ceiling_holds_no_other_up() -> None:
    admission = Admission(9)
    for partition in (0, 1):
        for offset in (1, 2):
            admission.add(
                record(offset, partition), lane(str(offset), partition), turn(partition=partition)
            )
    taken = [take(admission, p0=1) for _ in range(3)]
    assert taken == [record(1, 1), record(2, 1), None]


def test_when_the_ceiling_is_gone_it_is_its_turn() -> None:
    admission = Admission(9)
    for partition in (0, 1):
        for offset in (1, 2, 3):
            admission.add(
                record(offset, partition), lane(str(offset), partition), turn(partition=partition)
            )
    assert take(admission, p0=1) == record(1, 1)
    assert [take(admission), take(admission)] == [record(1, 0), record(2, 1)]


def test_what_could_not_run_takes_no_slot_and_shuts_no_lane() -> None:
    admission = Admission(1)
    admission.add(record(5), lane("a"), turn())
    assert take(admission, p0=5) is None
    assert admission.in_flight == 0
    assert take(admission, p0=6) == record(5)


# --- what runs elsewhere ------------------------------------------------------------------------


def test_a_lane_shut_for_what_runs_elsewhere_waits_and_takes_no_slot() -> None:
    admission = Admission(1)
    admission.add(record(1), lane("a"), turn())
    admission.shut(lane("a"))
    admission.add(record(2), lane("a"), turn())
    assert take(admission) is None
    assert admission.in_flight == 0
    admission.add(record(3), lane("b"), turn())
    assert take(admission) == record(3)
    admission.free_slot()
    admission.open(lane("a"))
    assert take(admission) == record(1)


def test_a_lane_that_waits_for_two_opens_after_both() -> None:
    admission = Admission(9)
    admission.shut(lane("a"))
    admission.shut(lane("a"))
    admission.add(record(1), lane("a"), turn())
    admission.open(lane("a"))
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(1)


def test_one_that_runs_here_and_one_elsewhere_are_two() -> None:
    admission = Admission(9)
    for offset in (0, 1):
        admission.add(record(offset), lane("a"), turn())
    assert take(admission) == record(0)
    admission.shut(lane("a"))
    admission.open(lane("a"))
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(1)


def test_what_is_added_first_runs_before_those_that_wait() -> None:
    admission = Admission(9)
    admission.shut(lane("a"))
    for offset in (1, 2):
        admission.add(record(offset), lane("a"), turn())
    admission.add_first(record(0), lane("a"), turn())
    assert take(admission) is None
    taken = []
    for _ in range(3):
        admission.open(lane("a"))
        taken.append(take(admission))
    assert taken == [record(0), record(1), record(2)]


def test_what_is_added_first_to_an_empty_lane_runs_when_it_opens() -> None:
    admission = Admission(9)
    admission.shut(lane("a"))
    admission.add_first(record(0), lane("a"), turn())
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(0)
    assert take(admission) is None


def test_what_is_dropped_from_a_lane_shut_for_another_leaves_it_shut() -> None:
    admission = Admission(9)
    admission.add(record(0), lane("a"), turn())
    admission.shut(lane("a"))
    admission.drop(record(0), lane("a"), turn())
    admission.add(record(1), lane("a"), turn())
    assert take(admission) is None
    admission.open(lane("a"))
    assert take(admission) == record(1)


# --- several programs ---------------------------------------------------------------------------


def taken(admission: Admission, *programs: str) -> RecordId | None:
    return admission.take(lambda turn: turn.program in programs, lambda _: None)


def test_whose_turn_it_may_not_be_is_passed_over() -> None:
    admission = Admission(9)
    admission.add(record(0), lane("a"), turn(SHORT))
    admission.add(record(1), lane("b"), turn())
    assert [taken(admission, QA), taken(admission, QA)] == [record(1), None]
    assert admission.in_flight == 1
    assert taken(admission, SHORT, QA) == record(0)


def test_it_keeps_its_place_meanwhile() -> None:
    admission = Admission(9)
    admission.add(record(0), lane("a"), turn(SHORT))
    for offset in (1, 2):
        admission.add(record(offset), lane(str(offset)), turn())
    assert taken(admission, QA) == record(1)
    assert taken(admission, QA, SHORT) == record(0)


def test_within_a_lane_nobody_overtakes_who_waits_for_another_program() -> None:
    admission = Admission(9)
    admission.add(record(0), lane("a"), turn(SHORT))
    admission.add(record(1), lane("a"), turn())
    assert taken(admission, QA) is None
    assert taken(admission, SHORT) == record(0)
    admission.open(lane("a"))
    assert taken(admission, SHORT) is None
    assert taken(admission, QA) == record(1)


def test_when_the_first_of_a_lane_is_dropped_the_next_may_be_another_programs() -> None:
    admission = Admission(9)
    admission.add(record(0), lane("a"), turn(SHORT))
    admission.add(record(1), lane("a"), turn())
    admission.drop(record(0), lane("a"), turn(SHORT))
    assert taken(admission, SHORT) is None
    assert taken(admission, QA) == record(1)


def test_programs_of_a_partition_take_turns_like_partitions() -> None:
    admission = Admission(9)
    for offset, program in enumerate((QA, QA, QA, SHORT)):
        admission.add(record(offset), lane(str(offset)), turn(program))
    assert [taken(admission, QA, SHORT) for _ in range(4)] == [
        record(0),
        record(3),
        record(1),
        record(2),
    ]


def test_where_it_is_nobodys_turn_nothing_runs() -> None:
    admission = Admission(9)
    admission.add(record(0), lane("a"), turn())
    assert taken(admission) is None


# --- what runs again ----------------------------------------------------------------------------


def again(admission: Admission, program: str = QA, *, but: int | None = None) -> RecordId | None:
    return admission.take_again(
        lambda turn: turn.program == program, lambda record: record.offset != but
    )


def test_what_runs_again_needs_a_slot_and_no_open_lane() -> None:
    admission = Admission(1)
    admission.add(record(0), lane("a"), turn())
    take(admission)
    admission.free_slot()
    admission.again(record(0), turn())
    admission.add(record(1), lane("b"), turn())
    assert take(admission) == record(1)
    assert again(admission) is None
    admission.free_slot()
    assert again(admission) == record(0)
    assert admission.in_flight == 1
    assert again(admission) is None


def test_they_run_in_order_and_by_program() -> None:
    admission = Admission(9)
    for offset, program in ((2, QA), (0, SHORT), (1, QA)):
        admission.again(record(offset), turn(program))
    assert [again(admission), again(admission), again(admission)] == [record(2), record(1), None]
    assert again(admission, SHORT) == record(0)


def test_those_of_a_partition_take_turns_with_the_others() -> None:
    admission = Admission(9)
    for offset in (0, 1):
        admission.again(record(offset), turn())
    admission.again(record(2, 1), turn(partition=1))
    assert [again(admission) for _ in range(3)] == [record(0), record(2, 1), record(1)]


def test_who_may_not_is_passed_over_and_stays() -> None:
    admission = Admission(9)
    for offset in (0, 1):
        admission.again(record(offset), turn())
    assert again(admission, but=0) == record(1)
    assert again(admission, but=0) is None
    assert again(admission) == record(0)


def test_who_is_withdrawn_does_not_run_again() -> None:
    admission = Admission(9)
    for offset in (0, 1):
        admission.again(record(offset), turn())
    admission.withdraw(record(0), turn())
    admission.withdraw(record(7), turn())
    admission.withdraw(record(1), turn("a program that nobody has waited for"))
    assert [again(admission), again(admission)] == [record(1), None]
    assert admission.in_flight == 1
