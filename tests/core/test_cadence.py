"""Commit by number or by time, one commit at a time."""

from penstock.core.cadence import Cadence, CadencePolicy


def cadence() -> Cadence:
    return Cadence(CadencePolicy(records=3, interval=100, backoff=250))


def test_nothing_done_nothing_due() -> None:
    assert not cadence().due(10_000)
    assert cadence().next_at() is None


def test_so_many_records_are_enough() -> None:
    machine = cadence()
    for _ in range(2):
        machine.resolved(5)
    assert not machine.due(6)
    machine.resolved(6)
    assert machine.due(6)


def test_so_much_time_is_enough_counted_from_the_first_record() -> None:
    machine = cadence()
    machine.resolved(5)
    machine.resolved(90)
    assert machine.next_at() == 105
    assert not machine.due(104)
    assert machine.due(105)


def test_one_commit_is_in_flight_at_most() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(in_flight=True)
    for _ in range(9):
        machine.resolved(50)
    assert not machine.due(10_000)
    assert machine.next_at() is None
    machine.acknowledged()
    assert machine.due(50)


def test_after_a_failure_the_backoff_passes_first_however_much_is_done() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(in_flight=True)
    machine.failed(1_000)
    assert machine.next_at() == 1_250
    for _ in range(9):
        machine.resolved(1_001)
    assert not machine.due(1_249)
    assert machine.due(1_250)


def test_a_failed_commit_is_due_again_although_nothing_new_is_done() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(in_flight=True)
    machine.failed(1_000)
    assert machine.due(1_250)


def test_a_look_that_found_nothing_new_leaves_nothing_due() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(in_flight=False)
    assert not machine.due(10_000)
    assert machine.next_at() is None
    machine.resolved(20_000)
    assert machine.next_at() == 20_100
