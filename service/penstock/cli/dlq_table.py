"""How is a table printed: as wide as the terminal, or whole for `grep`?"""

from collections.abc import Collection, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from penstock.cli.narrow import cut_end, cut_middle, narrowed, taken

BETWEEN = 2
"""Spaces from one column to the next."""

Gives = Sequence[tuple[str, int]]
"""Columns that give way where the terminal is too narrow, in turn, and the cells they give way to;
0: the column is left out. All others are whole."""


def write(
    console: Console,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Collection[int] = (),
    gives: Gives = (),
) -> None:
    """On a terminal the last column is cut at its end, others in the middle. `numbers`: which
    columns hold them.
    """
    widths = _widths(console, names, rows, gives)
    for number, row in enumerate((names, *rows)):
        cells = []
        for at, (cell, width) in enumerate(zip(map(escaped, row), widths, strict=True)):
            cut = (cut_end if at == len(names) - 1 else cut_middle)(cell, width)
            padded = cut.rjust(width) if at in numbers else set_cell_size(cut, width)
            cells += [padded] if width else []
        line = (" " * BETWEEN).join(cells).rstrip()
        console.print(Text(line, "" if number else "bold"), soft_wrap=True)


def fits(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[str]], gives: Gives = ()
) -> bool:
    """Whether a line of it is no wider than the terminal; elsewhere any is."""
    widths = _widths(console, names, rows, gives)
    return not console.is_terminal or taken(widths, BETWEEN) <= console.width


def _widths(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[str]], gives: Gives
) -> list[int]:
    cells = [list(names), *([escaped(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if not console.is_terminal:
        return widths
    steps = [(names.index(name), least) for name, least in gives]
    return narrowed(widths, steps, console.width, BETWEEN)


def escaped(text: str) -> str:
    """On one line, and nothing in it commands a terminal: it may be anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
