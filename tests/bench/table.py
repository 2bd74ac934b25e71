"""What was found, for a terminal."""

from rich.table import Table

from tests.bench.result import Result


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
