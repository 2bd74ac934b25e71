"""A partition that arrives: nothing of it is begun before its first commit is acknowledged."""

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.offset_map import DoneBeyond
from tests.core.driven import (
    AT_ONCE,
    ZERO,
    Driven,
    assigned,
    commit,
    fetched,
    head,
    record,
    recovered,
    release,
    released,
    start,
)

RESUME = facts.Resume(ZERO)


def test_it_is_resumed_when_its_first_commit_is_acknowledged_and_not_before() -> None:
    drive = Driven(partitions=())
    assert drive(0, assigned({0: 1})) == [commit(0)]
    assert drive(1) == []
    assert drive(100_000) == []
    assert drive(100_001, facts.Committed()) == [RESUME]
    assert drive(100_002, fetched(0)) == [start(0, 101_002)]


def test_all_that_arrive_together_are_opened_together() -> None:
    drive = Driven(partitions=())
    heads = {0: head(0), 1: head(0)}
    assert drive(0, assigned({0: 1, 1: 1})) == [facts.Commit(heads)]
    assert drive(1, facts.Committed()) == [facts.Resume(frozenset({0, 1}))]


def test_an_open_partition_is_not_resumed_by_every_commit() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0))
    assert drive.done(10, record(0)) == [commit(1)]
    assert drive(20, facts.Committed()) == []


def test_the_first_commit_waits_for_neither_records_nor_time_but_for_the_one_in_flight() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, fetched(0))
    assert drive.done(10, record(0)) == [commit(1)]
    assert drive(11, assigned({1: 2})) == []
    assert drive(12, facts.Committed()) == [facts.Commit({1: head(0)})]
    assert drive(13, facts.Committed()) == [facts.Resume(frozenset({1}))]


def test_it_says_what_was_recovered_and_where_the_completions_were_read_to() -> None:
    drive = Driven(partitions=())
    known = recovered(DoneBeyond(3, ((5, 6),)), bookmark=Bookmark(7, 1), end=Bookmark(30, 2))
    assert drive(0, assigned({0: 1}, known)) == [commit(3, 5, bookmark=Bookmark(30, 2))]


def test_what_only_a_completion_claims_must_be_found_again_so_the_bookmark_stays() -> None:
    drive = Driven(partitions=())
    known = recovered(DoneBeyond(3), {4: 99}, bookmark=Bookmark(7, 1), end=Bookmark(30, 2))
    assert drive(0, assigned({0: 1}, known)) == [commit(3, bookmark=Bookmark(7, 1))]


def test_a_first_commit_that_failed_is_sent_again_as_it_was() -> None:
    drive = Driven(partitions=(), cadence=AT_ONCE)
    known = recovered(DoneBeyond(3, ((5, 6),)), {8: 99}, bookmark=Bookmark(7, 1))
    first = drive(0, assigned({0: 1}, known))
    for failed_at in (10, 300):
        assert drive(failed_at, facts.CommitFailed()) == []
        assert drive.wake_at == failed_at + 250
        assert drive(failed_at + 249) == []
        assert drive(failed_at + 250) == first
    assert drive(600, facts.Committed()) == [RESUME]


def test_a_partition_that_goes_before_it_is_open_is_not_committed_again() -> None:
    """What its last commit says stands."""
    drive = Driven(partitions=())
    drive(0, assigned({0: 1}))
    assert drive(10, facts.Revoking(ZERO, until=100)) == [facts.Release(ZERO, {})]
    assert drive(11, facts.Committed()) == []


def test_one_that_goes_beside_an_open_one_is_left_out_too() -> None:
    drive = Driven()
    drive(5, assigned({1: 2}))
    both = frozenset({0, 1})
    assert drive(10, facts.Revoking(both, until=100)) == [
        facts.Release(both, {0: head(0, clean=True)})
    ]


def test_an_acknowledgement_that_comes_while_it_goes_opens_it_for_its_release_only() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, assigned({1: 2}), facts.Finished(record(0)))
    both = frozenset({0, 1})
    assert drive(10, facts.Revoking(both, until=100)) == []
    assert drive(11, facts.Committed()) == []
    assert drive(20, facts.Published(record(0))) == [
        facts.Release(both, {0: head(1, clean=True), 1: head(0, clean=True)})
    ]


def test_the_acknowledgement_of_an_assignment_that_is_over_opens_nothing() -> None:
    drive = Driven(partitions=())
    drive(0, assigned({0: 1}))
    drive(10, facts.Revoking(ZERO, until=10))
    assert drive(20, assigned({0: 2}, recovered(DoneBeyond(4)))) == []
    assert drive(21, facts.Committed()) == [commit(4)]
    assert drive(22, facts.Committed()) == [RESUME]


def test_what_arrives_after_the_release_of_everything_is_opened_all_the_same() -> None:
    drive = Driven()
    assert drive(10, facts.Revoking(ZERO, until=100)) == [release(0)]
    assert drive.open(20, {0: 2}) == [RESUME]


def test_what_is_assigned_while_the_service_stops_is_neither_committed_nor_resumed() -> None:
    drive = Driven()
    drive(0, facts.Draining(until=100))
    assert drive(10, assigned({1: 2})) == [], "one last commit after the other"
    assert drive(15, released()) == [facts.Release(frozenset({1}), {})]
    late = facts.Released(frozenset({1}), committed=True)
    assert drive(20, late) == [facts.Depart(), facts.Stop(None)]
