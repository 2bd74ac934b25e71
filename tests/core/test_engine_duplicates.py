"""The same id again: no call, and one completion that says so."""

import pytest

from penstock.core import facts
from penstock.core.duplicates import Asked
from penstock.core.facts import Fetched
from penstock.core.offset_map import DoneBeyond
from penstock.core.partition import Limits
from tests.core.driven import (
    AT_ONCE,
    POISON,
    Driven,
    already_done,
    commit,
    failed,
    fetched,
    record,
    recovered,
    start,
    starts,
)

WINDOW = 600_000


def asks(
    offset: int,
    timestamp: int = 0,
    lane: str | None = None,
    *,
    partition: int = 0,
    expires_at: int | None = None,
) -> Fetched:
    """All of them the same."""
    return fetched(
        offset,
        lane,
        partition=partition,
        expires_at=expires_at,
        timestamp=timestamp,
        question_id="a",
    )


def repeats(offset: int, first: int, timestamp: int = 0) -> facts.PublishDuplicate:
    return facts.PublishDuplicate(record(offset), Asked(first, timestamp, timestamp))


def test_it_takes_no_slot_and_its_completion_makes_it_done() -> None:
    drive = Driven(slots=1, cadence=AT_ONCE)
    assert drive(0, asks(0, 50)) == [start(0, 1_000)]
    assert drive(1, asks(1, 60)) == [repeats(1, 0, 50)]
    assert drive.engine.admission.in_flight == 1
    assert drive(2, facts.Published(record(1))) == [commit(0, 1)]
    assert not drive.engine.owns(record(1))


def test_it_does_not_wait_for_the_lane_and_does_not_shut_it() -> None:
    drive = Driven()
    assert drive(0, asks(0, lane="k"), asks(1, lane="k"), fetched(2, "k")) == [
        repeats(1, 0),
        start(0, 1_000),
    ]
    assert drive.done(10, record(0)) == [start(2, 1_010)]


def test_it_is_a_duplicate_when_the_first_is_done_too_and_each_time() -> None:
    drive = Driven()
    drive(0, asks(0))
    drive.done(1, record(0))
    assert drive(2, asks(1), asks(2)) == [repeats(1, 0), repeats(2, 0)]


def test_what_was_refused_is_sent_again() -> None:
    drive = Driven()
    drive(0, asks(0))
    drive(1, asks(1))
    assert drive(2, facts.PublishFailed(record(1))) == []
    assert drive(12) == [repeats(1, 0)]


def test_it_is_a_duplicate_even_when_its_time_is_up() -> None:
    drive = Driven()
    assert drive(5, asks(0), asks(1, expires_at=5)) == [repeats(1, 0), start(0, 1_005)]


def test_it_counts_against_the_intake_until_it_is_done() -> None:
    drive = Driven(slots=9, high=2, low=0)
    pause = facts.Pause(frozenset({0}))
    assert pause in drive(0, asks(0), asks(1), asks(2))
    resume = facts.Resume(frozenset({0}))
    assert drive(1, facts.Published(record(1)), facts.Published(record(2))) == [resume]


def test_a_record_that_cannot_be_read_is_not_a_duplicate() -> None:
    drive = Driven()
    drive(0, asks(0))
    poison = fetched(1, failure=POISON, question_id="a")
    assert drive(1, poison) == [failed(1, POISON)]


def test_another_partition_has_ids_of_its_own() -> None:
    drive = Driven(partitions=(0, 1))
    drive(0, asks(0))
    assert drive(1, asks(1, partition=1)) == [start(1, 1_001, partition=1)]


def test_records_without_an_id_of_their_own_repeat_nobody() -> None:
    drive = Driven(slots=3)
    assert starts(drive(0, *(fetched(offset) for offset in range(3)))) == [0, 1, 2]


@pytest.mark.parametrize(("window_ms", "started"), [(WINDOW, []), (WINDOW - 1, [1]), (0, [1])])
def test_the_window_is_a_setting(window_ms: int, started: list[int]) -> None:
    drive = Driven(limits=Limits(window_ms=window_ms))
    drive(0, asks(0, 1_000))
    assert starts(drive(1, asks(1, 1_000 + WINDOW))) == started


def test_a_record_delivered_twice_does_not_repeat_itself() -> None:
    drive = Driven()
    drive(0, asks(0), asks(1))
    assert drive(1, asks(0), asks(1)) == []


# --- what was asked before this assignment ------------------------------------------------------


def test_an_id_from_before_the_commit_is_known() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(7), asked=[("a", Asked(3, 40, 40))]))
    assert drive(1, asks(7, 50)) == [repeats(7, 3, 40)]


def test_one_that_was_done_before_is_the_first_when_it_comes_again() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(6, ((7, 8),))))
    assert drive(1, asks(7, 40), asks(8, 50)) == [already_done(7), repeats(8, 7, 40)]


def test_one_that_a_crash_cut_off_runs_again_although_its_id_was_seen_behind_it() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(6, ((8, 9),)), asked=[("a", Asked(8, 50, 50))]))
    assert starts(drive(1, asks(6, 40))) == [6]
