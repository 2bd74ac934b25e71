"""What was found, for the eye."""

from rich.console import Console
from rich.table import Table

from tests.bench.result import Result

WIDTH = 120
"""Where there is no terminal to ask for it."""


def show(shown: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(shown)


def table(name: str, result: Result) -> Table:
    """A column for each program, a line for each figure; the conditions are below."""
    conditions = ", ".join(f"{what} {value}" for what, value in result.conditions.items())
    shown = Table(title=name, caption=conditions.replace("_", " "))
    shown.add_column(no_wrap=True)
    for subject in result.subjects:
        shown.add_column(subject, justify="right")
    figures = dict.fromkeys(what for found in result.subjects.values() for what in found)
    for what in figures:
        values = (found.get(what) for found in result.subjects.values())
        shown.add_row(
            what.replace("_", " "), *("" if value is None else f"{value:,}" for value in values)
        )
    return shown
