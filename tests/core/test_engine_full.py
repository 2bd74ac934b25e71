"""What a commit has to say nearly fills it: nothing starts that would make it longer."""

import pytest

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Command, Head
from penstock.core.offset_map import DoneBeyond, encode
from penstock.core.partition import Limits
from tests.core.driven import (
    AT_ONCE,
    ZERO,
    Driven,
    fetched,
    record,
    run,
    start,
    starts,
)

SMALL = Limits(map_letters=17)
"""Full is a map of four bytes, which is every other offset of 25 to 32, beside one run."""


def ends(drive: Driven, now: int, offset: int) -> list[Command]:
    """What follows when an answer and its acknowledgement come in one go."""
    commands = drive(now, facts.Finished(record(offset)), facts.Published(record(offset)))
    drive(now, facts.Committed())
    return commands


def nearly_full() -> Driven:
    """0 runs, and 12, 14, ... wait behind it; 1, 3, ... 25 are done, and 24, which has the lane
    of 1 and so waited longer than others. The slot is free.
    """
    drive = Driven(slots=2, cadence=AT_ONCE, limits=SMALL)
    behind = dict.fromkeys((0, *range(12, 41, 2)), "a") | {1: "b", 24: "b"}
    offsets = [0, *(offset for offset in range(1, 41) if offset % 2 or offset >= 12)]
    drive(0, *(fetched(offset, behind.get(offset)) for offset in offsets))
    for offset in range(1, 25, 2):
        assert starts(ends(drive, 10, offset)) == [offset + 2]
    # It is below.
    assert starts(ends(drive, 20, 25)) == [24]
    assert starts(ends(drive, 21, 24)) == []
    return drive


def test_nothing_starts_above_the_highest_that_is_done() -> None:
    drive = nearly_full()
    assert starts(drive(30, fetched(41))) == []
    assert drive.engine.admission.in_flight == 1


def test_it_ends_when_the_map_is_smaller_again() -> None:
    drive = nearly_full()
    assert starts(ends(drive, 30, 0)) == [27, 29]
    assert starts(ends(drive, 40, 27)) == [31]


def test_another_partition_goes_on() -> None:
    drive = nearly_full()
    drive.open(31, {1: 1})
    assert starts(drive(32, fetched(50, partition=1))) == [50]


@pytest.mark.parametrize(("letters", "started"), [(28, 3), (29, 4)])
def test_nothing_starts_whose_run_the_commit_may_have_no_room_for(
    letters: int, started: int
) -> None:
    """Whoever follows is to be told of all that run."""
    drive = Driven(slots=9, limits=Limits(map_letters=letters))
    begun = starts(drive(0, *(fetched(offset) for offset in range(9))))
    assert begun == [*range(started)]
    assert starts(drive(10, facts.Finished(record(0)))) == []
    assert starts(drive(20, facts.Published(record(0)))) == [started]


FAR = range(300, 3_000, 300)
"""Each with another behind it that waits, so that it takes three bytes of the map."""
SAID = Head(0, encode(DoneBeyond(0, ((1, 150), (151, 450)))), Bookmark(1, 1))


def too_full() -> Driven:
    """0 runs and holds up the others. While a commit is on its way, more is done than fits."""
    drive = Driven(slots=2, cadence=AT_ONCE, limits=Limits(map_letters=34))
    drive(0, fetched(0, "a"), fetched(150, "a"))
    for offset in FAR:
        drive(0, fetched(offset), fetched(offset + 150, "a"))
    assert facts.Commit({0: SAID}) in drive.done(10, record(300), position=0)
    for offset in FAR[1:]:
        drive.done(20, record(offset), position=offset // 300 - 1)
    return drive


def test_what_does_not_fit_is_left_to_the_completions_behind_the_bookmark_of_before() -> None:
    drive = too_full()
    # There is nothing new to say.
    assert drive(30, facts.Committed()) == []
    commands = drive(40, facts.Revoking(ZERO, until=100))
    said = SAID._replace(clean=True, runs=(run(0, 100),))
    assert commands[-1] == facts.Release(ZERO, {0: said})


def test_after_a_look_that_found_nothing_new_the_next_commit_waits_for_nobody() -> None:
    drive = too_full()
    assert drive(30, facts.Committed()) == []
    assert drive.done(40, record(0)) == [start(150, 1_040)]
    commit, started = drive.done(50, record(150))
    assert isinstance(commit, facts.Commit)
    assert commit.heads[0].offset == 450
    assert started == start(450, 1_050)
