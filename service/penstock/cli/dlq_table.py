"""How is a table printed: cut to a terminal's width, or whole for `grep`?"""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

BETWEEN = 2
"""Spaces from one column to the next."""
LEAST = 16
"""Cells that the last column has on any terminal."""


def write(names: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int]) -> None:
    """The last column is cut on a terminal. `numbers`: which columns hold them."""
    console = Console(highlight=False)
    cells = [list(names), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        *others, last = (
            cell.rjust(width) if at in numbers else set_cell_size(cell, width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        line = (" " * BETWEEN).join(others)
        room = max(LEAST, console.width - cell_len(line) - BETWEEN)
        if console.is_terminal and cell_len(last.rstrip()) > room:
            last = f"{set_cell_size(last, room - 1)}…"
        whole = f"{line}{' ' * BETWEEN}{last}".rstrip()
        style = "" if number else "bold"
        console.print(Text(whole, style), soft_wrap=True)


def plain(text: str) -> str:
    """On one line, and nothing in it commands a terminal: it may be anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
