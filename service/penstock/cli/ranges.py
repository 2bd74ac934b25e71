"""Which records does a command mean? The flags that all such commands have."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.replay import bounds
from penstock.replay.bounds import EVERYTHING, Beginning, End, Range, Since

Offset = Annotated[
    str | None,
    typer.Option(
        "--offset",
        "-o",
        metavar="OFFSET",
        help="From where: beginning, end, an offset (42), so many before the end (-42), a time "
        "(@2026-11-27, @-1h); or a range of these (100:200), its end left out.",
    ),
]
Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", "-p", metavar="N", min=0, help="Only this partition; repeatable."),
]
FromDatetime = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From then on: 2026-11-27T15:00, UTC if it says none."),
]
ToDatetime = Annotated[str | None, typer.Option(metavar="TIME", help="Up to then, and without it.")]
ByDuration = Annotated[
    str | None, typer.Option(metavar="DURATION", help="The last so long: PT1H30M or 1h30m.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Only where this is so: id, key, program, metadata.NAME, or of the completion "
        "status (unanswered: there is none), error.kind, error.code, model, version; repeatable, "
        "all must hold.",
    ),
]


class Meant(NamedTuple):
    """As the flags say it."""

    offset: str | None = None
    partitions: list[int] | None = None
    from_datetime: str | None = None
    to_datetime: str | None = None
    by_duration: str | None = None

    def range(self, default: Range = EVERYTHING) -> Range:
        """Raises ConfigurationError: they say nothing, or two things."""
        now = Clock().wall()
        times = (self.from_datetime, self.to_datetime, self.by_duration)
        if self.offset is not None:
            if any(times):
                raise ConfigurationError("--offset says it all: leave the times out, or --offset")
            return bounds.parse(self.offset, now)
        if self.by_duration is not None:
            if self.from_datetime is not None:
                raise ConfigurationError("give one of --from-datetime and --by-duration")
            start = _read(
                "--by-duration", self.by_duration, lambda text: bounds.when(f"-{text}", now)
            )
        elif self.from_datetime is not None:
            start = _read(
                "--from-datetime", self.from_datetime, lambda text: bounds.when(text, now)
            )
        elif self.to_datetime is None:
            return default
        else:
            start = None
        end = (
            End()
            if self.to_datetime is None
            else Since(
                _read("--to-datetime", self.to_datetime, lambda text: bounds.when(text, now))
            )
        )
        return Range(Beginning() if start is None else Since(start), end)


def _read(flag: str, text: str, read: Callable[[str], float]) -> float:
    try:
        return read(text)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}") from error
