"""What was found, for the eye."""

from rich.console import Console
from rich.table import Table

from tests.bench.result import Result

WIDTH = 140
"""Where there is no terminal to ask for it."""


def show(shown: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(shown)


def table(name: str, result: Result) -> Table:
    """A column for each program, a line for each figure; the conditions are below. In parentheses
    the lowest and the highest of all rounds."""
    conditions = ", ".join(f"{what} {value}" for what, value in result.conditions.items())
    shown = Table(title=name, caption=conditions.replace("_", " "))
    shown.add_column(no_wrap=True)
    for subject in result.subjects:
        shown.add_column(subject, justify="right")
    figures = dict.fromkeys(what for found in result.subjects.values() for what in found)
    for what in figures:
        shown.add_row(
            what.replace("_", " "), *(_cell(result, subject, what) for subject in result.subjects)
        )
    return shown


def _cell(result: Result, subject: str, what: str) -> str:
    value = result.subjects[subject].get(what)
    if value is None:
        return ""
    spread = result.spread.get(subject, {}).get(what)
    return f"{value:,}" + (f" ({spread[0]:,} .. {spread[1]:,})" if spread else "")
