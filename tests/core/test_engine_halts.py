"""An operator pauses: nothing new starts, and everything else goes on as ever."""

from typing import Any

import pytest

from penstock.core import facts
from penstock.core.breaker import BreakerPolicy
from penstock.core.facts import Answered
from penstock.core.failure import Kind
from penstock.core.gate import GatePolicy
from penstock.core.halts import EVERYTHING, Scope
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
    assigned,
    cancellation,
    commit,
    drop,
    expiry,
    failed,
    fails,
    fetched,
    record,
    recovered,
    release,
    released,
    retry,
    run,
    start,
    starts,
)

PARTITION, PROGRAM = Scope(partition=0), Scope(program="qa")
SCOPES = [EVERYTHING, PARTITION, PROGRAM]
TWICE = RetryPolicy(base=10, attempts={Kind.UPSTREAM: 2, Kind.ANSWER: 2})

each = pytest.mark.parametrize("scope", SCOPES, ids=str)


def ask(offset: int, lane: str | None = None, **more: Any) -> facts.Fetched:
    return fetched(offset, lane, **{"program": "qa", **more})


def halt(scope: Scope) -> facts.Halted:
    return facts.Halted(scope, "for a reason")


# --- what starts ----------------------------------------------------------------------------------


@each
def test_what_runs_ends_and_nothing_new_starts_before_it_is_lifted(scope: Scope) -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(0, ask(0), ask(1), ask(2, "a"), ask(3, "a"))
    assert starts(drive(1, halt(scope))) == []
    assert drive(2, facts.Finished(record(0))) == [answer(0)]
    assert drive(3, facts.Published(record(0))) == [commit(1)]
    assert starts(drive(4, facts.Committed(), ask(4))) == []
    assert drive(5, facts.Finished(record(1)))[:1] == [answer(1)]
    assert starts(drive(6, facts.HaltLifted(scope))) == [2, 4]


@each
def test_it_holds_for_what_arrives_later(scope: Scope) -> None:
    drive = Driven(partitions=())
    drive(0, halt(scope))
    drive.open(1, {0: 1})
    assert drive(2, ask(0)) == []
    assert starts(drive(3, facts.HaltLifted(scope))) == [0]


def test_said_twice_it_is_lifted_once() -> None:
    drive = Driven()
    drive(0, halt(EVERYTHING), halt(EVERYTHING), ask(0))
    assert starts(drive(1, facts.HaltLifted(EVERYTHING))) == [0]
    assert drive(2, facts.HaltLifted(EVERYTHING)) == []


def test_only_the_paused_partition_stands_still() -> None:
    drive = Driven(partitions=(0, 1))
    drive(0, halt(PARTITION))
    assert starts(drive(1, ask(0), ask(5, partition=1))) == [5]


def test_only_the_paused_program_stands_still_and_lanes_stay_ordered() -> None:
    drive = Driven(slots=9)
    drive(0, halt(PROGRAM))
    others = [ask(2, program="short"), ask(3, "a", program="short"), ask(4, "b", program="short")]
    assert starts(drive(1, ask(0), ask(1, "a"), *others)) == [2, 4]
    assert starts(drive(2, facts.HaltLifted(PROGRAM))) == [0, 1]
    drive(3, facts.Finished(record(1)))
    assert starts(drive(4, facts.Published(record(1)))) == [3]


def test_what_one_pause_lets_go_on_another_may_still_hold() -> None:
    drive = Driven()
    drive(0, halt(EVERYTHING), halt(PROGRAM), ask(0), ask(1, program="short"))
    assert starts(drive(1, facts.HaltLifted(EVERYTHING))) == [1]
    assert starts(drive(2, facts.HaltLifted(PROGRAM))) == [0]


@each
def test_another_attempt_is_a_start(scope: Scope) -> None:
    drive = Driven(retry=TWICE)
    drive(0, ask(0))
    drive(1, halt(scope))
    assert drive(2, fails(0)) == [retry(0, 12)]
    assert starts(drive(12)) == []
    assert drive(50, facts.HaltLifted(scope))[:1] == [start(0, 1_000, attempt=2)]


@each
def test_what_another_left_waits_too(scope: Scope) -> None:
    drive = Driven(partitions=())
    drive(0, halt(scope))
    drive.open(1, {0: 1}, recovered(runs=[run(0, 50, THEM)]))
    drive(2, ask(0))
    over = facts.Followed(0, 1, (), 0, 60)
    assert drive(60, over) == [facts.TakeOver(record(0), 60), facts.Follow({})]
    assert starts(drive(61, facts.HaltLifted(scope))) == [0]


def test_who_is_to_find_out_whether_the_model_is_back_waits() -> None:
    drive = Driven(models={"": ModelPolicy(BreakerPolicy(failures=1, probe=10))}, retry=TWICE)
    drive(0, ask(0), ask(1))
    drive(1, fails(0))
    drive(2, halt(EVERYTHING))
    assert starts(drive(11)) == []
    assert starts(drive(12, facts.HaltLifted(EVERYTHING))) == [0]


# --- what goes on ---------------------------------------------------------------------------------


@each
def test_time_runs_on(scope: Scope) -> None:
    drive = Driven(slots=1, retry=TWICE)
    drive(0, ask(0), ask(1, expires_at=500))
    drive(1, halt(scope))
    drive(2, fails(0))
    assert drive(500) == [expiry(1, "waiting")]
    assert drive(1_000) == [expiry(0, "retrying")]


@each
def test_what_nobody_wants_is_cancelled(scope: Scope) -> None:
    drive = Driven(slots=1, retry=TWICE)
    drive(0, ask(0, question_id="failed"), ask(1, question_id="waits"))
    drive(1, halt(scope))
    drive(2, fails(0))
    unwanted = [facts.CancelRequested(name, 0, LATER) for name in ("failed", "waits")]
    assert drive(3, *unwanted) == [cancellation(0), cancellation(1)]


@each
def test_what_needs_no_run_is_concluded(scope: Scope) -> None:
    drive = Driven()
    drive(0, halt(scope), ask(0, question_id="q"))
    first = facts.PublishDuplicate
    commands = drive(1, ask(1, question_id="q"), ask(2, failure=POISON))
    assert [type(one) for one in commands] == [first, facts.GiveUp]
    assert commands[1] == failed(2, POISON)


def test_a_shut_gate_is_another_matter() -> None:
    drive = Driven(gate=GatePolicy(run=1))
    drive(0, ask(0))
    drive(1, halt(EVERYTHING), fails(0, UNREADABLE))
    assert drive(2, facts.HaltLifted(EVERYTHING)) == []
    assert drive(3, halt(EVERYTHING), facts.GateOpened()) == []
    assert starts(drive(4, facts.HaltLifted(EVERYTHING))) == [0]


# --- partitions are paused at Kafka ---------------------------------------------------------------


@pytest.mark.parametrize("scope", [EVERYTHING, PARTITION], ids=str)
def test_its_partitions_are_paused(scope: Scope) -> None:
    drive = Driven()
    assert drive(0, halt(scope)) == [PAUSE]
    assert drive(1, facts.HaltLifted(scope)) == [RESUME]


def test_those_of_others_are_not() -> None:
    drive = Driven(partitions=(0, 1))
    assert drive(0, halt(PARTITION), halt(Scope(partition=7))) == [PAUSE]
    assert drive(1, facts.HaltLifted(Scope(partition=7))) == []


def test_for_a_program_a_partition_is_paused_at_its_mark() -> None:
    drive = Driven(high=3, low=1)
    assert drive(0, halt(PROGRAM), ask(0), ask(1)) == []
    assert drive(1, ask(2)) == [PAUSE]
    assert starts(drive(2, facts.HaltLifted(PROGRAM))) == [0, 1]


def test_what_arrives_paused_stays_so() -> None:
    drive = Driven(partitions=())
    drive(0, halt(PARTITION))
    assert RESUME not in drive.open(1, {0: 1})
    assert drive(2, facts.HaltLifted(PARTITION)) == [RESUME]


# --- the partition goes ---------------------------------------------------------------------------


@each
def test_what_waits_to_run_again_is_let_go_of_with_its_partition(scope: Scope) -> None:
    """It could not begin before an operator comes, and the next owner may as soon as he does."""
    drive = Driven(retry=TWICE)
    drive(0, ask(0), ask(1))
    drive(1, halt(scope), fails(0))
    assert drive(2, facts.Revoking(ZERO, until=400)) == [
        drop(0),
        release(0, clean=False, runs=[run(1, 400)]),
    ]
    drive(3, released())
    assert drive(4, facts.Finished(record(1))) == [answer(1)]


@each
def test_what_was_handed_over_and_fails_is_let_go_of(scope: Scope) -> None:
    drive = Driven(retry=TWICE)
    drive(0, ask(0))
    drive(1, halt(scope), facts.Revoking(ZERO, until=400))
    drive(2, released())
    assert drive(3, fails(0)) == [drop(0)]


@each
def test_a_service_that_stops_does_not_wait_for_it(scope: Scope) -> None:
    drive = Driven(retry=TWICE)
    drive(0, ask(0))
    drive(1, halt(scope), fails(0))
    assert [type(one) for one in drive(2, alone(500))][-1] is facts.Release


def test_a_partition_that_comes_back_finds_the_pause() -> None:
    drive = Driven()
    drive(0, ask(0), ask(1))
    drive(1, halt(PARTITION), facts.Revoking(ZERO, until=400))
    drive(2, released())
    drive(3, assigned({0: 2}, recovered(runs=[run(0, 400), run(1, 400)], ours=True)))
    assert RESUME not in drive(4, facts.Committed())
    assert drive(5, ask(2, epoch=2)) == []
    assert answer(0) in drive(6, facts.Finished(record(0)))
    assert RESUME in drive(7, facts.HaltLifted(PARTITION))


def test_what_others_complete_meanwhile_is_done() -> None:
    drive = Driven(partitions=())
    drive(0, halt(EVERYTHING))
    drive.open(1, {0: 1}, recovered(runs=[run(0, 500, THEM)]))
    drive(2, ask(0, timestamp=9))
    assert drop(0) in drive(3, facts.Followed(0, 1, [Answered(0, 9)], 1, 3))


def test_however_many_wait_the_paused_are_passed_over_together() -> None:
    drive = Driven(slots=1, high=10_000)
    drive(0, halt(PROGRAM), *(ask(offset) for offset in range(5_000)))
    looked = 0
    board = drive.engine.board
    may = board.may

    def counted(turn: Any) -> bool:
        nonlocal looked
        looked += 1
        return may(turn)

    board.may = counted  # type: ignore[method-assign]
    assert starts(drive(1, ask(5_000, program="short"))) == [5_000]
    assert looked < 10
