"""How a group looks on a terminal: what an operator has to see first."""

from typing import Any

from rich.console import Console

from penstock.cli.status_screen import screen
from penstock.events.member import Cause, Model
from penstock.events.sums import Sums
from penstock.status import DeadLetters, Pause, Report, Seen, status
from tests.test_status import AT, report, seat

WHY = Cause(kind="ANSWER", code="program_error", message="why")
SHUT: dict[str, Any] = {"gate_shut": True, "gate_cause": WHY}


def lines(*reports: Report, pauses: tuple[Pause, ...] = ()) -> list[str]:
    """Of members that are all in the group."""
    seats = [seat(one.name) for one in reports]
    found = status(Seen("answers", "Stable", seats, (), reports, pauses, DeadLetters(0, 0)), AT)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(screen(found))
    return [line.rstrip() for line in capture.get().splitlines()]


def state(**said: Any) -> str:
    """As its column has it, of a member `m`."""
    [row] = [line for line in lines(report("m", **said)) if line.startswith("m ")]
    return row.rpartition("  ")[2].lstrip()


def test_a_gate_that_is_shut_is_told_above_the_members_with_its_cause_and_its_way_out() -> None:
    said = lines(report("a", **SHUT), report("b", **SHUT), report("c"))
    told = 'gate shut on 2 of 3 members: ANSWER program_error, "why" ; see to it, then: '
    assert said.index(f"{told}penstock resume") < said.index("")


def test_each_kind_of_failure_is_one_line_and_one_that_is_not_told_is_one_too() -> None:
    other = Cause(kind="UPSTREAM", code="model_timeout", message="no\n\x1b[31manswer")
    said = lines(
        report("a", **SHUT),
        report("b", gate_shut=True, gate_cause=other),
        # A release that does not say why.
        report("c", gate_shut=True),
        # Nobody knows whether it still is.
        report("d", 60.0, **SHUT),
    )
    end = "; see to it, then: penstock resume"
    assert [line for line in said if line.startswith("gate")] == [
        f'gate shut on 1 of 4 members: ANSWER program_error, "why" {end}',
        f'gate shut on 1 of 4 members: UPSTREAM model_timeout, "no [31manswer" {end}',
        f"gate shut on 1 of 4 members {end}",
    ]


def test_what_was_done_is_one_line_and_none_where_nobody_says_it() -> None:
    sums = Sums(total=1234, active=3, failed=2, ran=10, ran_ms=23_000)
    said = lines(report("a", questions=sums))
    told = "since their starts: 1234 questions, 3 active, 2 errors, 2.3 s on average"
    assert said[2] == told
    assert lines(report("a", questions=Sums(total=1)))[2] == told.replace(
        "1234 questions, 3 active, 2 errors, 2.3 s on average", "1 question, 0 active, 0 errors"
    )
    assert not [line for line in lines(report("a")) if line.startswith("since")]


def test_of_a_silent_member_only_that_is_shown() -> None:
    shut = {"m": Model(shut="failing", limit=4.0)}
    assert state(age=1440.0, paused=[1], held=3, models=shut, **SHUT) == "silent for 24.0 min"


def test_limits_stand_behind_everything_else_and_only_where_they_limit() -> None:
    models = {
        "default": Model(limit=4.0),
        "full": Model(limit=8.0),
        "large": Model(shut="rate_limited", limit=8.0),
    }
    said = state(paused=[0, 1], held=3, models=models, gate_shut=True)
    assert said == "up, gate shut, paused 0-1, held 3, large: rate_limited, default: limit 4"
    assert state(models={"default": Model(limit=8.0)}) == "up"
