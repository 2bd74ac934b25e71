"""What does the demo look like? The questions side by side, the state of the service below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penstock.cli.transcript import ANSWER, final, plain
from penstock.events.completion import Completion
from penstock.events.said import Event
from penstock.events.texts import Texts
from penstock.events.token import Token

PANEL_WIDTH = 36
PANEL_HEIGHTS = (4, 9)
"""Least and most, borders included."""

WIDE = 100
"""Columns from which on the status has room for every word."""

_COLOURS = {"waiting": "bright_black", "answering": "cyan", "completed": "green"}


@dataclass(slots=True)
class Asked:
    """One question and what is known of it. Times in monotonic seconds."""

    question: str
    texts: Texts = field(default_factory=Texts)
    tokens: int = 0
    turn: int | None = None
    """The how-manieth it is to be answered."""
    completion: Completion | None = None

    def add(self, event: Event) -> None:
        self.texts.add(event)
        if isinstance(event, Token):
            self.tokens += 1
        elif isinstance(event, Completion):
            self.completion = event

    @property
    def text(self) -> str:
        if self.completion is None:
            said = self.texts.fields()
            # Without an answer: what it says just now.
            return plain(said.get(ANSWER) or next(reversed(said.values()), ""))
        if self.completion.error is not None:
            return plain(self.completion.error.message)
        outputs = self.completion.outputs
        return "" if outputs is None else plain(final(self.completion.answer, outputs))

    @property
    def state(self) -> str:
        if self.completion is not None:
            return self.completion.status
        return "waiting" if self.turn is None else "answering"

    @property
    def note(self) -> str:
        """What there is to say about it in a corner."""
        if self.completion is None:
            return self.state if self.turn is None else f"{self.tokens} tokens"
        timing = self.completion.timing
        if self.state != "completed" or timing.duration_ms is None:
            return self.state
        waited, took = timing.queued_ms / 1000, timing.duration_ms / 1000
        tokens = self.completion.usage.completion_tokens
        return f"{tokens} tokens in {took:.1f} s, waited {waited:.1f} s"


@dataclass(frozen=True, slots=True)
class State:
    """The service at this moment."""

    in_kafka: int
    waiting: int
    running: int
    slots: int
    paused: int
    partitions: int
    tokens_per_second: float


def frame(console: Console, title: str, asked: Sequence[Asked], state: State) -> RenderableType:
    """Everything, as large as the terminal allows."""
    width, height = console.size
    columns = max(1, min(4, width // PANEL_WIDTH))
    least, most = PANEL_HEIGHTS
    # Title, status and the line of the cursor.
    room = max(least, height - 3)
    rows = min(math.ceil(len(asked) / columns), room // least)
    shown = _shown(asked, rows * columns)
    columns = math.ceil(len(shown) / rows)
    panel_height = min(most, room // rows)
    grid = Table.grid(expand=True)
    for _ in range(columns):
        grid.add_column(ratio=1)
    inner = width // columns - 4
    panels = [_panel(console, one, inner, panel_height) for one in shown]
    for start in range(0, len(panels), columns):
        grid.add_row(*panels[start : start + columns])
    heading = Text(title, style="bold", no_wrap=True, overflow="ellipsis")
    return Group(heading, grid, _status(asked, state, wide=width >= WIDE))


def _shown(asked: Sequence[Asked], places: int) -> list[Asked]:
    """All, or where there is no room: each in the place of one that had its turn long ago."""
    if len(asked) <= places:
        return list(asked)
    begun = sorted((one for one in asked if one.turn is not None), key=lambda one: one.turn or 0)
    ring: list[Asked | None] = [None] * places
    for number, one in enumerate(begun):
        ring[number % places] = one
    waiting = (one for one in asked if one.turn is None)
    return [one or next(waiting) for one in ring]


def _panel(console: Console, one: Asked, width: int, height: int) -> Panel:
    lines = Text(one.text).wrap(console, width)[-(height - 2) :]
    colour = _COLOURS.get(one.state, "red")
    return Panel(
        Text("\n").join(lines),
        title=Text(one.question, style="bold", no_wrap=True, overflow="ellipsis"),
        title_align="left",
        subtitle=Text(one.note, style=colour),
        subtitle_align="right",
        border_style=colour,
        height=height,
        padding=(0, 1),
    )


def _status(asked: Sequence[Asked], state: State, *, wide: bool) -> Text:
    ended = sum(one.completion is not None for one in asked)
    status = Text(no_wrap=True, overflow="ellipsis")
    status.append(f" answered {ended}/{len(asked)}", style="green" if ended else "")
    status.append(
        f" │ running {state.running}/{state.slots}", style="cyan" if state.running else ""
    )
    status.append(f" │ waiting {state.waiting} │ in Kafka {state.in_kafka}")
    if state.paused:
        what = " partitions" if wide else ""
        status.append(f" │ paused {state.paused}/{state.partitions}{what}", style="yellow")
    else:
        status.append(" │ intake open")
    if state.tokens_per_second:
        status.append(f" │ {state.tokens_per_second:.0f} tokens/s")
    return status
