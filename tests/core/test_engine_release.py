"""What is published while a partition goes, and what its last commit says."""

import pytest

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.offset_map import DoneBeyond
from tests.core.driven import (
    POISON,
    UPSTREAM,
    ZERO,
    Driven,
    alone,
    answer,
    drop,
    fetched,
    record,
    recovered,
    release,
    run,
)

# --- publishing while the partition goes --------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        facts.Finished(record(0)),
        facts.Failed(record(0), UPSTREAM),
        facts.Cancelled(record(0)),
    ],
)
def test_what_ends_when_the_time_is_up_is_not_published(event: facts.Event) -> None:
    """Even where nobody has looked since."""
    drive = Driven()
    drive(0, fetched(0))
    drive(10, alone(100))
    assert drive(100, event) == [drop(0, cut_off=True), release(0, clean=False)]


def test_a_refused_completion_is_sent_again_for_as_long_as_there_is_time() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    assert drive(20, facts.PublishFailed(record(0))) == []
    assert drive(30) == [answer(0)]
    assert drive(40, facts.Published(record(0))) == [release(1)]


def test_a_refused_completion_is_given_up_when_the_time_is_up() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    assert drive(95, facts.PublishFailed(record(0))) == []
    assert drive.wake_at == 100
    assert drive(100) == [drop(0, cut_off=True), release(0, clean=False)]
    assert drive(105) == []


def test_a_completion_on_its_way_is_waited_for_as_long_as_it_can_be_on_its_way() -> None:
    """It may be in its topic, and the last commit ought to know."""
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    assert drive(100) == []
    assert drive.wake_at == 120
    assert drive(119, facts.Published(record(0))) == [release(1)]


def test_one_that_was_refused_before_and_is_on_its_way_again_is_waited_for_too() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    drive(85, facts.PublishFailed(record(0)))
    assert drive(95) == [answer(0)]
    assert drive(100) == []
    assert drive(119, facts.Published(record(0))) == [release(1)]


def test_a_completion_that_is_not_acknowledged_at_all_is_not_waited_for_longer() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    assert drive(119) == []
    assert drive(120) == [drop(0, cut_off=True), release(0, clean=False)]
    assert drive(121, facts.Published(record(0))) == []


@pytest.mark.parametrize("refused_at", [90, 100, 119])
def test_nothing_is_published_again_when_the_time_is_up(refused_at: int) -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    commands = drive(refused_at, facts.PublishFailed(record(0)))
    for now in range(refused_at + 1, 140):
        commands += drive(now)
    assert commands == [drop(0, cut_off=True), release(0, clean=False)]


@pytest.mark.parametrize("hand_over", [True, False])
def test_the_bookmark_of_the_release_is_before_what_may_be_in_its_topic(*, hand_over: bool) -> None:
    drive = Driven(slots=3)
    drive(0, *(fetched(offset) for offset in range(3)))
    drive.done(5, record(0), position=40)
    drive(6, facts.Finished(record(1)))
    drive.done(7, record(2), position=45)
    drive(10, facts.Revoking(ZERO, until=100) if hand_over else alone(100))
    commands = drive(30 if hand_over else 120)
    released = commands[-1]
    assert isinstance(released, facts.Release)
    assert released.heads[0].bookmark == Bookmark(41, 1)


# --- clean or not -------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_is_told() -> None:
    """Somebody has to look how far its tokens had come."""
    drive = Driven(slots=9)
    drive(0, *(fetched(offset) for offset in range(3)))
    drive.done(5, record(0))
    drive(10, alone(100))
    drive(100)
    assert drive(110, facts.Cancelled(record(1)), facts.Cancelled(record(2))) == [
        drop(1, cut_off=True),
        drop(2, cut_off=True),
        release(1, clean=False),
    ]


@pytest.mark.parametrize(("answered", "clean"), [((1,), False), ((1, 2, 3), True)])
def test_what_was_cut_off_before_is_told_until_it_is_done(
    answered: tuple[int, ...], *, clean: bool
) -> None:
    drive = Driven(slots=9, partitions=())
    drive.open(0, {0: 1}, recovered(DoneBeyond(1), unclean_below=3))
    drive(1, *(fetched(offset) for offset in answered))
    drive.done(10, *(record(offset) for offset in answered))
    assert drive(20, facts.Revoking(ZERO, until=100)) == [release(answered[-1] + 1, clean=clean)]


def test_what_a_dead_process_may_have_started_is_told_until_it_is_done() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 1}, recovered(unclean_below=2))
    drive(1, fetched(0), fetched(1))
    drive.done(5, record(0))
    drive(6, alone(6))
    commands = drive(7, facts.Cancelled(record(1)))
    assert commands == [drop(1, cut_off=True), release(1, clean=False)]


@pytest.mark.parametrize("unread", [True, False])
def test_what_ended_without_a_run_may_have_ended_its_token_stream_too(*, unread: bool) -> None:
    drive = Driven()
    late = fetched(1, failure=POISON) if unread else fetched(1, expires_at=5)
    (given_up,) = drive(5, late)
    assert isinstance(given_up, facts.GiveUp)
    drive(10, alone(100))
    assert drive(120)[-1] == release(1, clean=False)


def test_what_never_started_is_not_cut_off() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0), fetched(1))
    drive(1, alone(100))
    assert drive.done(5, record(0)) == [release(1)]


def test_what_goes_on_elsewhere_is_not_cut_off() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0), fetched(1))
    assert drive(1, facts.Revoking(ZERO, until=100)) == [
        drop(1),
        release(0, runs=[run(0, 100)]),
    ]


def test_what_has_no_time_to_go_on_is_cut_off_and_the_release_tells() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0))
    commands = drive(10, facts.Revoking(ZERO, until=10))
    assert drop(0, cut_off=True) in commands
    assert release(0, clean=False) in commands
