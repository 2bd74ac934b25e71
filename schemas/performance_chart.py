"""The chart of the README: how near to the model's limit, and at what cost, in ten seconds.

SVG by hand: the same bytes from the same figures wherever it is written, and no library for nine
bars. GitHub shows a picture as it is: for its dark pages there is one of its own.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from schemas.performance import FLOOR, PENSTOCK, REFERENCE, Run

DOCS = Path("docs")


class Colors(NamedTuple):
    text: str
    quiet: str
    ours: str
    others: str
    limit: str


# Those of GitHub's own pages.
LIGHT = Colors("#1f2328", "#59636e", "#0969da", "#afb8c1", "#bc4c00")
DARK = Colors("#e6edf3", "#9198a1", "#4493f8", "#656c76", "#f0883e")
PICTURES = {"performance.svg": LIGHT, "performance-dark.svg": DARK}

NAMES = {
    PENSTOCK: ("Penstock", "DSPy, every guarantee"),
    REFERENCE: ("Reference", "aiokafka + dspy.streamify"),
    FLOOR: ("Floor", "no DSPy, no guarantee"),
}


class Panel(NamedTuple):
    """`limited`: the scenario's limit is drawn, and all is as wide as it is."""

    title: str
    better: str
    scenario: str
    figure: str
    digits: int
    limited: bool


PANELS = (
    Panel(
        "Questions/s, 64 slots", "more is better", "saturation-64", "questions_per_second", 0, True
    ),
    Panel(
        "Questions/s, 256 slots",
        "more is better",
        "saturation-256",
        "questions_per_second",
        0,
        True,
    ),
    Panel(
        "CPU ms per question, 64 slots",
        "less is better",
        "saturation-64",
        "cpu_ms_per_question",
        1,
        False,
    ),
)

NAMES_WIDE, PANEL_WIDE, BAR_WIDE, NUMBER_WIDE = 176, 240, 170, 42
TOP, ROW, BAR = 74, 46, 26
WIDE = NAMES_WIDE + PANEL_WIDE * len(PANELS) - (PANEL_WIDE - BAR_WIDE - NUMBER_WIDE) + 2
HIGH = TOP + ROW * len(NAMES) + 22


def charts(run: Run) -> dict[str, str]:
    """File name to content."""
    return {name: "\n".join(_svg(run, colors)) + "\n" for name, colors in PICTURES.items()}


def _svg(run: Run, colors: Colors) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" role="img" '
        "font-family=\"-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, "
        'Arial, sans-serif" font-size="13">'
    )
    yield "<title>Questions per second beside the model's limit, and CPU per question</title>"
    for row, (name, what) in enumerate(NAMES.values()):
        middle = TOP + row * ROW + BAR / 2
        weight = "600" if row == 0 else "400"
        yield _text(0, middle - 1, name, colors.text, weight=weight)
        yield _text(0, middle + 14, what, colors.quiet, size=11)
    for number, panel in enumerate(PANELS):
        yield from _panel(run, panel, NAMES_WIDE + number * PANEL_WIDE, colors)
    yield "</svg>"


def _panel(run: Run, panel: Panel, left: int, colors: Colors) -> Iterator[str]:
    values = [run.value(panel.scenario, subject, panel.figure) or 0.0 for subject in NAMES]
    limit = run.conditions(panel.scenario)["limit_per_second"] if panel.limited else None
    scale = BAR_WIDE / max(*values, limit or 0)
    yield _text(left, 20, panel.title, colors.text, weight="600")
    yield _text(left, 36, panel.better, colors.quiet, size=11)
    for row, value in enumerate(values):
        top = TOP + row * ROW
        color = colors.ours if row == 0 else colors.others
        yield (
            f'<rect x="{left}" y="{top}" width="{value * scale:.1f}" height="{BAR}" rx="3" '
            f'fill="{color}"/>'
        )
        told = f"{value:,.{panel.digits}f}"
        weight = "600" if row == 0 else "400"
        right, middle = left + BAR_WIDE + NUMBER_WIDE, top + BAR / 2 + 5
        yield _text(right, middle, told, colors.text, weight=weight, anchor="end")
    if limit is not None:
        right, bottom = left + limit * scale, TOP + ROW * len(values) - ROW + BAR + 6
        yield (
            f'<line x1="{right:.1f}" y1="{TOP - 8}" x2="{right:.1f}" y2="{bottom}" '
            f'stroke="{colors.limit}" stroke-width="1.5" stroke-dasharray="4 3"/>'
        )
        told = f"the model's limit {limit:.0f}"
        yield _text(right, TOP - 13, told, colors.limit, size=11, anchor="end")


def _text(
    x: float,
    y: float,
    text: str,
    color: str,
    *,
    size: int = 13,
    weight: str = "400",
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{color}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
