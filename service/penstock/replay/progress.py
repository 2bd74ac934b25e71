"""How far has a replay come, all members together?"""

from collections import deque
from collections.abc import Collection, Mapping
from typing import NamedTuple

from penstock.core.offset_map import DoneBeyond
from penstock.replay.plan import Plan

WINDOW = 30.0
"""Seconds over which the rate is taken."""


class Progress(NamedTuple):
    """`left`: the partitions that are not at their end."""

    done: int
    records: int
    left: frozenset[int]

    @property
    def over(self) -> bool:
        return not self.left


def progress(plan: Plan, commits: Mapping[int, DoneBeyond | None]) -> Progress:
    """By partition, what the group's commits say."""
    done, left = 0, set()
    for number, wanted in plan.selections.items():
        commit = commits.get(number)
        if commit is None or commit.committed < wanted.end:
            left.add(number)
        if commit is not None:
            done += wanted.count(end=commit.committed)
            done += sum(wanted.count(a, b) for a, b in commit.ranges)
    return Progress(done, plan.records, frozenset(left))


def pace(plan: Plan, now: Progress, ours: Collection[int]) -> float | None:
    """Our share of the rate, by the partitions that are left; at least what one of them has."""
    if plan.rate is None:
        return None
    mine = len(now.left.intersection(ours))
    return plan.rate * max(1, mine) / max(1, len(now.left))


class Speed:
    """Of late."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, done: int, now: float) -> None:
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """0 where nothing is known yet."""
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        return (after - before) / (ended - began) if ended > began else 0.0
