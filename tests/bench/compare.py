"""`python -m tests.bench.compare OLD NEW`: what has become better and what worse, as files of
`python -m tests.bench` tell it."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from tests.bench.figures import MORE_IS_BETTER
from tests.bench.machine import LOAD, MACHINE
from tests.bench.table import show

SAME_PERCENT = 3
"""What differs by no more may be chance."""
BUSY = 0.25
"""Of each core, by others."""
COLORS = {"better": "green", "worse": "red", "": ""}

Found = Mapping[str, Any]
"""As in a file: of the machine, and of each scenario its conditions and its subjects."""


@dataclass(frozen=True)
class Change:
    scenario: str
    subject: str
    figure: str
    old: float
    new: float
    noise: bool = False
    """Rounds of both gave the same."""

    @property
    def percent(self) -> float | None:
        """None: of nothing, or of less, it says nothing."""
        return (self.new / self.old - 1) * 100 if self.old > 0 else None

    @property
    def verdict(self) -> str:
        if self.noise or self.new == self.old or abs(self.percent or 100) <= SAME_PERCENT:
            return ""
        return "better" if (self.new > self.old) == (self.figure in MORE_IS_BETTER) else "worse"


def changes(old: Found, new: Found) -> Iterator[Change]:
    """Of all figures that are in both."""
    for scenario, subject, figure in _figures(old):
        after = new.get(scenario, {}).get("subjects", {}).get(subject, {})
        if figure in after:
            before = old[scenario]["subjects"][subject][figure]
            ranges = [_range(found, scenario, subject, figure) for found in (old, new)]
            noise = _overlap(*ranges)
            yield Change(scenario, subject, figure, before, after[figure], noise)


def _range(found: Found, scenario: str, subject: str, figure: str) -> Sequence[float] | None:
    """The lowest and the highest of several rounds."""
    spread: Mapping[str, Any] = found[scenario].get("spread", {}).get(subject, {})
    return spread.get(figure)


def _overlap(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def warnings(old: Found, new: Found) -> Iterator[str]:
    """Why the two may not compare."""
    for what in old[MACHINE] | new[MACHINE]:
        before, after = (found[MACHINE].get(what) for found in (old, new))
        if what != LOAD and before != after:
            yield f"{what}: {before} then, {after} now"
    for name, found in (("old", old), ("new", new)):
        if found[MACHINE][LOAD] > BUSY * found[MACHINE]["cores"]:
            yield f"the {name} machine was busy: its load was {found[MACHINE][LOAD]}"
    for scenario in _scenarios(old):
        if scenario not in new:
            yield f"{scenario}: only in the old file"
        elif old[scenario]["conditions"] != new[scenario]["conditions"]:
            yield f"{scenario}: {_differing(old[scenario], new[scenario])} differ"


def _scenarios(found: Found) -> list[str]:
    return [name for name in found if name != MACHINE]


def _figures(found: Found) -> Iterator[tuple[str, str, str]]:
    for scenario in _scenarios(found):
        for subject, figures in found[scenario]["subjects"].items():
            for figure in figures:
                yield scenario, subject, figure


def _differing(old: Found, new: Found) -> str:
    before, after = old["conditions"], new["conditions"]
    return ", ".join(what for what in before | after if before.get(what) != after.get(what))


def table(found: Iterator[Change]) -> Table:
    shown = Table()
    for name in ("scenario", "program", "figure"):
        shown.add_column(name, no_wrap=name == "figure")
    for name in ("old", "new", "change"):
        shown.add_column(name, justify="right")
    shown.add_column()
    for change in found:
        percent = "" if change.percent is None else f"{change.percent:+.1f} %"
        what = (change.scenario, change.subject, change.figure.replace("_", " "))
        numbers = (f"{change.old:,}", f"{change.new:,}", percent)
        shown.add_row(*what, *numbers, change.verdict, style=COLORS[change.verdict])
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.compare", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    old, new = (orjson.loads(path.read_bytes()) for path in (arguments.old, arguments.new))
    for warning in warnings(old, new):
        print(f"Warning: {warning}", file=sys.stderr)
    show(table(changes(old, new)))


if __name__ == "__main__":
    main()
