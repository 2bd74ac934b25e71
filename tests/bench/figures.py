"""From what was seen to figures, and which way of each is the better one."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import quantiles

Figures = dict[str, float]
Spread = dict[str, tuple[float, float]]
"""Of each figure the lowest and the highest."""

MORE_IS_BETTER = frozenset({"questions_per_second", "ratio_to_limit", "rate_to_floor"})
"""All others are what something costs."""

FLOOR = "floor"
RATIOS = {"questions_per_second": "rate_to_floor", "cpu_ms_per_question": "cpu_to_floor"}
"""Figures that are told as a ratio to the floor's, too, and as what."""
DIFFERENCES = {
    "first_token_added_ms_p50": "first_token_over_floor_ms_p50",
    "call_to_token_added_ms_p50": "call_to_token_over_floor_ms_p50",
}
"""As above, as a difference."""


def per_second(timestamps: Iterable[int], slots: int, settle_ms: float = 0) -> float:
    """Of completions, without those of the first and the last questions in every slot: while the
    slots fill up and run out, what is measured is not the program.

    Args:
        timestamps: in milliseconds, in any order.
        slots: how many questions run at once.
        settle_ms: after the first completion, how much more does not count.

    Raises:
        ValueError: too few are left.
    """
    times = sorted(timestamps)
    full = [at for at in times[slots - 1 : -slots] if at >= times[0] + settle_ms]
    if len(full) < 2 or full[0] == full[-1]:
        raise ValueError(f"{len(times)} completions of {slots} slots give no rate")
    return (len(full) - 1) * 1000 / (full[-1] - full[0])


def percentile(values: Sequence[float], percent: int) -> float:
    """Between the two values next to it. Of one value: that."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def middle_and_tail(name: str, values: Sequence[float]) -> Figures:
    return {f"{name}_p{p}": round(percentile(values, p), 2) for p in (50, 95, 99)}


def beside_floor(subjects: Mapping[str, Figures]) -> dict[str, Figures]:
    """Each with its ratios to the floor, where there is one."""
    if (floor := subjects.get(FLOOR)) is None:
        return dict(subjects)
    return {name: figures | _beside(figures, floor) for name, figures in subjects.items()}


def _beside(figures: Figures, floor: Figures) -> Figures:
    ratios = {
        told: round(figures[name] / floor[name], 3)
        for name, told in RATIOS.items()
        if name in figures and floor.get(name)
    }
    differences = {
        told: round(figures[name] - floor[name], 2)
        for name, told in DIFFERENCES.items()
        if name in figures and name in floor
    }
    return ratios | differences
