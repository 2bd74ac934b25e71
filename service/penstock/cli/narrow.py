"""Which parts of a line give way where a terminal is too narrow for all of them?"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size

Step = tuple[int, int]
"""Which part, and the cells it gives way to; 0: it is left out."""


def taken(widths: Iterable[int], between: int) -> int:
    """Cells of a line of parts so wide; `between`: cells from one part to the next."""
    there = [width for width in widths if width]
    return sum(there) + between * (len(there) - 1)


def narrowed(widths: Sequence[int], steps: Iterable[Step], room: int, between: int) -> list[int]:
    """As wide as they fit the room, if the steps suffice for that: one after the other is taken, no
    further than it must. The last part has what is left over.
    """
    now = list(widths)
    for at, least in steps:
        over = taken(now, between) - room
        if over > 0 and now[at] > least:
            now[at] = max(least, now[at] - over) if least else 0
    if now and now[-1]:
        now[-1] = min(widths[-1], now[-1] + max(0, room - taken(now, between)))
    return now


def cut_end(text: str, cells: int) -> str:
    """No wider, with an ellipsis where something is missing."""
    return text if cell_len(text) <= cells else f"{set_cell_size(text, cells - 1)}…"


def cut_middle(text: str, cells: int) -> str:
    """The same, of what differs at either end, such as an id."""
    if cell_len(text) <= cells:
        return text
    begin, end = cells // 2, (cells - 1) // 2
    tail = set_cell_size(text[::-1], end)[::-1]
    return f"{set_cell_size(text, begin)}…{tail}"
