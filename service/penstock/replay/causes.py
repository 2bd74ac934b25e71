"""Why were questions given up, and when? Counted by cause, and by the hour or the day."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

HOUR, DAY = 3600, 24 * 3600
HOURS = 48
"""Of more, days are told."""


@dataclass(slots=True)
class Cause:
    """Times in Unix seconds. `hours`: how many, by when the hour began."""

    kind: str
    code: str
    first: float
    last: float
    total: int = 0
    hours: Counter[int] = field(default_factory=Counter)

    def within(self, begin: int, seconds: int) -> int:
        """Of a bucket. `seconds`: its length."""
        return sum(count for hour, count in self.hours.items() if begin <= hour < begin + seconds)


class Buckets(NamedTuple):
    """`begins` in Unix seconds, in UTC's hours or days, without a gap."""

    seconds: int
    begins: range


class Causes:
    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Cause] = {}

    def add(self, kind: str, code: str, at: float) -> None:
        """`at`: when it was given up, in Unix seconds."""
        cause = self._found.setdefault((kind, code), Cause(kind, code, at, at))
        cause.first, cause.last = min(cause.first, at), max(cause.last, at)
        cause.total += 1
        cause.hours[int(at // HOUR) * HOUR] += 1

    def __iter__(self) -> Iterator[Cause]:
        """The most frequent first."""
        return iter(sorted(self._found.values(), key=lambda c: (-c.total, c.kind, c.code)))

    def __len__(self) -> int:
        return len(self._found)

    @property
    def total(self) -> int:
        return sum(cause.total for cause in self._found.values())

    def buckets(self) -> Buckets:
        """From the first to the last one that is not empty."""
        hours = [hour for cause in self for hour in cause.hours]
        if not hours:
            return Buckets(HOUR, range(0))
        seconds = HOUR if max(hours) - min(hours) < HOURS * HOUR else DAY
        first, last = (hour // seconds * seconds for hour in (min(hours), max(hours)))
        return Buckets(seconds, range(first, last + 1, seconds))
