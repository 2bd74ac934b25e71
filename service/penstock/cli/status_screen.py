"""What does the status of a group look like? A few lines and two tables, 100 columns wide."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.cli.transcript import plain
from penstock.events.member import Cause, Member
from penstock.status import MemberRow, PartitionRow, Pause, State, Status

_STYLES = {
    State.UP: "green",
    State.DRAINING: "cyan",
    State.OUTSIDE: "yellow",
    State.UNREPORTED: "yellow",
    State.SILENT: "red",
}

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def screen(found: Status, trouble: str | None = None) -> RenderableType:
    """`trouble`: why it is not of now."""
    lines = [_heading(found), _work(found), *_sums(found), *_oldest(found), *_dead(found)]
    lines += [*_gates(found.members), *map(_paused, found.pauses)]
    if trouble is not None:
        lines.insert(0, Text(plain(trouble), style="red"))
    return Group(*lines, "", _members(found.members), "", _partitions(found.partitions))


def _heading(found: Status) -> Text:
    members, partitions = len(found.members), len(found.partitions)
    return Text.assemble(
        "group ",
        (plain(found.group), "bold"),
        f"  {found.state}, {_count(members, 'member')}, {_count(partitions, 'partition')}",
        (f"  {found.at}", "dim"),
    )


def _work(found: Status) -> Text:
    totals = found.totals
    return Text(
        f"lag {totals.lag}, backlog {totals.backlog}, waiting {totals.waiting}, "
        f"running {totals.in_flight}/{totals.slots}, elsewhere {totals.elsewhere}"
    )


def _sums(found: Status) -> Iterator[Text]:
    if (sums := found.totals.questions) is not None:
        said = f"since their starts: {_count(sums.total, 'question')}, {sums.active} active, "
        said += _count(sums.errors, "error")
        if (average := sums.average_duration_ms) is not None:
            said += f", {_time(average / 1000)} on average"
        yield Text(said)


def _oldest(found: Status) -> Iterator[Text]:
    if (oldest := found.totals.oldest_running) is not None:
        question = oldest.question
        yield Text(
            f"oldest running: {plain(question.question_id)} (partition {question.partition}, "
            f"offset {question.offset}), for {_time(question.seconds)}"
        )


def _dead(found: Status) -> Iterator[Text]:
    if (letters := found.dead_letters) is not None:
        hour, day = letters.last_hour, letters.last_day
        said = f"dead letters: {hour} in the last hour, {day} in the last 24 h, at most"
        yield Text(said, style="yellow" if hour else "")


def _gates(rows: Sequence[MemberRow]) -> Iterator[Text]:
    """One line for each kind of failure, whatever the members' messages say."""
    shut: dict[tuple[str, str], list[Cause | None]] = {}
    for row in rows:
        report = row.report
        if report is None or row.state is State.SILENT or not report.gate_shut:
            continue
        cause = report.gate_cause
        shut.setdefault(("", "") if cause is None else (cause.kind, cause.code), []).append(cause)
    for causes in shut.values():
        why = "" if causes[0] is None else f": {_said(causes[0])}"
        where = f"{len(causes)} of {_count(len(rows), 'member')}"
        yield Text(
            plain(f"gate shut on {where}{why} ; see to it, then: penstock resume"), style="red"
        )


def _said(cause: Cause) -> str:
    message = " ".join(cause.message.split())
    return f'{cause.kind} {cause.code}, "{message}"'


def _paused(pause: Pause) -> Text:
    said = [f"paused: {pause.scope} for {_time(pause.seconds)}", *_why(pause.value)]
    return Text(plain(", ".join(said)), style="yellow")


def _why(value: Any) -> list[str]:
    """What whoever paused it has left beside it."""
    if not isinstance(value, dict):
        return [str(value)]
    more = {name: said for name, said in value.items() if name not in {"type", "scope"}}
    return [f"{name} {said}" for name, said in more.items() if said]


def _members(rows: Iterable[MemberRow]) -> Table:
    table = _table("member", "host", "version", "partitions", "running", "waiting", "oldest")
    table.add_column("state")
    for row in rows:
        style = _STYLES[row.state]
        state = Text(row.state, style=style)
        if row.silent_seconds is not None:
            state.append(f" for {_time(row.silent_seconds)}")
        report = row.report
        host, told = (row.host, [""] * 4) if report is None else (report.host, _told(report))
        version, *work = told
        cells = [row.name, host, version, _ranges(row.partitions), *work]
        for note in () if report is None or row.state is State.SILENT else _notes(report):
            state.append(f", {note}")
        table.add_row(*(Text(plain(cell)) for cell in cells), state)
    return table


def _told(report: Member) -> list[str]:
    oldest = report.oldest_running
    return [
        report.version,
        f"{report.in_flight}/{report.slots}",
        str(report.waiting),
        "" if oldest is None else _time(oldest.seconds),
    ]


def _notes(report: Member) -> Iterator[str]:
    if report.gate_shut:
        yield "gate shut"
    if report.paused:
        yield f"paused {_ranges(report.paused)}"
    if report.retrying:
        yield f"retrying {report.retrying}"
    if report.held:
        yield f"held {report.held}"
    for name, model in report.models.items():
        if model.shut is not None:
            yield plain(f"{name}: {model.shut}")
    for name, model in report.models.items():
        if round(model.limit) != report.slots:
            yield plain(f"{name}: limit {model.limit:.0f}")


def _partitions(rows: Iterable[PartitionRow]) -> Table:
    table = _table("partition", "end", "committed", "lag", "backlog", "elsewhere", "owner")
    for row in rows:
        owner = Text("nobody", "yellow") if row.owner is None else Text(plain(row.owner))
        if row.paused:
            owner.append(" (paused)", "yellow")
        numbers = (row.partition, row.end, row.committed, row.lag, row.backlog, len(row.elsewhere))
        table.add_row(*("" if number is None else str(number) for number in numbers), owner)
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, max_width=24, overflow="ellipsis" if name == "host" else "fold")
    return table


def _ranges(numbers: Sequence[int]) -> str:
    """`0-2,5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _time(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds / size:.1f} {unit}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
