"""What was compared, on a terminal: how many of what, side by side, and the first differences."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.cli.compare_words import DIFFER, outcome_name, rows, value, why
from penstock.cli.transcript import plain
from penstock.replay.comparison import OUTCOMES, Compared, outputs
from penstock.replay.word_diff import Kind, word_diff

COLUMNS = 100
"""Where there is no terminal that says how many it has."""
AROUND, LONGEST = 40, 500
"""Characters of what is the same around a change, and of a diff."""

_MARKS: Mapping[Kind, tuple[str, str]] = {
    "same": ("", ""),
    "gone": ("[-", "-]"),
    "new": ("{+", "+}"),
}
"""As wdiff's."""
_STYLES: Mapping[Kind, str] = {"same": "", "gone": "red", "new": "green"}
_COLOURS = {"changed": "yellow", "newly_failed": "red", "newly_fixed": "green"}


@contextmanager
def as_text(limit: int) -> Iterator["Screen"]:
    """On stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = COLUMNS
    yield Screen(console, limit)


class Screen:
    """The totals come first, so it keeps the first differences; `limit`: so many of them."""

    def __init__(self, console: Console, limit: int) -> None:
        self._console = console
        self._limit = limit
        self._differences: list[Text] = []

    def add(self, one: Compared) -> None:
        if one.outcome in DIFFER and len(self._differences) < self._limit:
            self._differences.append(_difference(one))

    def end(self, summary: Mapping[str, Any]) -> None:
        show = self._console.print
        show(Text(f"Replay {plain(summary['replay'])}: {summary['questions']:,} questions"))
        for side in ("original", "replay"):
            show(Text(f"  {side:<10}{', '.join(map(plain, summary['programs'][side]))}"))
        show(_outcomes(summary))
        show(_sides(summary))
        if raised := (metric := summary.get("metric", {})).get("raised"):
            show(
                Text(f"The metric raised for {raised:,} questions: {plain(metric['first_raised'])}")
            )
        for text in self._differences:
            show()
            show(text)
        count = sum(summary["outcomes"][outcome] for outcome in DIFFER)
        if left := count - len(self._differences):
            show(Text(f"\n{left:,} more differ: --limit, --html or --output json shows them."))


def _outcomes(summary: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for outcome, means in OUTCOMES.items():
        count = summary["outcomes"][outcome]
        part = f"{count / summary['questions']:.1%}" if summary["questions"] else ""
        style = _COLOURS.get(outcome, "") if count else ""
        table.add_row(Text(f"  {outcome_name(outcome)}", style), f"{count:,}", part, means)
    if summary["not_replayed"]:
        table.add_row("  not replayed", f"{summary['not_replayed']:,}", "", "has no answer of it")
    return table


def _sides(summary: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for name in ("original", "replay", ""):
        table.add_column(name, justify="right")
    for what, *cells in rows(summary):
        table.add_row(Text(f"  {plain(what)}"), *cells)
    return table


def _difference(one: Compared) -> Text:
    text = Text()
    text.append(outcome_name(one.outcome), _COLOURS[one.outcome])
    text.append(f"  {plain(one.question_id)}  partition {one.partition}, offset {one.offset}")
    if one.outcome == "newly_failed":
        text.append(f"\n  {_short(plain(why(one.replay)))}")
    elif one.outcome == "newly_fixed":
        text.append(f"\n  was {_short(plain(why(one.original)))}")
    before, after = outputs(one.original), outputs(one.replay)
    for name in one.fields:
        text.append(f"\n  {plain(name)}: ")
        old, new = (value(side[name]) if name in side else "" for side in (before, after))
        _append_diff(text, plain(old), plain(new))
    return text


def _append_diff(text: Text, old: str, new: str) -> None:
    left = LONGEST
    pieces = word_diff(old, new)
    for number, piece in enumerate(pieces):
        if left <= 0:
            text.append(" ...")
            return
        said = piece.text
        if piece.kind == "same":
            said = _middle_cut(said, first=number == 0, last=number == len(pieces) - 1)
        before, after = _MARKS[piece.kind]
        text.append(f"{before}{said[:left]}{after}", _STYLES[piece.kind])
        left -= len(said)


def _middle_cut(text: str, *, first: bool, last: bool) -> str:
    """What is the same is told as far as it stands beside a change."""
    head, tail = "" if first else text[:AROUND], "" if last else text[-AROUND:]
    return text if len(text) <= len(head) + len(tail) else f"{head}...{tail}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
