"""How does a group stand? What was seen of it in several places, put together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from penstock.core.handover import Run
from penstock.core.offset_map import Range
from penstock.events.member import SILENT_SECONDS, Member, Running
from penstock.events.sums import Sums, added

FORGOTTEN_SECONDS = 3600.0
"""A process that has died is shown for so long, unless the group counts on it still."""


# --- what is seen ---------------------------------------------------------------------------------


class Seat(NamedTuple):
    """A member as Kafka's group knows it, with its partitions of the questions."""

    member_id: str
    host: str
    partitions: tuple[int, ...]


class Log(NamedTuple):
    """One partition of the questions.

    Args:
        partition: its number.
        start: its first offset.
        end: one past its last.
        committed: the last commit; None: there is none.
        done: what that says is done beyond it.
        runs: what that says still runs, whoever has the partition.
        read_at: when it was read, in monotonic seconds.
    """

    partition: int
    start: int
    end: int
    committed: int | None
    done: Sequence[Range] = ()
    runs: Sequence[Run] = ()
    read_at: float = 0.0


class Report(NamedTuple):
    """What a process said of itself under its random name; `age` in seconds."""

    name: str
    member: Member
    age: float


@dataclass(frozen=True, slots=True)
class Pause:
    """What an operator has paused; `value` as it stands in the record, `seconds` ago."""

    scope: str
    value: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Of all groups that use the topic, and at most: offsets may be gaps."""

    last_hour: int
    last_day: int


class Seen(NamedTuple):
    """All of it. `reports`: of this group alone; `dead_letters`: None: they are not to be seen."""

    group: str
    state: str
    seats: Sequence[Seat]
    logs: Sequence[Log]
    reports: Sequence[Report]
    pauses: Sequence[Pause]
    dead_letters: DeadLetters | None


# --- how it stands --------------------------------------------------------------------------------


class State(StrEnum):
    """Of a member."""

    UP = "up"
    DRAINING = "draining"
    """It was asked to stop, and finishes what it runs; out of the group or still in it."""
    OUTSIDE = "outside"
    """It reports, and is not in the group: it starts, or the group has dropped it."""
    UNREPORTED = "unreported"
    """It is in the group and has never reported: another program, or a release before this."""
    SILENT = "silent"
    """It reports no more: it has died, is frozen, or cannot reach Kafka."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Args:
    name: the random name of the process; of one that never reported, its id in the group.
    state: see `State`.
    host: from where the group sees it come; else as it names itself.
    partitions: those that the group has given it.
    silent_seconds: since its last report, where that is too long.
    report: its last.
    """

    name: str
    state: State
    host: str
    partitions: tuple[int, ...]
    silent_seconds: float | None
    report: Member | None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A question that a process runs whose partition it is not; `seconds` at most."""

    offset: int
    runner: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """Args:
    partition: its number.
    end: of the log.
    committed: None: nothing is.
    lag: records from the commit on.
    backlog: of these, the ones that are not done; gaps of the log among them.
    owner: the name of a member; None: it has none.
    paused: whether that fetches nothing of it now.
    elsewhere: what others still run of it.
    """

    partition: int
    end: int
    committed: int | None
    lag: int
    backlog: int
    owner: str | None
    paused: bool
    elsewhere: tuple[Elsewhere, ...]


@dataclass(frozen=True, slots=True)
class Oldest:
    """The question that has run for longest, and where."""

    member: str
    question: Running


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all partitions, and of all members that are not silent. `questions`: since their starts;
    None: none of them says it.
    """

    lag: int
    backlog: int
    slots: int
    in_flight: int
    waiting: int
    elsewhere: int
    oldest_running: Oldest | None
    questions: Sums | None


@dataclass(frozen=True, slots=True)
class Status:
    """`at`: RFC 3339; `dead_letters`: None: they are not to be seen."""

    at: str
    group: str
    state: str
    totals: Totals
    dead_letters: DeadLetters | None
    pauses: tuple[Pause, ...]
    members: tuple[MemberRow, ...]
    partitions: tuple[PartitionRow, ...]


def status(seen: Seen, at: str) -> Status:
    """As of then."""
    members = tuple(_members(seen.seats, seen.reports))
    partitions = tuple(_partitions(seen.logs, members))
    return Status(
        at,
        seen.group,
        seen.state,
        _totals(members, partitions),
        seen.dead_letters,
        tuple(seen.pauses),
        members,
        partitions,
    )


def _members(seats: Iterable[Seat], reports: Iterable[Report]) -> list[MemberRow]:
    newest = sorted(reports, key=lambda report: report.age)
    rows, told = [], set[str]()
    for seat in seats:
        report = next((r for r in newest if r.member.member_id == seat.member_id), None)
        if report is None:
            row = MemberRow(
                seat.member_id, State.UNREPORTED, seat.host, seat.partitions, None, None
            )
        else:
            told.add(report.name)
            row = _row(report, seat)
        rows.append(row)
    rows += [
        _row(report, None)
        for report in newest
        if report.name not in told and report.age <= FORGOTTEN_SECONDS
    ]
    order = list(State)
    return sorted(rows, key=lambda row: (order.index(row.state), row.name))


def _row(report: Report, seat: Seat | None) -> MemberRow:
    member, age = report.member, report.age
    silent = age > SILENT_SECONDS
    if silent:
        state = State.SILENT
    elif member.draining:
        state = State.DRAINING
    else:
        state = State.OUTSIDE if seat is None else State.UP
    host, partitions = (member.host, ()) if seat is None else (seat.host, seat.partitions)
    return MemberRow(report.name, state, host, partitions, age if silent else None, member)


def _partitions(logs: Iterable[Log], members: Iterable[MemberRow]) -> Iterable[PartitionRow]:
    owners: Mapping[int, MemberRow] = {
        partition: row for row in members for partition in row.partitions
    }
    for log in logs:
        owner = owners.get(log.partition)
        name = None if owner is None else owner.name
        report = None if owner is None else owner.report
        begin = log.start if log.committed is None else max(log.start, log.committed)
        lag = max(0, log.end - begin)
        done = sum(max(0, min(b, log.end) - max(a, begin)) for a, b in log.done)
        yield PartitionRow(
            log.partition,
            log.end,
            log.committed,
            lag,
            lag - done,
            name,
            report is not None and log.partition in report.paused,
            tuple(
                Elsewhere(run.offset, run.runner, round(run.until - log.read_at, 1))
                for run in log.runs
                if run.runner != name
            ),
        )


def _totals(members: Iterable[MemberRow], partitions: Sequence[PartitionRow]) -> Totals:
    heard = [
        (row.name, row.report)
        for row in members
        if row.report is not None and row.state is not State.SILENT
    ]
    running = [
        Oldest(name, report.oldest_running)
        for name, report in heard
        if report.oldest_running is not None
    ]
    return Totals(
        lag=sum(row.lag for row in partitions),
        backlog=sum(row.backlog for row in partitions),
        slots=sum(report.slots for _, report in heard),
        in_flight=sum(report.in_flight for _, report in heard),
        waiting=sum(report.waiting for _, report in heard),
        elsewhere=sum(len(row.elsewhere) for row in partitions),
        oldest_running=max(running, key=lambda one: one.question.seconds, default=None),
        questions=added(r.questions for _, r in heard if r.questions is not None),
    )
