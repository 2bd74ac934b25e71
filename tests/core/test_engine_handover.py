"""Running work goes on where it runs when its partition is another's."""

import math

import pytest

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.handover import letters
from penstock.core.offset_map import DoneBeyond
from penstock.core.partition import Limits
from tests.core.driven import (
    AT_ONCE,
    LATER,
    POISON,
    THEM,
    UPSTREAM,
    ZERO,
    Driven,
    alone,
    already_done,
    answer,
    assigned,
    commit,
    drop,
    failed,
    fetched,
    record,
    recovered,
    release,
    released,
    run,
    starts,
)

RESUME, PAUSE = facts.Resume(ZERO), facts.Pause(ZERO)
DEPART, STOP = facts.Depart(), facts.Stop(None)
REVOKING = facts.Revoking(ZERO, until=100)
EVICTED = facts.Revoking(ZERO, until=100, commits=False)

ENDS_WITHIN = 500 + 3 * 20
"""After its deadline: to end the run, and to publish what came of it."""


def handed_over(lane: str | None = None, slots: int = 2, heard: int = LATER) -> Driven:
    """0 runs, until 100; its partition is gone."""
    drive = Driven(slots=slots, cadence=AT_ONCE, heard=heard)
    drive(0, fetched(0, lane))
    assert drive(10, REVOKING) == [release(0, runs=[run(0, 100)])]
    assert drive(11, released()) == []
    return drive


# --- a partition goes ---------------------------------------------------------------------------


def test_running_work_is_named_in_the_last_commit_and_waiting_work_is_dropped() -> None:
    drive = Driven(slots=1)
    drive(0, fetched(0), fetched(1))
    assert drive(10, REVOKING) == [drop(1), release(0, runs=[run(0, 100)])]
    assert set(drive.engine.questions) == {record(0)}


def test_an_idle_partition_goes_at_once_and_a_group_without_ours_does_not_wait() -> None:
    drive = Driven()
    assert drive(10, REVOKING) == [release(0)]
    assert drive(11, released()) == []
    assert drive(20, facts.Revoking(frozenset(), until=100)) == [facts.Release(frozenset(), {})]


def test_who_asks_while_a_last_commit_is_on_its_way_waits_for_it() -> None:
    """What runs is named there, and must not be lost by a join in the middle."""
    drive = Driven()
    drive(0, facts.Draining(until=100))
    assert drive(10, REVOKING) == []
    assert drive(20, released())[0] == facts.Release(frozenset(), {})


def test_a_drain_bounds_what_is_being_handed_over() -> None:
    drive = Driven()
    drive(0, fetched(0), fetched(1))
    drive(5, facts.Finished(record(1)))
    assert drive(10, facts.Revoking(ZERO, until=900)) == [], "a publish is on its way"
    drive(12, facts.Draining(until=100))
    last = next(c for c in drive(13, facts.Published(record(1))) if isinstance(c, facts.Release))
    assert last.heads[0].runs == (run(0, 100),)


@pytest.mark.parametrize(
    ("until", "named"), [(10_000, 50 + ENDS_WITHIN), (50 + ENDS_WITHIN - 1, 50 + ENDS_WITHIN - 1)]
)
def test_it_has_until_it_must_have_ended_anyway_or_as_long_as_a_run_may(
    until: int, named: int
) -> None:
    drive = Driven()
    drive(0, fetched(0, expires_at=50))
    (last,) = drive(10, facts.Revoking(ZERO, until))
    assert last == release(0, runs=[run(0, named)])


def test_what_is_fetched_while_the_partition_goes_is_left_to_the_next_owner() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    assert drive(10, REVOKING) == []
    assert drive(11, fetched(1)) == []
    assert not drive.engine.owns(record(1))


@pytest.mark.parametrize(
    ("event", "conclusion"),
    [
        (facts.Finished(record(0)), answer(0)),
        (facts.Failed(record(0), UPSTREAM), failed(0, UPSTREAM)),
    ],
)
def test_what_goes_on_is_concluded_as_ever(
    event: facts.Event, conclusion: facts.Conclusion
) -> None:
    drive = handed_over()
    assert drive(20, event) == [conclusion]
    assert drive(30, facts.PublishFailed(record(0))) == []
    assert drive(40) == [conclusion]
    assert drive(50, facts.Published(record(0))) == []
    assert not drive.engine.owns(record(0))
    assert drive(200) == []


def test_its_deadline_runs_on() -> None:
    drive = Driven()
    drive(0, fetched(0, expires_at=50))
    drive(10, REVOKING)
    drive(11, released())
    assert drive(50) == [facts.Cancel(record(0))]
    (given_up,) = drive(51, facts.Cancelled(record(0)))
    assert isinstance(given_up, facts.GiveUp)
    assert given_up.status == "expired"


# --- while its last commit is on its way --------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "conclusion"),
    [
        (facts.Finished(record(0)), answer(0)),
        (facts.Failed(record(0), UPSTREAM), failed(0, UPSTREAM)),
    ],
)
def test_a_conclusion_waits_until_the_last_commit_is_there(
    event: facts.Event, conclusion: facts.Conclusion
) -> None:
    """Whoever has the partition next would not know of it."""
    drive = Driven()
    drive(0, fetched(0))
    drive(10, REVOKING)
    assert drive(11, event) == []
    assert drive(50) == []
    assert drive(60, released()) == [conclusion]
    assert drive(61, facts.Published(record(0))) == []
    assert not drive.engine.questions


def test_a_conclusion_of_the_same_moment_waits_too() -> None:
    drive = Driven()
    drive(0, fetched(0))
    assert drive(10, REVOKING, facts.Finished(record(0))) == [release(0, runs=[run(0, 100)])]
    assert drive(20, released()) == [answer(0)]


def test_a_second_try_waits_too() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(8, facts.PublishFailed(record(0)))
    assert drive(10, REVOKING) == [release(0, runs=[run(0, 100)])]
    assert drive(18) == []
    assert drive(30) == []
    assert drive(31, released()) == [answer(0)]


def test_nothing_may_be_said_of_it_meanwhile() -> None:
    drive = Driven(heard=40)
    drive(0, fetched(0))
    assert drive.engine.speaks_until(record(0)) == 40 + 100 - 3
    drive(10, REVOKING)
    assert drive.engine.speaks_until(record(0)) == -math.inf
    drive(11, released())
    assert drive.engine.speaks_until(record(0)) == 100
    drive(100)
    assert drive.engine.speaks_until(record(0)) is None


def test_of_others_only_what_is_released_may_go_on() -> None:
    drive = Driven(partitions=(0, 1))
    drive(0, fetched(0), fetched(0, partition=1))
    both = frozenset({0, 1})
    drive(10, facts.Revoking(both, until=100))
    drive(11, facts.Finished(record(0)), facts.Finished(record(0, 1)))
    assert drive(12, facts.Released(frozenset({1}), committed=True)) == [answer(0, partition=1)]
    assert drive(13, released()) == [answer(0)]


# --- a publish on its way -----------------------------------------------------------------------


def test_it_is_waited_for_and_what_it_brings_is_said() -> None:
    drive = Driven()
    drive(0, fetched(0), fetched(1))
    drive(5, facts.Finished(record(0)))
    assert drive(10, REVOKING) == []
    assert drive(20, facts.Published(record(0), 7)) == [
        release(1, bookmark=Bookmark(8, 1), runs=[run(1, 100)])
    ]


def test_it_is_waited_for_no_longer_than_it_can_be_on_its_way_and_then_is_a_run() -> None:
    drive = Driven()
    drive(0, fetched(0), fetched(1))
    drive(5, facts.Finished(record(0)))
    assert drive(10, REVOKING) == []
    assert drive.wake_at == 30
    # The other one is held back.
    assert drive(15, facts.Finished(record(1))) == []
    assert drive(29) == []
    assert drive(30) == [release(0, runs=[run(0, 100), run(1, 100)])]
    # The first may have arrived: it is not sent twice.
    assert drive(31, released()) == [answer(1)]
    assert drive(32, facts.PublishFailed(record(0))) == []
    assert drive(42) == [answer(0)]


def test_one_that_is_refused_meanwhile_is_not_waited_for_but_sent_again_afterwards() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    assert drive(10, REVOKING) == []
    assert drive(15, facts.PublishFailed(record(0))) == [release(0, runs=[run(0, 100)])]
    assert drive(16, released()) == [answer(0)]


def test_one_acknowledged_after_the_last_commit_was_sent_is_done() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, REVOKING)
    assert drive(30) == [release(0, runs=[run(0, 100)])]
    assert drive(31, facts.Published(record(0))) == []
    assert drive(32, released(committed=False)) == []
    assert not drive.engine.questions


def test_what_ends_without_a_run_is_handed_over_too() -> None:
    """Its dead letter may be in its topic."""
    drive = Driven()
    drive(0, fetched(0, failure=POISON))
    assert drive(10, REVOKING) == []
    assert drive(30) == [release(0, runs=[run(0, 100)])]


# --- lost ---------------------------------------------------------------------------------------


def test_what_is_not_committed_is_lost() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, REVOKING)
    assert drive(20, released(committed=False)) == [drop(0, cut_off=True), facts.Cancel(record(0))]
    assert drive.engine.speaks_until(record(0)) is None
    # Whatever it still says.
    assert drive(30, facts.Finished(record(0))) == []
    assert not drive.engine.questions
    assert drive.engine.admission.in_flight == 0


def test_an_answer_held_back_is_lost_with_it() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, REVOKING)
    drive(11, facts.Finished(record(0)))
    assert drive(20, released(committed=False)) == [drop(0, cut_off=True)]
    assert drive(LATER - 1) == []


def test_when_its_time_is_up_it_is_lost() -> None:
    drive = handed_over()
    assert drive.wake_at == 100
    assert drive(100) == [drop(0, cut_off=True), facts.Cancel(record(0))]
    assert drive(101, facts.Finished(record(0))) == []
    assert not drive.engine.questions


def test_so_is_a_completion_that_has_not_arrived() -> None:
    drive = handed_over()
    assert drive(50, facts.Finished(record(0))) == [answer(0)]
    assert drive(95, facts.PublishFailed(record(0))) == []
    assert drive(100) == [drop(0, cut_off=True)]
    assert drive(105) == []


def test_when_its_time_is_up_before_the_last_commit_is_there_it_is_lost_too() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, REVOKING)
    drive(50, facts.Finished(record(0)))
    assert drive(100) == [drop(0, cut_off=True)]
    assert drive(101, released()) == []


def test_it_is_lost_once() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, REVOKING)
    assert drive(100) == [drop(0, cut_off=True), facts.Cancel(record(0))]
    assert drive(101, released(committed=False)) == []


def test_one_that_does_not_end_keeps_its_slot_until_it_does() -> None:
    drive = handed_over(slots=1)
    drive.open(20, {1: 2})
    assert drive(21, fetched(0, partition=1, epoch=2)) == []
    drive(100)
    assert drive(599) == []
    assert drive(600) == [facts.Cancel(record(0))]
    started = facts.Start(record(0, 1, 2), 1, 1_700)
    assert drive(700, facts.Cancelled(record(0))) == [started]


def test_one_that_ends_frees_its_slot() -> None:
    drive = handed_over(slots=1)
    drive.open(20, {1: 2})
    drive(21, fetched(0, partition=1, epoch=2))
    assert starts(drive(100)) == []
    assert drive(110, facts.Cancelled(record(0))) == [facts.Start(record(0, 1, 2), 1, 1_110)]


def test_its_lane_opens_when_it_has_ended() -> None:
    drive = handed_over("a")
    drive.open(20, {0: 2}, recovered(runs=[]))
    assert drive(21, fetched(0, "a", epoch=2)) == []
    assert drive(30, facts.Cancelled(record(0))) == [facts.Start(record(0, epoch=2), 1, 1_030)]


# --- evicted ------------------------------------------------------------------------------------


def test_who_is_no_member_any_more_loses_everything_at_once_and_commits_nothing() -> None:
    drive = Driven(slots=3)
    drive(0, *(fetched(offset, "a" if offset in {0, 3} else None) for offset in range(4)))
    drive(5, facts.Finished(record(1)))
    drive(6, facts.Finished(record(2)))
    drive(7, facts.PublishFailed(record(2)))
    commands = drive(10, EVICTED)
    assert {c for c in commands if isinstance(c, facts.Drop)} == {
        drop(3),
        *(drop(offset, cut_off=True) for offset in (0, 1, 2)),
    }
    assert facts.Cancel(record(0)) in commands
    assert drive.engine.speaks_until(record(0)) is None
    # The group does not wait for what has nothing more to say.
    assert commands[-1] == facts.Release(ZERO, {})
    assert drive(11, facts.Cancelled(record(0))) == []
    assert not drive.engine.questions
    assert drive(12, released()) == []


def test_who_is_evicted_while_it_hands_over_commits_nothing_either() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    assert drive(10, REVOKING) == []
    assert drive(11, EVICTED) == [drop(0, cut_off=True), facts.Release(ZERO, {})]


# --- no room for all ----------------------------------------------------------------------------

FAR = 10**12
"""So far from each other that a run takes more letters than expected."""


def test_what_the_last_commit_has_no_room_for_is_lost_the_youngest_first() -> None:
    drive = Driven(slots=9, limits=Limits(map_letters=40))
    drive(0, *(fetched(n * FAR, expires_at=200 - n) for n in range(1, 5)))
    runs = [run(n * FAR, 200 - n + ENDS_WITHIN) for n in (4, 3, 2, 1)]
    assert letters(runs[:3], FAR, 10) <= 40 < letters(runs, FAR, 10)
    commands = drive(10, facts.Revoking(ZERO, until=10_000))
    assert [c for c in commands if not isinstance(c, facts.Release)] == [
        drop(FAR, cut_off=True),
        facts.Cancel(record(FAR)),
    ]
    # Somebody starts it again and has to look how far it had come.
    assert release(FAR, clean=False, runs=runs[:3]) in commands
    # The others go on.
    drive(11, released())
    assert drive(12, facts.Finished(record(4 * FAR))) == [answer(4 * FAR)]
    assert drive(13, facts.Finished(record(FAR))) == []


# --- the partition comes back -------------------------------------------------------------------


def ours(until: int = 100) -> facts.Recovered:
    return recovered(runs=[run(0, until)], ours=True)


def listed() -> facts.Recovered:
    """Another wrote it and says that we have it."""
    return recovered(runs=[run(0, 100)])


@pytest.mark.parametrize("known", [ours(), listed(), recovered(ours=True)])
def test_a_run_goes_on_where_the_last_commit_is_ours_or_names_it(known: facts.Recovered) -> None:
    drive = handed_over()
    drive.open(20, {0: 2}, known)
    assert drive(21, fetched(0, epoch=2), fetched(1, epoch=2)) == [
        facts.Start(record(1, epoch=2), 1, 1_021)
    ]
    assert drive.engine.owns(record(0))
    assert drive(30, facts.Finished(record(0))) == [answer(0)]


def test_one_that_nobody_names_is_lost_and_starts_again() -> None:
    drive = handed_over()
    assert drive(20, assigned({0: 2})) == [
        drop(0, cut_off=True),
        facts.Cancel(record(0)),
        commit(0),
    ]
    drive(21, facts.Committed())
    drive(22, facts.Cancelled(record(0)))
    assert drive(23, fetched(0, epoch=2)) == [facts.Start(record(0, epoch=2), 1, 1_023)]


@pytest.mark.parametrize(
    "known",
    [
        recovered(DoneBeyond(1), ours=True),
        recovered(DoneBeyond(0, ((0, 1),)), ours=True),
        recovered(claims={0: 0}, runs=[run(0, 100)], ours=True),
    ],
)
def test_one_that_is_done_meanwhile_is_dropped_and_not_started(known: facts.Recovered) -> None:
    drive = handed_over()
    commands = drive(20, assigned({0: 2}, known))
    assert facts.Cancel(record(0)) in commands
    assert drive.engine.speaks_until(record(0)) is None
    drive(21, facts.Committed())
    drive(22, facts.Cancelled(record(0)))
    assert starts(drive(23, fetched(0, epoch=2), fetched(1, epoch=2))) == [1]


def test_a_claim_of_another_record_by_its_number_is_none() -> None:
    drive = handed_over()
    drive(20, assigned({0: 2}, recovered(claims={0: 99}, ours=True)))
    assert drive(21, facts.Finished(record(0))) == [answer(0)]


def test_until_it_is_ours_again_the_opening_commit_says_that_it_runs() -> None:
    """Whoever comes after us has to wait for it, too."""
    drive = handed_over()
    assert drive(20, assigned({0: 2}, ours())) == [commit(0, runs=[run(0, 100)])]
    assert drive.engine.speaks_until(record(0)) == 100
    # The next one has nothing to add.
    assert drive(21, facts.Committed()) == [commit(0), RESUME]


def test_once_it_is_ours_again_it_need_not_hurry() -> None:
    drive = handed_over(heard=12)
    drive.open(20, {0: 2}, ours())
    assert drive.engine.speaks_until(record(0)) == 12 + 100 - 3
    assert drive(100) == []
    assert drive(200, facts.Finished(record(0))) == [answer(0)]


def test_what_it_says_before_that_is_published_under_its_entry() -> None:
    drive = handed_over()
    drive(20, assigned({0: 2}, ours()))
    assert drive(30, facts.Finished(record(0))) == [answer(0)]


def test_it_may_be_done_before_its_record_is_fetched_again() -> None:
    drive = handed_over()
    drive.open(20, {0: 2}, ours())
    drive(21, facts.Committed())
    drive(25, facts.Finished(record(0)))
    # What is done and has not turned up must be found again.
    assert drive(30, facts.Published(record(0), 8)) == []
    done = already_done(0, epoch=2)
    assert drive(40, fetched(0, epoch=2)) == [done, commit(1, bookmark=Bookmark(9, 1))]
    assert not drive.engine.questions


def test_or_after() -> None:
    drive = handed_over("a")
    drive.open(20, {0: 2}, ours())
    drive(21, facts.Committed())
    # Its lane waits for it.
    assert drive(22, fetched(0, "a", epoch=2), fetched(1, "a", epoch=2)) == []
    drive(25, facts.Finished(record(0)))
    assert drive(30, facts.Published(record(0), 8)) == [
        commit(1, bookmark=Bookmark(9, 1)),
        facts.Start(record(1, epoch=2), 1, 1_030),
    ]


def test_one_that_was_done_while_the_partition_was_anothers_is_not_started() -> None:
    """Its completion may be behind what was read when the partition came back."""
    drive = handed_over()
    drive(12, facts.Finished(record(0)))
    drive(13, facts.Published(record(0), 8))
    drive.open(20, {0: 2}, listed())
    assert starts(drive(21, fetched(0, epoch=2), fetched(1, epoch=2))) == [1]


FOLLOW = facts.Follow({0: (2, 0)})


def read(as_of: int) -> facts.Followed:
    """The completions; there was nothing in them."""
    return facts.Followed(0, 2, [], 0, as_of)


def test_one_that_we_have_lost_and_that_is_named_is_held_for_what_may_be_on_its_way() -> None:
    drive = handed_over()
    drive(100)
    drive(101, facts.Cancelled(record(0)))
    opening = commit(0, runs=[run(0, 200)])
    assert drive(200, assigned({0: 2}, listed())) == [opening, FOLLOW]
    drive(201, facts.Committed())
    assert drive(202, fetched(0, epoch=2)) == []
    assert drive(203, read(as_of=202)) == []
    # The margin is over.
    commands = drive(204, read(as_of=203))
    assert commands[:2] == [
        facts.TakeOver(record(0, epoch=2), since=203),
        facts.Start(record(0, epoch=2), 1, 1_204),
    ]


def test_one_that_we_have_lost_and_that_is_done_is_not_held() -> None:
    drive = handed_over()
    drive(100)
    drive(101, facts.Cancelled(record(0)))
    known = recovered(DoneBeyond(0, ((0, 1),)), runs=[run(0, 100)], ours=True)
    assert FOLLOW not in drive(200, assigned({0: 2}, known))


def test_a_lost_one_that_is_named_is_named_and_told_when_the_partition_goes_again() -> None:
    drive = handed_over()
    drive(100)
    drive(101, facts.Cancelled(record(0)))
    drive.open(200, {0: 2}, listed())
    assert drive(300, facts.Revoking(ZERO, until=900))[-1] == release(
        0, clean=False, runs=[run(0, 200)]
    )


def test_handed_over_again_it_is_named_again() -> None:
    drive = handed_over()
    drive.open(20, {0: 2}, ours())
    drive(30, fetched(0, epoch=2))
    drive(31, facts.Committed())
    assert drive(40, facts.Revoking(ZERO, until=500)) == [release(0, runs=[run(0, 500)])]
    assert drive(41, facts.Finished(record(0))) == []
    assert drive(42, released()) == [answer(0)]


def lost_before_it_was_open() -> Driven:
    drive = handed_over("a")
    drive(20, assigned({0: 2}, ours()))
    assert drive(100) == [drop(0, cut_off=True), facts.Cancel(record(0)), FOLLOW]
    drive(110, facts.Committed())
    return drive


def test_one_that_is_lost_while_it_ends_gets_no_more_time() -> None:
    """Nobody should wait for it for longer."""
    drive = lost_before_it_was_open()
    last = drive(120, facts.Revoking(ZERO, until=500))[-1]
    assert last == release(0, clean=False, runs=[run(0, 100)])


def test_one_that_is_lost_before_the_partition_is_open_is_taken_over_when_it_has_ended() -> None:
    drive = lost_before_it_was_open()
    assert starts(drive(120, fetched(0, "a", epoch=2), fetched(1, "a", epoch=2))) == []
    again = record(0, epoch=2)
    assert facts.TakeOver(again, since=103) in drive(130, read(as_of=103))
    assert starts(drive(131)) == []
    assert drive(140, facts.Cancelled(record(0))) == [facts.Start(again, 1, 1_140)]
    assert starts(drive.done(150, again)) == [1]


def test_so_is_one_that_has_ended_before() -> None:
    drive = lost_before_it_was_open()
    drive(115, facts.Cancelled(record(0)))
    assert starts(drive(120, fetched(0, "a", epoch=2))) == []
    commands = drive(130, read(as_of=103))
    assert facts.TakeOver(record(0, epoch=2), since=103) in commands
    assert starts(commands) == [0]


def test_a_completion_on_its_way_when_it_comes_back_is_behind_the_bookmark() -> None:
    drive = handed_over()
    drive(15, facts.Finished(record(0)))
    end = Bookmark(20, 1)
    known = recovered(bookmark=end, end=end, runs=[run(0, 100)], ours=True)
    drive.open(30, {0: 2}, known)
    drive(31, facts.Committed())
    drive(32, fetched(0, epoch=2), fetched(1, epoch=2))
    drive(33, facts.Finished(record(1, epoch=2)))
    (said,) = drive(34, facts.Published(record(1, epoch=2), 50))
    # It may be anywhere from there on.
    assert said == commit(0, 1, bookmark=end)


# --- again, before it was open ------------------------------------------------------------------


def test_a_partition_that_goes_again_before_it_is_open_leaves_the_old_entry_standing() -> None:
    drive = handed_over()
    drive(20, assigned({0: 2}, ours()))
    assert drive(30, facts.Revoking(ZERO, until=500)) == [facts.Release(ZERO, {})]
    assert drive(31, released()) == []
    assert drive.engine.speaks_until(record(0)) == 100
    # The opening commit, whose answer is late, said the same.
    assert drive(32, facts.Committed()) == []
    assert drive(40, facts.Finished(record(0))) == [answer(0)]


def test_and_coming_back_once_more_it_is_carried_on() -> None:
    drive = handed_over()
    drive(20, assigned({0: 2}, ours()))
    drive(30, facts.Revoking(ZERO, until=500))
    drive(31, released(), facts.Committed())
    assert drive(40, assigned({0: 3}, listed())) == [commit(0, runs=[run(0, 100)])]
    assert drive(50, facts.Committed()) == [commit(0), RESUME]
    drive(51, facts.Committed(), fetched(0, epoch=3))
    assert drive(200, facts.Finished(record(0))) == [answer(0)]
    assert drive(210, facts.Published(record(0), 4)) == [commit(1, bookmark=Bookmark(5, 1))]


def test_what_ends_in_the_moment_it_goes_again_is_published_afterwards() -> None:
    drive = handed_over()
    drive(20, assigned({0: 2}, ours()))
    commands = drive(30, facts.Revoking(ZERO, until=500), facts.Finished(record(0)))
    commands += drive(31, released())
    assert answer(0) in commands


def test_what_others_run_is_named_again_by_who_has_opened_it() -> None:
    drive = Driven(partitions=())
    theirs = run(3, 90, THEM)
    drive.open(0, {0: 1}, recovered(runs=[theirs]))
    drive(1, fetched(0))
    assert drive(10, REVOKING) == [
        facts.Follow({}),
        release(0, runs=[theirs, run(0, 100)]),
    ]


# --- the ids of before --------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "known"), [(None, True), ((), False)])
def test_where_nothing_is_said_of_its_ids_those_we_know_are_all(
    asked: tuple[()] | None, *, known: bool
) -> None:
    drive = Driven()
    drive(0, fetched(0, question_id="a"))
    drive.done(5, record(0))
    drive(10, REVOKING)
    drive(11, released())
    drive.open(20, {0: 2}, recovered(DoneBeyond(1), asked=asked, ours=True))
    commands = drive(21, fetched(1, question_id="a", epoch=2))
    assert any(isinstance(command, facts.PublishDuplicate) for command in commands) == known
    assert bool(starts(commands)) != known


def test_a_partition_that_comes_back_is_not_paused() -> None:
    drive = Driven(slots=1, high=3, low=1)
    assert PAUSE in drive(0, *(fetched(offset) for offset in range(5)))
    drive(10, REVOKING)
    drive(11, released(committed=False))
    drive(12, facts.Cancelled(record(0)))
    drive.open(13, {0: 2})
    assert PAUSE in drive(14, *(fetched(offset, epoch=2) for offset in range(5)))


# --- a drain where others are -------------------------------------------------------------------


def test_a_drain_hands_over_then_leaves_the_group_and_stops_when_nothing_runs() -> None:
    drive = Driven(slots=2)
    drive(0, *(fetched(offset) for offset in range(3)))
    assert drive(10, facts.Draining(until=100)) == [
        PAUSE,
        drop(2),
        release(0, runs=[run(0, 100), run(1, 100)]),
    ]
    assert drive(11, facts.Finished(record(0))) == []
    assert drive(12, released()) == [answer(0), DEPART]
    assert drive(13, facts.Published(record(0))) == []
    assert drive(20, facts.Finished(record(1))) == [answer(1)]
    assert drive(30, facts.Published(record(1))) == [STOP]


def test_it_leaves_once() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, facts.Draining(until=100))
    drive(11, released())
    assert drive(12, assigned({1: 2})) == [facts.Release(frozenset({1}), {})]
    assert drive(13, facts.Released(frozenset({1}), committed=True)) == []


def test_a_drain_that_hands_over_ends_in_time_too() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, facts.Draining(until=100))
    drive(11, released())
    assert drive(100) == [drop(0, cut_off=True), facts.Cancel(record(0))]
    assert drive(110, facts.Cancelled(record(0))) == [STOP]


def test_what_is_not_committed_then_is_lost() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, facts.Draining(until=100))
    assert drive(20, released(committed=False)) == [
        drop(0, cut_off=True),
        facts.Cancel(record(0)),
        DEPART,
    ]
    assert drive(30, facts.Cancelled(record(0))) == [STOP]


def test_a_drain_ends_in_time_whatever_was_handed_over_before() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, facts.Revoking(ZERO, until=900))
    drive(11, released())
    drive(20, facts.Draining(until=100))
    assert drive.engine.speaks_until(record(0)) == 100
    assert drive(100) == [drop(0, cut_off=True), facts.Cancel(record(0))]
    assert drive(110, facts.Cancelled(record(0))) == [STOP]


def test_a_drain_ends_in_time_whatever_came_back_and_was_not_open() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(10, facts.Revoking(ZERO, until=900))
    drive(11, released())
    drive(20, assigned({0: 2}, ours(900)))
    assert drive(30, facts.Draining(until=100)) == [PAUSE, facts.Release(ZERO, {})]
    drive(31, released())
    assert drive(100) == [drop(0, cut_off=True), facts.Cancel(record(0))]


def test_what_comes_back_while_the_service_stops_goes_on_under_its_entry() -> None:
    drive = handed_over()
    drive(20, facts.Draining(until=200))
    assert drive(30, assigned({0: 2}, ours())) == [facts.Release(ZERO, {})]
    assert drive(31, released()) == []
    assert drive(40, facts.Finished(record(0))) == [answer(0)]
    assert drive(50, facts.Published(record(0))) == [STOP]


def test_a_rebalance_while_it_drains_alone_hands_over_what_waits_for_its_second_try() -> None:
    drive = Driven()
    drive(0, fetched(0))
    drive(5, facts.Finished(record(0)))
    drive(10, alone(100))
    drive(15, facts.PublishFailed(record(0)))
    assert drive(20, facts.Revoking(ZERO, until=200)) == [release(0, runs=[run(0, 100)])]
    assert drive(26) == []
    assert drive(30, released()) == [answer(0), DEPART]


# --- by how long may it speak -------------------------------------------------------------------


def test_of_what_is_ours_as_long_as_the_lease() -> None:
    drive = Driven(heard=0)
    drive(0, fetched(0))
    drive(10, facts.Heard(5))
    assert drive.engine.speaks_until(record(0)) == 5 + 100 - 3
    drive(300, *(facts.Heard(at, rebalancing=True) for at in range(10, 300, 10)))
    assert drive.engine.speaks_until(record(0)) == 5 + 300 - 3
    assert drive.engine.speaks_until(record(1)) is None


def test_nothing_starts_that_could_not_say_anything_in_time() -> None:
    """Others may have our partitions, and start it too."""
    drive = Driven(heard=0)
    assert starts(drive(77, fetched(0))) == [0]
    assert starts(drive(78, fetched(1))) == []
    assert starts(drive(79, facts.Heard(10))) == [1]


def test_who_has_not_heard_from_the_group_starts_nothing() -> None:
    drive = Driven(heard=None)
    assert starts(drive(0, fetched(0))) == []
    assert starts(drive(1, facts.Heard(0))) == [0]
