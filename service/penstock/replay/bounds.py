"""Which stretch of a partition is meant? The grammar of kcat, rpk and Kafka's own tools.

    beginning       the first record that is there; also start, earliest, oldest
    end             behind the last one; also latest, newest
    42   -42        an offset; so many records before the end
    @WHEN           the first record written then or later; kcat's s@WHEN is the same
    A:B             from A up to and without B, each of the above; one of them may be left out
    e@WHEN          up to then (kcat)

WHEN is Unix time in milliseconds (13 digits) or seconds (10), a date or time in RFC 3339 or as
Kafka's tools have it (`2026-11-27T15:04:05.000`, in UTC where it says nothing else), or so long
ago (`-1h30m`, `-PT1H`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from penstock.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first record that the retention has left."""


@dataclass(frozen=True, slots=True)
class End:
    """Behind the last record."""


@dataclass(frozen=True, slots=True)
class At:
    """An offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class Last:
    """So many records before the end."""

    records: int


@dataclass(frozen=True, slots=True)
class Since:
    """The first record written then or later, in Unix seconds."""

    moment: float


Bound = Beginning | End | At | Last | Since


class Range(NamedTuple):
    """Half-open, of every partition."""

    start: Bound = Beginning()
    end: Bound = End()


EVERYTHING = Range()

_WORDS: dict[str, Bound] = {
    **dict.fromkeys(("beginning", "start", "earliest", "oldest"), Beginning()),
    **dict.fromkeys(("end", "latest", "newest"), End()),
}
_SECONDS, _MILLISECONDS = 10, 13
"""Digits of Unix time today and for a while."""
_LAST = 253_402_300_799.0
"""The end of the year 9999."""
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_DURATION = TypeAdapter(timedelta)


def parse(text: str, now: float) -> Range:
    """What `--offset` says. `now`: Unix seconds.

    Raises:
        ConfigurationError: it says nothing of the above.
    """
    try:
        return _parsed(text.strip(), now)
    except ValueError as error:
        why = f" ({error})" if str(error) else ""
        raise ConfigurationError(
            f"--offset {text}: is none{why}; write beginning, end, an offset (42), so many before "
            "the end (-42), a time (@2026-11-27T15:00:00Z, @-1h), or a range of these (10:20)"
        ) from error


def _parsed(text: str, now: float) -> Range:
    if text.startswith("e@"):
        return Range(end=bound(text[1:], now))
    try:
        return Range(bound(text, now))
    except ValueError:
        # A time has colons, too: the one that parts a range has a bound on either side.
        for colon in (found.start() for found in re.finditer(":", text)):
            try:
                return Range(
                    bound(text[:colon], now) if colon else Beginning(),
                    bound(text[colon + 1 :], now) if text[colon + 1 :] else End(),
                )
            except ValueError:
                continue
        raise


def bound(text: str, now: float) -> Bound:
    """One end of a range. `now`: Unix seconds.

    Raises:
        ValueError: it is none.
    """
    if (word := _WORDS.get(text.lower())) is not None:
        return word
    if text.startswith(("@", "s@")):
        return Since(when(text.partition("@")[2], now))
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise ValueError
    number = int(text)
    return Last(-number) if text.startswith("-") else At(number)


def when(text: str, now: float) -> float:
    """A moment, in Unix seconds, of this era. `now`: the same.

    Raises:
        ValueError: it is none.
    """
    return min(max(0.0, _moment(text, now)), _LAST)


def _moment(text: str, now: float) -> float:
    if text.startswith("-"):
        return now - duration(text[1:])
    if text.isdecimal() and len(text) == _SECONDS:
        return float(text)
    if text.isdecimal() and len(text) == _MILLISECONDS:
        return int(text) / 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def duration(text: str) -> float:
    """Seconds, of ISO 8601 (`PT1H30M`) or short (`1h30m`).

    Raises:
        ValueError: it is neither.
    """
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    if text.upper().startswith("P"):
        try:
            return _DURATION.validate_python(text.upper()).total_seconds()
        except ValidationError:
            pass
    raise ValueError(f"{text!r} is no duration; write PT1H30M or 1h30m")
