"""Which running work does another member finish?

A member whose partition goes to another says in its last commit what it still runs, and until when
it may. The next owner does not start that; it waits for the completions. The commit's entries of
one runner are a text: for each run how far its offset is from the one before, and the tenths of a
second that are left, in LEB128 and base 85.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from penstock.core.offset_map import from_leb128, from_text, leb128, to_text

TICKS = 10
"""A second, as an entry counts."""


class Run(NamedTuple):
    """A started question that is not done.

    Args:
        offset: of the question.
        runner: the random name of the process that has it.
        until: monotonic seconds up to which that process may say something of it.
    """

    offset: int
    runner: str
    until: float


def encode(runs: Iterable[Run], committed: int, now: float) -> dict[str, str]:
    """By runner. Times go as what is left of them, for another clock will count it."""
    by_runner: dict[str, list[Run]] = {}
    for run in sorted(runs):
        by_runner.setdefault(run.runner, []).append(run)
    return {
        runner: to_text(_written(entries, committed, now)) for runner, entries in by_runner.items()
    }


def decode(text: Mapping[str, str], committed: int, now: float) -> Iterator[Run]:
    """As read at `now`, which is later than it was written: what is left is never too little.

    Raises:
        ValueError: `encode` never wrote that.
    """
    for runner, entries in text.items():
        numbers = list(from_leb128(from_text(entries)))
        if len(numbers) % 2:
            raise ValueError("a run without an end")
        if max(numbers, default=0) >= 1 << 63:
            raise ValueError("a run for ever")
        offset = committed
        for distance, ticks in zip(numbers[::2], numbers[1::2], strict=True):
            offset += distance
            yield Run(offset, runner, now + ticks / TICKS)


def letters(runs: Iterable[Run], committed: int, now: float) -> int:
    """What they take of a commit's space, with their runners' names."""
    written = encode(runs, committed, now)
    return sum(len(runner) + len(text) + len('"":"",') for runner, text in written.items())


def _written(runs: Iterable[Run], committed: int, now: float) -> bytes:
    written = bytearray()
    at = committed
    for run in runs:
        left = max(0, math.ceil((run.until - now) * TICKS))
        written += leb128(run.offset - at) + leb128(left)
        at = run.offset
    return bytes(written)


class Holds:
    """What other processes still run of one partition of ours.

    Nothing of it starts before its time is over, a margin has passed, and everything has been
    read that was completed until then.

    Args:
        runs: of others.
        position: up to which the completions have been read, and applied.
        margin: seconds that a request may take to arrive after its sender's time is over.
    """

    def __init__(self, runs: Iterable[Run], position: int, margin: float) -> None:
        self.position = position
        self._runs = {run.offset: run for run in runs}
        self._margin = margin

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, offset: int) -> bool:
        return offset in self._runs

    def add(self, run: Run) -> None:
        self._runs[run.offset] = run

    def entries(self) -> tuple[Run, ...]:
        """Whoever follows us has to wait for them, too."""
        return tuple(self._runs.values())

    def done(self, offset: int) -> bool:
        """Its completion has appeared; whether it was waited for."""
        return self._runs.pop(offset, None) is not None

    def read(self, position: int, as_of: float) -> list[Run]:
        """All is applied that stood before this position, which was the end at that time, in
        monotonic seconds. Gives those whose time is over: whoever ran them does so no more.
        """
        self.position = max(self.position, position)
        over = [run for run in self._runs.values() if run.until + self._margin <= as_of]
        for run in over:
            del self._runs[run.offset]
        return over
