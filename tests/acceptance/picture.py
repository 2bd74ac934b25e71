"""Panels of a dashboard, drawn from what a Prometheus has: a page of SVG, and its picture."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from playwright.async_api import async_playwright

from tests.support.browser import browser

WIDTH, HEIGHT = 382, 168
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 8, 22
PAGE = 1280
STATES_LEFT = 64
GAP = 2.5
"""Steps without a value after which a line ends."""
COLOURS = (
    *("#1f6fc5", "#e0851b", "#2f8f5b", "#b8322a", "#7c55b8", "#5f6b76", "#12919a", "#c2467f"),
    *("#8a6d1f", "#4456a6"),
)
NAMED = {
    "green": "#2f8f5b",
    "red": "#b8322a",
    "orange": "#e0851b",
    "blue": "#1f6fc5",
    "gray": "#5f6b76",
}
"""As Grafana names them."""
PALE = "#cfe6d8"
STYLE = """
* { box-sizing: border-box; margin: 0 }
body { font: 13px/1.4 system-ui, "Noto Sans", sans-serif; color: #1c2024; background: #fcfcfd;
       padding: 16px; width: 1280px }
h1 { font-size: 17px; margin-bottom: 12px } h1 small { font-weight: 400; color: #5f6b76 }
.figures { display: grid; grid-template-columns: repeat(6, 1fr) 2fr; gap: 12px }
.charts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin-top: 12px }
section { border: 1px solid #dfe3e8; border-radius: 8px; background: #fff; padding: 8px 12px }
h2 { font-size: 13px; font-weight: 600 } h2 small { font-weight: 400; color: #5f6b76 }
.figure b { font-size: 24px; display: block; line-height: 1.3 }
.states { display: flex; gap: 6px; margin-top: 6px }
.states span { flex: 1; border-radius: 4px; color: #fff; padding: 4px 6px; text-align: center;
               font-size: 12px }
svg { display: block; margin: 4px 0 0 -4px } text { font-size: 11px; fill: #5f6b76 }
.legend { display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 12px; color: #39424b }
.legend i { display: inline-block; width: 12px; height: 3px; border-radius: 2px; margin-right: 5px;
            vertical-align: middle }
"""

Points = Sequence[tuple[float, float]]


class Line(NamedTuple):
    name: str
    points: Points


class Figure(NamedTuple):
    """`value`: None where there is none. `red`: from which value on it is."""

    title: str
    unit: str
    value: float | None
    red: float | None


class States(NamedTuple):
    """`bad`: by name."""

    title: str
    bad: dict[str, bool]


class Chart(NamedTuple):
    """`colours`: of lines, by their names. `states`: what each value means and its colour; each
    line is a band of its own.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    stacked: bool
    colours: Mapping[str, str]
    states: Mapping[float, tuple[str, str]]

    def colour(self, number: int) -> str:
        named = self.colours.get(self.lines[number].name)
        return COLOURS[number % len(COLOURS)] if named is None else NAMED[named]


def drawn(
    title: str,
    figures: Sequence[Figure | States],
    charts: Sequence[Chart],
    begun: float,
    ended: float,
    step: float,
) -> str:
    """The page. Times are Unix seconds."""
    span = Span(begun, ended, step)
    return (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body><h1>{title}</h1>"
        f"<div class=figures>{''.join(map(_figure, figures))}</div>"
        f"<div class=charts>{''.join(_chart(chart, span) for chart in charts)}</div>"
    )


async def shot(page: str, into: Path) -> None:
    """As a browser shows it."""
    chromium = browser()
    with TemporaryDirectory(prefix="penstock-") as folder:
        file = Path(folder) / "page.html"
        file.write_text(page)
        async with async_playwright() as playwright:
            opened = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            view = await opened.new_page(viewport={"width": PAGE, "height": 600})
            await view.goto(file.as_uri())
            await view.screenshot(path=into, full_page=True)
            await opened.close()


class Span(NamedTuple):
    begun: float
    ended: float
    step: float
    left: float = LEFT

    def x(self, at: float) -> float:
        part = (at - self.begun) / (self.ended - self.begun)
        return self.left + part * (WIDTH - self.left - RIGHT)


def told(value: float, unit: str) -> str:
    """With its unit, in three digits."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    if unit == "s" and value >= 60:
        return f"{value / 60:.3g} min"
    large = f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"
    return large + {"s": " s", "reqps": "/s", "cps": "/s"}.get(unit, "")


def _figure(one: Figure | States) -> str:
    if isinstance(one, States):
        spans = "".join(
            f'<span style="background: {"#b8322a" if bad else "#2f8f5b"}">{escape(name)}<br>'
            f"<strong>{'stopped' if bad else 'runs'}</strong></span>"
            for name, bad in one.bad.items()
        )
        return f"<section><h2>{one.title}</h2><div class=states>{spans}</div></section>"
    red = one.red is not None and one.value is not None and one.value >= one.red
    value = "-" if one.value is None else told(one.value, one.unit)
    colour = "#b8322a" if red else "#1c2024"
    told_as = f'<b style="color: {colour}">{value}</b>'
    return f"<section class=figure><h2>{one.title}</h2>{told_as}</section>"


def _chart(chart: Chart, span: Span) -> str:
    if chart.states:
        span = span._replace(left=STATES_LEFT)
        inside = _bands(chart, span)
        keys = [(text, NAMED[colour]) for text, colour in _seen_states(chart)]
    else:
        inside = _curves(chart, span)
        keys = [(line.name, chart.colour(n)) for n, line in enumerate(chart.lines)]
    legend = "".join(
        f'<span><i style="background: {colour}"></i>{escape(name)}</span>' for name, colour in keys
    )
    return (
        f"<section><h2>{chart.title}</h2><svg width={WIDTH} height={HEIGHT}>"
        f"{''.join(_times(span))}{''.join(inside)}</svg><div class=legend>{legend}</div></section>"
    )


def _seen_states(chart: Chart) -> list[tuple[str, str]]:
    seen = {value for line in chart.lines for _, value in line.points}
    return [told for value, told in chart.states.items() if value in seen]


def _times(span: Span) -> Iterator[str]:
    for seconds in range(0, int(span.ended - span.begun) + 1, 30):
        x, clock = span.x(span.begun + seconds), f"{seconds // 60}:{seconds % 60:02}"
        yield f'<line x1={x} x2={x} y1={TOP} y2={HEIGHT - BOTTOM} stroke="#eef1f4"/>'
        yield f"<text x={x} y={HEIGHT - 6} text-anchor=middle>{clock}</text>"


def _curves(chart: Chart, span: Span) -> Iterator[str]:
    lines = _stacked(chart.lines, span.step) if chart.stacked else chart.lines
    most = max((value for line in lines for _, value in line.points), default=0) or 1
    tick = _tick(most)
    top = math.ceil(most / tick - 1e-9) * tick

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    for n in range(round(top / tick) + 1):
        at = y(n * tick)
        yield f'<line x1={LEFT} x2={WIDTH - RIGHT} y1={at} y2={at} stroke="#e3e7ec"/>'
        yield f"<text x={LEFT - 5} y={at + 4} text-anchor=end>{told(n * tick, chart.unit)}</text>"
    # The topmost of a stack first: those below lie on it.
    for n, line in reversed(list(enumerate(lines))):
        colour = chart.colour(n)
        for run in _runs(line.points, span.step):
            path = " ".join(f"{span.x(at):.1f},{y(value):.1f}" for at, value in run)
            if chart.stacked:
                ends = f"{span.x(run[-1][0]):.1f},{y(0)} {span.x(run[0][0]):.1f},{y(0)}"
                yield f'<polygon points="{path} {ends}" fill="#fff"/>'
                yield f'<polygon points="{path} {ends}" fill="{colour}" fill-opacity=.3 />'
            yield (
                f'<polyline points="{path}" fill=none stroke="{colour}" stroke-width=1.5 '
                "stroke-linejoin=round />"
            )


def _tick(most: float) -> float:
    """Three or four of them, round in decimals."""
    size = 10.0 ** math.floor(math.log10(most / 3))
    return next(size * n for n in (1, 2, 2.5, 5, 10) if most / (size * n) <= 4)


def _stacked(lines: Sequence[Line], step: float) -> list[Line]:
    """Each on those before it; where one has no value it is none."""
    times = sorted({round(at / step) for line in lines for at, _ in line.points})
    below = dict.fromkeys(times, 0.0)
    found = []
    for line in lines:
        for at, value in line.points:
            below[round(at / step)] += value
        found.append(Line(line.name, [(at * step, below[at]) for at in times]))
    return found


def _runs(points: Points, step: float) -> list[list[tuple[float, float]]]:
    """What is drawn in one go: between two gaps."""
    found: list[list[tuple[float, float]]] = [[points[0]]] if points else []
    for earlier, later in pairwise(points):
        if later[0] - earlier[0] > GAP * step:
            found.append([])
        found[-1].append(later)
    return found


def _bands(chart: Chart, span: Span) -> Iterator[str]:
    height = (HEIGHT - TOP - BOTTOM) / max(1, len(chart.lines))
    for n, line in enumerate(chart.lines):
        top = TOP + n * height
        for state, points in groupby(line.points, key=lambda point: point[1]):
            held = list(points)
            x, to = span.x(held[0][0]), span.x(min(held[-1][0] + span.step, span.ended))
            colour = NAMED[chart.states[state][1]] if state else PALE
            yield (
                f"<rect x={x:.1f} y={top + 1:.1f} width={to - x:.1f} height={height - 2:.1f} "
                f'fill="{colour}"/>'
            )
        yield (
            f"<text x={span.left - 6} y={top + height / 2 + 4:.1f} text-anchor=end>"
            f"{escape(line.name)}</text>"
        )
