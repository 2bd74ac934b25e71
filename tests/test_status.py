"""How a group stands, put together from what was seen of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from penstock.core.handover import Run
from penstock.events.member import SILENT_SECONDS, Member, Model, Running
from penstock.events.sums import Sums
from penstock.status import (
    FORGOTTEN_SECONDS,
    DeadLetters,
    Log,
    Report,
    Seat,
    Seen,
    State,
    Status,
    status,
)

AT = "2026-11-27T09:30:00.000Z"


def report(name: str, age: float = 1.0, **said: Any) -> Report:
    """Of a member whose id in the group is `m-` and its name."""
    own: dict[str, Any] = {
        "group": "answers",
        "member_id": f"m-{name}",
        "host": f"host-{name}",
        "pid": 1,
        "version": "1.0",
        "started_at": AT,
        "partitions": [],
        "paused": [],
        "slots": 8,
        "in_flight": 0,
        "waiting": 0,
        "held": 0,
        "models": {"default": Model(limit=4.0)},
        "gate_shut": False,
        "draining": False,
    }
    return Report(name, Member(**{**own, **said}), age)


def seat(name: str, *partitions: int) -> Seat:
    return Seat(f"m-{name}", "10.0.0.1", partitions)


def stand(
    seats: Sequence[Seat] = (), reports: Sequence[Report] = (), logs: Sequence[Log] = ()
) -> Status:
    return status(Seen("answers", "Stable", seats, logs, reports, (), DeadLetters(1, 2)), AT)


def test_a_member_is_what_the_group_knows_and_what_it_reports() -> None:
    row, other = stand([seat("b", 1), seat("a", 0, 2)], [report("a"), report("b")]).members
    assert (row.name, row.state, row.host, row.partitions) == ("a", State.UP, "10.0.0.1", (0, 2))
    assert row.report is not None
    assert row.report.host == "host-a"
    assert (other.name, other.partitions) == ("b", (1,))


@pytest.mark.parametrize(
    ("seats", "said", "state"),
    [
        ([seat("a", 0)], {}, State.UP),
        ([seat("a", 0)], {"draining": True}, State.DRAINING),
        # It has left the group, and finishes what it has handed over.
        ([], {"draining": True}, State.DRAINING),
        ([], {}, State.OUTSIDE),
        ([], {"member_id": ""}, State.OUTSIDE),
        ([seat("a", 0)], {"age": SILENT_SECONDS}, State.UP),
        ([seat("a", 0)], {"age": SILENT_SECONDS + 1}, State.SILENT),
        ([], {"age": SILENT_SECONDS + 1, "draining": True}, State.SILENT),
    ],
)
def test_its_state(seats: list[Seat], said: dict[str, Any], state: State) -> None:
    [row] = stand(seats, [report("a", **said)]).members
    assert row.state is state
    assert (row.silent_seconds is None) is (state is not State.SILENT)


def test_who_never_reported_is_known_by_its_id() -> None:
    [row] = stand([seat("a", 0)]).members
    assert (row.name, row.state, row.report) == ("m-a", State.UNREPORTED, None)


def test_the_dead_are_forgotten_in_time_unless_the_group_counts_on_them() -> None:
    old = report("old", FORGOTTEN_SECONDS + 1)
    assert not stand(reports=[old]).members
    assert stand([seat("old", 0)], [old]).members[0].state is State.SILENT


def test_of_two_that_report_by_one_id_the_last_has_it() -> None:
    """A static member, restarted."""
    before = report("before", 9.0, member_id="m-now")
    rows = stand([seat("now", 0)], [before, report("now")]).members
    assert [(row.name, row.partitions) for row in rows] == [("now", (0,)), ("before", ())]


@pytest.mark.parametrize(
    ("log", "lag", "backlog"),
    [
        (Log(0, 0, 10, 4), 6, 6),
        (Log(0, 0, 10, None), 10, 10),
        (Log(0, 0, 10, 4, [(5, 7), (8, 9)]), 6, 3),
        # The retention has taken what nobody has read.
        (Log(0, 6, 10, 4, [(5, 8)]), 4, 2),
        # The log was created anew under its commit.
        (Log(0, 0, 3, 10, [(12, 14)]), 0, 0),
        (Log(0, 0, 10, 4, [(5, 20)]), 6, 1),
    ],
)
def test_the_backlog_is_the_lag_less_what_is_done_beyond_it(
    log: Log, lag: int, backlog: int
) -> None:
    found = stand(logs=[log])
    [row] = found.partitions
    assert (row.lag, row.backlog) == (lag, backlog)
    assert (found.totals.lag, found.totals.backlog) == (lag, backlog)


def test_a_partition_has_an_owner_that_may_have_paused_it() -> None:
    logs = [Log(0, 0, 1, 0), Log(1, 0, 1, 0), Log(2, 0, 1, 0)]
    found = stand([seat("a", 0, 1)], [report("a", paused=[1])], logs)
    assert [row.owner for row in found.partitions] == ["a", "a", None]
    assert [row.paused for row in found.partitions] == [False, True, False]


def test_elsewhere_runs_what_its_owner_does_not() -> None:
    runs = [Run(4, "a", 130.0), Run(5, "gone", 112.5)]
    log = Log(0, 0, 10, 4, runs=runs, read_at=100.0)
    [row] = stand([seat("a", 0)], [report("a")], [log]).partitions
    assert [(one.offset, one.runner, one.seconds) for one in row.elsewhere] == [(5, "gone", 12.5)]
    [row] = stand(logs=[log]).partitions
    assert len(row.elsewhere) == 2


def test_the_totals_are_of_those_that_can_be_heard() -> None:
    def running(question_id: str, seconds: float) -> Running:
        return Running(question_id=question_id, partition=0, offset=1, seconds=seconds)

    reports = [
        report("a", in_flight=3, waiting=5, oldest_running=running("young", 1.0)),
        report("b", in_flight=4, waiting=6, oldest_running=running("old", 2.0)),
        report("c", 60.0, in_flight=5, waiting=7, oldest_running=running("dead", 9.0)),
    ]
    totals = stand([seat("a", 0), seat("b", 1)], reports).totals
    assert (totals.in_flight, totals.waiting, totals.slots) == (7, 11, 16)
    assert totals.oldest_running is not None
    assert totals.oldest_running.member == "b"
    assert totals.oldest_running.question.question_id == "old"
    assert stand().totals.oldest_running is None


def test_what_was_done_since_their_starts_adds_up_and_averages_are_of_all() -> None:
    one = Sums(total=5, active=1, completed=2, failed=1, expired=1, ran=3, ran_ms=9_000)
    two = Sums(total=2, completed=1, ran=1, ran_ms=1_000, spoke=1, spoke_ms=250)
    found = stand(
        reports=[
            report("one", questions=one),
            report("two", questions=two),
            # Who knows what it has done since?
            report("dead", SILENT_SECONDS + 1, questions=one),
            report("of an older release"),
        ]
    ).totals.questions
    assert found is not None
    assert (found.total, found.active, found.completed, found.errors) == (7, 1, 3, 2)
    assert (found.average_duration_ms, found.average_first_token_ms) == (2_500, 250)
    nobody_says = stand(reports=[report("of an older release")]).totals.questions
    assert nobody_says is None
