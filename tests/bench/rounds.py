"""Every measurement several times, in turn: the noise of the machine is seen beside the figure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from typing import Any

from tests.bench.figures import Figures, Spread
from tests.bench.result import Result, say

Measurement = Callable[[], Awaitable[Figures]]
Beside = Callable[[Mapping[str, Figures]], Mapping[str, Figures]]
"""What the figures of one round are to each other: only what ran side by side compares."""

DIGITS = 3


async def in_rounds(
    measurements: Mapping[str, Measurement],
    rounds: int,
    conditions: Mapping[str, Any],
    beside: Beside = dict,
) -> Result:
    """The medians of all rounds. Every other one goes backwards: what slows down or warms up
    meanwhile is to the advantage of nobody.
    """
    found = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        forth = [*measurements]
        figures = {name: await measurements[name]() for name in forth[:: (-1) ** number]}
        found.append(beside({name: figures[name] for name in forth}))
    return medians(found, conditions)


def medians(found: Sequence[Mapping[str, Figures]], conditions: Mapping[str, Any]) -> Result:
    """`found`: what each round gave of each subject."""
    subjects = {name: _medians([one[name] for one in found]) for name in found[0]}
    spread = {name: _spread([one[name] for one in found]) for name in found[0]}
    told = {**conditions, "rounds": len(found)}
    return Result(told, subjects, spread if len(found) > 1 else {})


def _medians(found: Sequence[Figures]) -> Figures:
    return {what: round(median(one[what] for one in found), DIGITS) for what in found[0]}


def _spread(found: Sequence[Figures]) -> Spread:
    values = {what: [one[what] for one in found] for what in found[0]}
    return {what: (min(of), max(of)) for what, of in values.items()}
