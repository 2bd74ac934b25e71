"""A partition is paused at the high mark and resumed at the low one."""

import pytest

from penstock.core.intake import Intake

NONE: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())


def opened(high: int, low: int) -> Intake:
    """Of partitions 0 and 1, which run."""
    intake = Intake(high, low)
    for partition in (0, 1):
        intake.arrived(partition)
    assert intake.changes(closed=False) == (frozenset(), frozenset({0, 1}))
    return intake


def grow(intake: Intake, partition: int, times: int) -> None:
    for _ in range(times):
        intake.grew(partition)


def shrink(intake: Intake, partition: int, times: int) -> None:
    for _ in range(times):
        intake.shrank(partition)


def test_it_pauses_at_the_high_mark_and_says_so_once() -> None:
    intake = opened(high=4, low=2)
    grow(intake, 0, 3)
    assert intake.changes(closed=False) == NONE
    grow(intake, 0, 1)
    assert intake.changes(closed=False) == (frozenset({0}), frozenset())
    grow(intake, 0, 1)
    assert intake.changes(closed=False) == NONE


def test_it_resumes_at_the_low_mark_and_not_before() -> None:
    intake = opened(high=4, low=2)
    grow(intake, 0, 4)
    intake.changes(closed=False)
    shrink(intake, 0, 1)
    assert intake.changes(closed=False) == NONE
    shrink(intake, 0, 1)
    assert intake.changes(closed=False) == (frozenset(), frozenset({0}))
    assert intake.changes(closed=False) == NONE


def test_partitions_are_counted_apart() -> None:
    intake = opened(high=2, low=0)
    grow(intake, 0, 1)
    grow(intake, 1, 2)
    assert intake.changes(closed=False) == (frozenset({1}), frozenset())


def test_what_went_up_and_down_between_two_looks_changes_nothing() -> None:
    intake = opened(high=2, low=0)
    grow(intake, 0, 2)
    shrink(intake, 0, 1)
    assert intake.changes(closed=False) == NONE


def test_a_partition_that_comes_back_comes_back_paused_and_empty() -> None:
    intake = opened(high=2, low=0)
    grow(intake, 0, 2)
    intake.changes(closed=False)
    intake.forget(0)
    assert intake.changes(closed=False) == NONE
    intake.arrived(0)
    assert intake.paused == {0}
    assert intake.changes(closed=False) == (frozenset(), frozenset({0}))
    grow(intake, 0, 1)
    assert intake.changes(closed=False) == NONE
    grow(intake, 0, 1)
    assert intake.changes(closed=False) == (frozenset({0}), frozenset())


def test_where_no_question_is_of_use_all_are_paused() -> None:
    intake = opened(high=4, low=2)
    grow(intake, 0, 3)
    assert intake.changes(closed=True) == (frozenset({0, 1}), frozenset())
    assert intake.changes(closed=True) == NONE
    # Above the low mark it stays paused.
    assert intake.changes(closed=False) == (frozenset(), frozenset({1}))
    shrink(intake, 0, 1)
    assert intake.changes(closed=False) == (frozenset(), frozenset({0}))


def test_what_arrives_where_no_question_is_of_use_stays_paused() -> None:
    intake = Intake(high=2, low=0)
    intake.arrived(0)
    assert intake.changes(closed=True) == NONE
    assert intake.changes(closed=False) == (frozenset(), frozenset({0}))


def test_what_an_operator_has_halted_is_paused_and_no_other() -> None:
    intake = opened(high=4, low=2)
    halted = frozenset({0, 7})
    assert intake.changes(closed=False, halted=halted) == (frozenset({0}), frozenset())
    assert intake.changes(closed=False, halted=halted) == NONE
    grow(intake, 0, 3)
    # Above the low mark it stays paused.
    assert intake.changes(closed=False) == NONE
    shrink(intake, 0, 1)
    assert intake.changes(closed=False) == (frozenset(), frozenset({0}))


def test_it_stays_paused_when_all_the_others_go_on() -> None:
    intake = opened(high=4, low=2)
    halted = frozenset({0})
    assert intake.changes(closed=True, halted=halted) == (frozenset({0, 1}), frozenset())
    assert intake.changes(closed=False, halted=halted) == (frozenset(), frozenset({1}))


def test_what_arrives_halted_stays_paused() -> None:
    intake = Intake(high=2, low=0)
    halted = frozenset({0})
    assert intake.changes(closed=False, halted=halted) == NONE
    intake.arrived(0)
    assert intake.changes(closed=False, halted=halted) == NONE
    assert intake.changes(closed=False) == (frozenset(), frozenset({0}))


@pytest.mark.parametrize(("high", "low"), [(2, 2), (2, 3), (2, -1)])
def test_marks_that_cannot_work_are_refused(high: int, low: int) -> None:
    with pytest.raises(ValueError, match="low"):
        Intake(high, low)
