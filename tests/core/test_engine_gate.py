"""Too many dead letters: what is kept, what stands still, and how it goes on."""

from typing import Any

from penstock.core import facts
from penstock.core.facts import Answered, Command
from penstock.core.failure import Kind
from penstock.core.gate import GatePolicy
from penstock.core.models import ModelPolicy
from penstock.core.retry import RetryPolicy
from tests.core.driven import (
    AT_ONCE,
    LATER,
    PAUSE,
    POISON,
    RESUME,
    THEM,
    UNREADABLE,
    ZERO,
    Driven,
    alone,
    answer,
    cancellation,
    commit,
    drop,
    expiry,
    failed,
    fails,
    fetched,
    limited,
    record,
    recovered,
    release,
    released,
    retry,
    run,
    start,
    starts,
)

SHUT = facts.GateShut(UNREADABLE)
TWICE = RetryPolicy(base=10, attempts={Kind.UPSTREAM: 2, Kind.ANSWER: 2})


def driven(slots: int = 4, **more: Any) -> Driven:
    """The second dead letter in a row is one too many."""
    return Driven(slots, **{"gate": GatePolicy(run=2, ratio=1), **more})


def kept(offset: int) -> facts.KeptBack:
    return facts.KeptBack(record(offset), UNREADABLE)


def bad(offset: int, partition: int = 0) -> facts.Failed:
    """ANSWER: no model is shut by it."""
    return fails(offset, UNREADABLE, partition)


def shut(drive: Driven, now: int = 0, *others: facts.Event) -> list[Command]:
    """By questions 0, which is dead-lettered, and 1, which is kept."""
    drive(now, fetched(0), fetched(1), *others)
    drive(now, bad(0))
    drive(now, facts.Published(record(0)))
    return drive(now, bad(1))


# --- it shuts -----------------------------------------------------------------------------------


def test_the_one_too_many_is_kept_and_nothing_is_fetched() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1))
    assert drive(0, bad(0)) == [failed(0, UNREADABLE)]
    assert drive(0, bad(1)) == [kept(1), SHUT, PAUSE]
    assert drive.engine.owns(record(1))
    assert drive.engine.admission.in_flight == 0


def test_nothing_starts_and_what_runs_finishes() -> None:
    drive = driven(slots=3)
    assert shut(drive, 0, fetched(2), fetched(3, "a"), fetched(4, "a")) == [kept(1), SHUT, PAUSE]
    assert drive(10, facts.Finished(record(2))) == [answer(2)]
    assert drive(11, facts.Finished(record(3)), facts.Published(record(3))) == [answer(3)]
    assert drive(12, fetched(5)) == []


def test_those_that_fail_meanwhile_are_kept_too_and_it_is_said_once() -> None:
    drive = driven()
    shut(drive, 0, fetched(2), fetched(3))
    assert drive(10, bad(2)) == [kept(2)]
    assert drive(1_000) == [facts.Cancel(record(3))]
    assert drive(1_001, facts.Cancelled(record(3))) == [
        facts.KeptBack(record(3), expiry(3, "running").failure)
    ]


def test_what_waits_for_another_attempt_waits_on() -> None:
    drive = driven(retry=TWICE)
    drive(0, fetched(0), fetched(1), fetched(2))
    drive(0, bad(0), bad(1))
    drive(10)
    drive(11, bad(2))
    assert drive(15, bad(0), bad(1)) == [failed(0, UNREADABLE), kept(1), SHUT, PAUSE]
    assert drive(21) == []
    assert starts(drive(30, facts.GateOpened())) == [2, 1]


def test_what_runs_and_fails_the_first_time_waits_too_and_is_kept_when_its_time_is_over() -> None:
    drive = driven(retry=TWICE)
    drive(0, fetched(0), fetched(1), fetched(2))
    drive(0, bad(0), bad(1))
    drive(10)
    drive(11, bad(0), bad(1))
    assert drive(12, bad(2)) == [retry(2, 22, UNREADABLE)]
    assert drive(22) == []
    assert drive(1_000) == [facts.KeptBack(record(2), expiry(2, "retrying").failure)]
    assert starts(drive(1_001, facts.GateOpened())) == [1, 2]


def test_what_is_wrong_with_a_question_itself_passes() -> None:
    drive = driven()
    shut(drive, 0, fetched(2))
    hopeless = facts.Failed(record(2), POISON)
    assert drive(5, hopeless) == [failed(2, POISON)]
    assert drive(6, fetched(3, failure=POISON)) == [failed(3, POISON)]


def test_what_runs_out_of_time_before_its_turn_passes() -> None:
    drive = driven(slots=3)
    shut(drive)
    assert drive(5, fetched(3, expires_at=50)) == []
    assert drive(50) == [expiry(3, "waiting")]


def test_what_has_no_dead_letter_passes() -> None:
    drive = driven(dead_letter_expired=False)
    shut(drive, 0, fetched(2), fetched(3, question_id="three"))
    assert drive(5, facts.CancelRequested("three", 0, LATER)) == [facts.Cancel(record(3))]
    assert drive(6, facts.Cancelled(record(3))) == [cancellation(3)]
    drive(1_000)
    assert drive(1_001, facts.Cancelled(record(2))) == [expiry(2, "running", dead_letter=False)]


def test_nor_does_it_count() -> None:
    drive = driven(dead_letter_expired=False)
    drive(0, *(fetched(offset, expires_at=50) for offset in range(4)))
    drive(50)
    commands = drive(51, *(facts.Cancelled(record(offset)) for offset in range(4)))
    assert commands == [expiry(offset, "running", dead_letter=False) for offset in range(4)]


def test_an_answer_counts_for_it() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1), fetched(2))
    drive(0, bad(0))
    drive(0, facts.Finished(record(1)))
    assert drive(0, bad(2)) == [failed(2, UNREADABLE)]


def test_a_ratio_shuts_it_too() -> None:
    drive = driven(gate=GatePolicy(run=3, ratio=0.5, window=100))
    drive(0, *(fetched(offset) for offset in range(3)))
    drive(0, bad(0))
    drive(0, facts.Finished(record(1)))
    assert drive(0, bad(2)) == [kept(2), SHUT, PAUSE]


# --- what is kept -------------------------------------------------------------------------------


def test_what_is_kept_holds_its_lane_its_offset_and_no_slot() -> None:
    drive = driven(cadence=AT_ONCE)
    drive(0, fetched(0), fetched(1, "a"), fetched(2, "a"), fetched(3))
    drive(0, bad(0))
    drive(0, bad(1))
    assert drive(1, facts.Published(record(0))) == [commit(1)]
    drive(2, facts.Committed(), facts.Finished(record(3)))
    assert drive(3, facts.Published(record(3))) == [commit(1, 3)]
    assert drive.engine.admission.in_flight == 0


def test_its_own_time_does_not_run_on_meanwhile() -> None:
    drive = driven()
    shut(drive)
    assert drive(5_000) == []
    assert drive.engine.owns(record(1))


def test_it_is_cancelled_like_all_others() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1, "a", question_id="one"), fetched(2, "a"))
    drive(0, bad(0), bad(1))
    assert drive(5, facts.CancelRequested("one", 0, LATER)) == [cancellation(1)]
    drive(6, facts.Published(record(1)))
    assert starts(drive(7, facts.GateOpened())) == [2]


def test_another_one_that_completes_it_ends_it() -> None:
    drive = driven(partitions=())
    drive.open(0, {0: 1}, recovered(runs=[run(9, 500, THEM)]))
    shut(drive)
    followed = facts.Followed(0, 1, [Answered(1, 0)], position=1, as_of=5)
    assert drive(5, followed) == [drop(1)]
    assert starts(drive(6, facts.GateOpened())) == []


# --- an operator has seen to it -----------------------------------------------------------------


def test_opened_they_are_asked_anew_with_all_attempts_and_all_their_time() -> None:
    drive = driven(retry=TWICE)
    drive(0, fetched(0), fetched(1))
    drive(0, bad(0), bad(1))
    drive(10)
    drive(11, bad(0))
    assert drive(11, bad(1)) == [kept(1), SHUT, PAUSE]
    assert drive(5_000, facts.GateOpened()) == [start(1, 6_000, attempt=3), RESUME]
    assert drive(5_001, bad(1)) == [retry(1, 5_011, UNREADABLE)]
    assert drive(5_011) == [start(1, 6_000, attempt=4)]
    assert drive.wake_at == 6_000
    assert drive(5_012, bad(1)) == [failed(1, UNREADABLE)]


def test_what_waited_goes_on_too() -> None:
    drive = driven(slots=2)
    drive(0, fetched(0), fetched(1), fetched(2))
    drive(0, bad(0))
    drive(0, bad(1))
    assert drive(5, facts.Finished(record(2))) == [answer(2)]
    drive(6, fetched(3), fetched(4))
    assert starts(drive(7, facts.GateOpened())) == [1, 3]


def test_an_explicit_deadline_stays_what_it_was() -> None:
    drive = driven()
    drive(0, fetched(0), fetched(1, expires_at=700))
    drive(0, bad(0))
    drive(0, bad(1))
    assert drive(100, facts.GateOpened()) == [start(1, 700, attempt=2), RESUME]
    assert drive(700) == [facts.Cancel(record(1))]


def test_whose_deadline_is_over_when_it_is_opened_has_not_had_its_turn() -> None:
    """Else those that were kept for long would shut it again."""
    drive = driven(slots=5)
    drive(0, *(fetched(offset, expires_at=700) for offset in range(5)))
    drive(0, bad(0))
    drive(0, *(bad(offset) for offset in range(1, 5)))
    commands = drive(2_000, facts.GateOpened())
    assert commands == [*(expiry(offset, "waiting") for offset in range(1, 5)), RESUME]
    assert not drive.engine.failing.gate.shut


def test_it_counts_anew() -> None:
    drive = driven()
    shut(drive)
    drive(10, facts.GateOpened(), fetched(2))
    assert drive(11, bad(1)) == [failed(1, UNREADABLE)]
    assert drive(12, bad(2)) == [kept(2), SHUT, PAUSE]
    assert starts(drive(13, facts.GateOpened())) == [2]


def test_opened_it_is_no_use_to_fetch_while_its_model_is_shut() -> None:
    drive = driven(models={"": ModelPolicy(hold=50)})
    shut(drive, 0, fetched(2))
    drive(5, fails(2, limited()))
    assert drive(10, facts.GateOpened()) == []
    assert starts(drive(55)) == [2]
    assert RESUME in drive(56, facts.Answers(record(2)))


def test_who_opens_what_is_open_changes_nothing() -> None:
    drive = driven()
    drive(0, fetched(0))
    assert drive(5, facts.GateOpened()) == []
    assert drive(6, facts.Finished(record(0))) == [answer(0)]


# --- the partition goes, or the service stops ---------------------------------------------------


def test_a_partition_that_leaves_lets_go_of_what_was_kept() -> None:
    drive = driven()
    shut(drive, 0, fetched(2))
    assert drive(5, facts.Revoking(ZERO, until=400)) == [
        drop(1, cut_off=False),
        release(1, clean=False, runs=[run(2, 400)]),
    ]
    assert drive(6, released(), facts.GateOpened()) == []
    assert not drive.engine.owns(record(1))


def test_it_comes_back_as_a_question_like_any_other() -> None:
    drive = driven()
    shut(drive)
    drive(5, facts.Revoking(ZERO, until=400))
    drive(6, released())
    drive.open(7, {0: 2})
    drive(8, facts.GateOpened())
    assert starts(drive(9, fetched(1, epoch=2))) == [1]


def test_what_fails_while_its_partition_leaves_is_let_go_of() -> None:
    """Named as a run of ours, the next owner would wait for it in vain."""
    drive = driven()
    shut(drive, 0, fetched(2), fetched(3))
    drive(4, facts.Finished(record(3)))
    # The acknowledgement is waited for.
    assert drive(5, facts.Revoking(ZERO, until=400)) == [drop(1, cut_off=False)]
    assert drive(6, bad(2)) == [kept(2), drop(2, cut_off=False)]
    assert drive(7, facts.Published(record(3))) == [release(1, 3, clean=False)]


def test_what_waits_to_run_again_when_it_is_shut_is_let_go_of_too() -> None:
    """It could not begin before an operator comes, and the next owner may at once."""
    drive = driven(retry=TWICE)
    drive(0, fetched(0), fetched(1), fetched(2))
    drive(0, bad(0), bad(1))
    drive(10)
    drive(11, bad(0), bad(1))
    drive(12, bad(2))
    drive(13, facts.Published(record(0)))
    assert drive(14, facts.Revoking(ZERO, until=400)) == [
        drop(1, cut_off=False),
        drop(2, cut_off=False),
        release(1, clean=False),
    ]


def test_what_was_handed_over_is_left_to_others() -> None:
    drive = driven()
    shut(drive, 0, fetched(2))
    drive(5, facts.Revoking(ZERO, until=400))
    drive(6, released())
    assert drive(10, bad(2)) == [kept(2), drop(2)]


def test_what_was_handed_over_may_be_the_one_too_many() -> None:
    drive = driven(partitions=(0, 1))
    drive(0, fetched(0), fetched(1), fetched(0, partition=1))
    drive(5, facts.Revoking(ZERO, until=400))
    drive(6, released())
    pause = facts.Pause(frozenset({1}))
    assert drive(7, bad(0), bad(1)) == [
        failed(0, UNREADABLE),
        kept(1),
        SHUT,
        drop(1),
        pause,
    ]


def test_the_end_of_the_service_lets_go_of_what_was_kept() -> None:
    drive = driven()
    shut(drive)
    assert drive(5, alone(500)) == [
        facts.Pause(ZERO),
        drop(1, cut_off=False),
        release(1, clean=False),
    ]


def test_what_fails_in_the_drain_does_not_hold_it_up() -> None:
    drive = driven()
    shut(drive, 0, fetched(2))
    drive(5, alone(500))
    assert drive(10, bad(2)) == [kept(2), drop(2, cut_off=False), release(1, clean=False)]


# --- or the service stops by itself -------------------------------------------------------------


def exits(**more: Any) -> Driven:
    return driven(gate=GatePolicy("exit", run=2, ratio=1), **more)


def test_it_may_stop_the_service_and_nothing_is_committed_past_what_is_kept() -> None:
    drive = exits()
    commands = shut(drive)
    assert commands[:4] == [kept(1), SHUT, facts.Pause(ZERO), drop(1, cut_off=False)]
    assert commands[4:] == [release(1, clean=False)]
    commands = drive(10, released())
    assert isinstance(commands[0], facts.Depart)
    stop = commands[-1]
    assert isinstance(stop, facts.Stop)
    assert stop.failure is not None
    assert (stop.failure.kind, stop.failure.code) == (Kind.OPERATOR, "too_many_dead_letters")


def test_what_runs_then_is_handed_over_and_waited_for() -> None:
    drive = exits()
    commands = shut(drive, 0, fetched(2))
    assert release(1, clean=False, runs=[run(2, 500)]) in commands
    assert drive(10, released()) == [facts.Depart()]
    assert drive(20, facts.Finished(record(2))) == [answer(2)]
    (stop,) = drive(30, facts.Published(record(2)))
    assert isinstance(stop, facts.Stop)


def test_nothing_that_waits_to_run_again_holds_it_up() -> None:
    drive = exits(retry=TWICE)
    drive(0, fetched(0), fetched(1), fetched(2))
    drive(0, bad(0), bad(1), bad(2))
    drive(10)
    drive(11, bad(0))
    drive(12, facts.Published(record(0)))
    drive(12, fetched(3))
    drive(13, bad(3))
    commands = drive(14, bad(1))
    assert [one for one in commands if isinstance(one, facts.Drop)] == [
        drop(1, cut_off=False),
        drop(3, cut_off=False),
    ]
    drive(20, released())
    assert {r.offset for r in drive.engine.questions} == {2}


def test_what_is_asked_anew_when_its_partition_leaves_is_handed_over_with_all_its_time() -> None:
    drive = driven()
    shut(drive)
    commands = drive(30, facts.GateOpened(), facts.Revoking(ZERO, LATER))
    [release] = [command for command in commands if isinstance(command, facts.Release)]
    # Its budget, half a second to end, and three flights.
    assert [(one.offset, one.until) for one in release.heads[0].runs] == [(1, 30 + 1_000 + 560)]
