"""How is a table printed: to a person's width, or whole for `grep`?"""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def write(names: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int]) -> None:
    """The last column is cut on a terminal. `numbers`: which columns hold them."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    if sys.stdout.isatty():
        table = Table(box=None, header_style="bold", pad_edge=False)
        for at, name in enumerate(names):
            table.add_column(
                name,
                justify="right" if at in numbers else "left",
                no_wrap=True,
                overflow="ellipsis",
                min_width=None if at == len(names) - 1 else widths[at],
            )
        for row in cells:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
        return
    for row in [list(names), *cells]:
        padded = (
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(padded).rstrip())


def plain(text: str) -> str:
    """On one line, and nothing in it commands a terminal: it may be anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
