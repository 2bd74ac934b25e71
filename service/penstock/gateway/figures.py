"""How many, how fast and how long of late? Counted in a ring of steps, as this gateway sees it."""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

STEP = 5
"""Seconds of one step."""
STEPS = 60
"""That are kept."""
OF_LATE = 12
"""Steps over which rates are taken, the one that is not over among them."""

SAMPLE = 512
"""Times of one step that are kept: of more, each as likely as the other."""


class Quantiles(NamedTuple):
    """In milliseconds: the least that no less than half, or 95 %, of them exceed."""

    p50: float
    p95: float


class Rates(NamedTuple):
    """Of the last minute, a second."""

    asked: float
    ended: float
    failed: float
    tokens: float
    first_token_ms: Quantiles | None
    duration_ms: Quantiles | None


@dataclass(slots=True)
class Sample:
    """Of the times of one step, in milliseconds."""

    count: int = 0
    kept: list[float] = field(default_factory=list)

    def add(self, value: float, draw: random.Random) -> None:
        self.count += 1
        if len(self.kept) < SAMPLE:
            self.kept.append(value)
        elif (place := draw.randrange(self.count)) < SAMPLE:
            self.kept[place] = value

    @property
    def quantiles(self) -> Quantiles | None:
        """None: it has none."""
        return quantiles([self])


@dataclass(slots=True)
class Step:
    """`second`: in which it began, in Unix time, a multiple of `STEP`."""

    second: int
    asked: int = 0
    ended: int = 0
    failed: int = 0
    tokens: int = 0
    first_token: Sample = field(default_factory=Sample)
    duration: Sample = field(default_factory=Sample)


class Figures:
    """Moments are Unix seconds. What is of before the first step counts for nothing."""

    def __init__(self, now: float) -> None:
        self.tokens = 0
        """Token records so far: whoever sees one adds 1, and that is all it costs."""
        self._counted = 0
        self._draw = random.Random(0)  # noqa: S311 - a sample, no secret
        self._steps = _ring(_begin(now))
        self._began = now

    def begin(self, now: float) -> None:
        """From now on tokens are of now: those of before are of nobody knows when."""
        self._counted, self._began = self.tokens, now
        self.turn(now)

    def turn(self, now: float) -> None:
        """Whoever calls it in every step keeps the tokens of one apart from those of the next."""
        newest = self._steps[-1]
        newest.tokens += self.tokens - self._counted
        self._counted = self.tokens
        begin = _begin(now)
        if begin < newest.second:
            # The clock was set back: when the others were, nobody knows any more.
            self._steps = _ring(begin)
            return
        missed = min(STEPS, (begin - newest.second) // STEP)
        for ago in reversed(range(missed)):
            self._steps.append(Step(begin - STEP * ago))

    def asked(self, at: float) -> None:
        """A question, at that moment."""
        if (step := self._at(at)) is not None:
            step.asked += 1

    def ended(
        self, at: float, *, failed: bool, first_token_ms: float | None, duration_ms: float | None
    ) -> None:
        """A question."""
        if (step := self._at(at)) is None:
            return
        step.ended += 1
        step.failed += failed
        for sample, value in ((step.first_token, first_token_ms), (step.duration, duration_ms)):
            if value is not None:
                sample.add(value, self._draw)

    def rates(self, now: float) -> Rates:
        """Of the last minute; of the tokens, since it began."""
        self.turn(now)
        late = list(self._steps)[-OF_LATE:]
        seconds = max(1.0, now - late[0].second)
        heard = max(1.0, min(seconds, now - self._began))
        return Rates(
            round(sum(step.asked for step in late) / seconds, 3),
            round(sum(step.ended for step in late) / seconds, 3),
            round(sum(step.failed for step in late) / seconds, 3),
            round(sum(step.tokens for step in late) / heard, 3),
            quantiles(step.first_token for step in late),
            quantiles(step.duration for step in late),
        )

    def steps(self, now: float) -> Sequence[Step]:
        """All that are kept, the oldest first; the last one is not over."""
        self.turn(now)
        return tuple(self._steps)

    def _at(self, at: float) -> Step | None:
        """None: it is forgotten by now."""
        newest = self._steps[-1].second
        # Of what is ahead of this clock, or of the next step: it is of now.
        ago = max(0, (newest - _begin(at)) // STEP)
        return self._steps[-1 - ago] if ago < STEPS else None


def quantiles(samples: Iterable[Sample]) -> Quantiles | None:
    """Of all of them together, whatever was kept of each; None: there are none."""
    weighed = sorted(
        (value, sample.count / len(sample.kept)) for sample in samples for value in sample.kept
    )
    if not weighed:
        return None
    whole = sum(weight for _, weight in weighed)
    found, passed = [], 0.0
    parts = [0.5, 0.95]
    for value, weight in weighed:
        passed += weight
        while parts and passed >= parts[0] * whole - 1e-9:
            found.append(round(value, 3))
            parts.pop(0)
    return Quantiles(*found)


def _ring(newest: int) -> deque[Step]:
    return deque((Step(newest - STEP * ago) for ago in reversed(range(STEPS))), maxlen=STEPS)


def _begin(moment: float) -> int:
    return int(moment) // STEP * STEP
