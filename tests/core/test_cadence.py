"""Commit by number or by time, one commit at a time, and now and then for its own sake."""

from penstock.core.cadence import Cadence, CadencePolicy

LATER = 100_000


def cadence() -> Cadence:
    """As after the first commit, at the moment 0."""
    machine = Cadence(CadencePolicy(records=3, interval=100, backoff=250, at_least=LATER))
    machine.sent(0, in_flight=True)
    machine.acknowledged()
    return machine


def test_the_first_is_due_at_once() -> None:
    assert Cadence(CadencePolicy()).due(0)


def test_nothing_done_nothing_due() -> None:
    assert not cadence().due(10_000)
    assert cadence().next_at() == LATER


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
    machine.sent(100, in_flight=True)
    for _ in range(9):
        machine.resolved(150)
    assert not machine.due(LATER + 10_000)
    assert machine.next_at() is None
    machine.acknowledged()
    assert machine.due(150)


def test_a_look_that_found_nothing_new_leaves_nothing_due() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(100, in_flight=False)
    assert not machine.due(10_000)
    assert machine.next_at() == LATER
    machine.resolved(20_000)
    assert machine.next_at() == 20_100


# --- in a hurry ---------------------------------------------------------------------------------


def test_who_is_in_a_hurry_waits_for_neither_records_nor_time() -> None:
    machine = cadence()
    machine.hurry()
    assert machine.due(1)
    machine.sent(1, in_flight=True)
    machine.acknowledged()
    assert not machine.due(2)


def test_but_for_the_commit_in_flight_and_is_not_forgotten_meanwhile() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(100, in_flight=True)
    machine.hurry()
    assert not machine.due(101)
    machine.acknowledged()
    assert machine.due(102)


def test_and_for_the_backoff() -> None:
    machine = cadence()
    machine.sent(100, in_flight=True)
    machine.failed(1_000)
    machine.hurry()
    assert not machine.due(1_249)
    assert machine.next_at() == 1_250
    assert machine.due(1_250)


# --- what has not changed -----------------------------------------------------------------------


def test_after_a_while_everything_is_due() -> None:
    machine = cadence()
    assert not machine.due(LATER - 1)
    assert not machine.repeats(LATER - 1)
    assert machine.due(LATER)
    assert machine.repeats(LATER)
    machine.sent(LATER, in_flight=True)
    machine.acknowledged()
    assert not machine.due(LATER + 1)
    assert machine.next_at() == 2 * LATER


def test_a_commit_of_something_does_not_put_off_that_of_everything() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(LATER - 1, in_flight=True)
    machine.acknowledged()
    assert machine.next_at() == LATER
    assert machine.repeats(LATER)


def test_what_is_new_does_not_put_it_off_either() -> None:
    machine = cadence()
    machine.resolved(LATER - 10)
    assert machine.next_at() == LATER


def test_it_counts_from_when_it_was_sent_not_from_when_it_was_due() -> None:
    machine = cadence()
    machine.sent(LATER + 700, in_flight=True)
    machine.acknowledged()
    assert machine.next_at() == 2 * LATER + 700


# --- after a failure ----------------------------------------------------------------------------


def test_after_a_failure_the_backoff_passes_first_however_much_is_done() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(100, in_flight=True)
    machine.failed(1_000)
    assert machine.next_at() == 1_250
    for _ in range(9):
        machine.resolved(1_001)
    assert not machine.due(1_249)
    assert machine.due(1_250)


def test_a_failed_commit_is_due_again_although_nothing_new_is_done() -> None:
    machine = cadence()
    machine.resolved(0)
    machine.sent(100, in_flight=True)
    machine.failed(1_000)
    assert machine.due(1_250)


def test_then_everything_is_committed_for_nobody_knows_what_arrived() -> None:
    machine = cadence()
    machine.sent(100, in_flight=True)
    assert not machine.repeats(1_250)
    machine.failed(1_000)
    assert machine.repeats(1_250)
    machine.sent(1_250, in_flight=True)
    machine.acknowledged()
    assert machine.next_at() == 1_250 + LATER


def test_with_nothing_in_flight_it_names_a_moment_that_is_not_over_or_is_due() -> None:
    """Else the loop would spin, or sleep for ever."""
    machine = cadence()
    machine.sent(0, in_flight=True)
    machine.failed(10)
    for now in range(10, 1_000, 10):
        if machine.due(now):
            machine.sent(now, in_flight=False)
        at = machine.next_at()
        assert at is not None
        assert at > now
        if now % 70 == 0:
            machine.resolved(now)
        if now % 210 == 0:
            machine.hurry()
