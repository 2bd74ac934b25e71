"""The offset map is nearly full: nothing starts that would make it larger."""

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Command
from penstock.core.partition import Limits
from tests.core.driven import AT_ONCE, ZERO, Driven, commit, fetched, head, record, starts

SMALL = Limits(map_letters=8)
"""Three quarters of it are two offsets, where one is more than 24 beyond the commit."""


def ends(drive: Driven, now: int, offset: int) -> list[Command]:
    """What follows when an answer and its acknowledgement come in one go."""
    commands = drive(now, facts.Finished(record(offset)), facts.Published(record(offset)))
    drive(now, facts.Committed())
    return commands


def nearly_full() -> Driven:
    """Offsets 5 and 28 are done; 0 to 31 were started, but for 6, which has the lane of 5."""
    drive = Driven(slots=30, cadence=AT_ONCE, limits=SMALL)
    lanes = {5: "a", 6: "a"}
    assert len(drive(0, *(fetched(offset, lanes.get(offset)) for offset in range(41)))) == 30
    assert starts(ends(drive, 10, 28)) == [31]
    commands = ends(drive, 20, 5)
    assert commit(0, 5, 28) in commands
    # It is below.
    assert starts(commands) == [6]
    return drive


def test_nothing_starts_above_the_highest_that_is_done() -> None:
    drive = nearly_full()
    for offset in (7, 8, 9):
        assert starts(ends(drive, 30, offset)) == []
    assert starts(drive(31, fetched(41))) == []
    assert drive.engine.admission.in_flight == 27


def test_it_ends_when_the_map_is_smaller_again() -> None:
    drive = nearly_full()
    for offset in (0, 1, 2, 3, 6):
        assert starts(ends(drive, 30, offset)) == []
    commands = ends(drive, 40, 4)
    assert commit(7, 28) in commands
    assert starts(commands) == [32, 33, 34, 35, 36, 37]


def test_another_partition_goes_on() -> None:
    drive = nearly_full()
    ends(drive, 30, 7)
    drive.open(31, {1: 1})
    assert starts(drive(32, fetched(50, partition=1))) == [50]


def test_what_does_not_fit_is_left_to_the_completions_behind_the_bookmark_of_before() -> None:
    drive = Driven(slots=60, cadence=AT_ONCE, limits=SMALL)
    drive(0, *(fetched(offset) for offset in range(60)))
    assert drive.done(10, record(28), position=0) == [commit(0, 28, bookmark=Bookmark(1, 1))]
    drive(11, facts.Committed())
    assert drive.done(20, record(5), position=1) == [commit(0, 5, 28, bookmark=Bookmark(2, 1))]
    drive(21, facts.Committed())
    # There is nothing new to say.
    assert drive.done(30, record(55), position=2) == []
    running = [facts.Cancelled(record(offset)) for offset in range(60)]
    said = head(0, 5, 28, bookmark=Bookmark(2, 1))
    assert drive(40, facts.Revoking(ZERO, until=40), *running) == [facts.Release(ZERO, {0: said})]


def test_after_a_look_that_found_nothing_new_the_next_commit_waits_for_nobody() -> None:
    drive = Driven(slots=60, cadence=AT_ONCE, limits=SMALL)
    drive(0, *(fetched(offset) for offset in range(60)))
    drive.done(10, record(5), record(28))
    drive(11, facts.Committed())
    assert drive.done(20, record(55)) == []
    assert drive.done(30, *(record(offset) for offset in range(5))) == [commit(6, 28, 55)]
