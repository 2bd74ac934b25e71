"""A replay's answers beside the original ones, read, scored and shown one after the other."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from penstock.cli import lines
from penstock.cli.compare_find import find
from penstock.cli.compare_json import as_json
from penstock.cli.compare_page import as_page
from penstock.cli.compare_text import as_text
from penstock.cli.connecting import Way
from penstock.cli.progress import counting
from penstock.cli.ranges import Meant
from penstock.cli.reading import Reading, reading, told
from penstock.errors import ConfigurationError
from penstock.replay.comparing import compared
from penstock.replay.comparison import Compared, outputs
from penstock.replay.figures import Figures

if TYPE_CHECKING:
    from penstock.cli.scoring import Metric

PARTLY = 3


class Wanted(NamedTuple):
    """What to compare."""

    replay: str | None
    topic_prefix: str | None
    fields: Collection[str]
    metric: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """And how to show it; `limit`: differences as text."""

    json: bool
    html: Path | None
    force: bool
    limit: int


class Show(Protocol):
    """Is shown one question after the other, and in the end how many there were of what."""

    def add(self, one: Compared) -> None: ...

    def end(self, summary: Mapping[str, Any]) -> None: ...


def run(way: Way, meant: Meant, conditions: list[str] | None, wanted: Wanted, shown: Shown) -> int:
    """The exit code. Raises ConfigurationError, KafkaError."""
    if wanted.replay is None and wanted.topic_prefix is None:
        raise ConfigurationError(
            "which replay? name its id, as in `penstock compare monday`, or --topic-prefix"
        )
    if shown.html is not None:
        lines.refuse(shown.html, force=shown.force)
    own = reading(way, meant, conditions)
    metric = None if wanted.metric is None else _metric(wanted.metric)
    return asyncio.run(_run(own, wanted, metric, shown))


def _metric(entry: str) -> "Metric":
    # DSPy takes two seconds to import.
    from penstock.cli.scoring import Metric

    return Metric(entry)


async def _run(own: Reading, wanted: Wanted, metric: "Metric | None", shown: Shown) -> int:
    figures = Figures(wanted.metric)
    named: set[str] = set()
    async with AsyncExitStack() as stack:
        stack.enter_context(told())
        found = await find(own, wanted.replay, wanted.topic_prefix)
        shows: list[Show] = []
        if shown.json:
            shows.append(stack.enter_context(as_json()))
        else:
            shows.append(stack.enter_context(as_text(shown.limit)))
        if shown.html is not None:
            shows.append(stack.enter_context(as_page(shown.html)))
        with counting("Comparing", found.records) as advance:
            questions = compared(own.client, own.clock, found, wanted.fields, own.holds, advance)
            async for one in await stack.enter_async_context(aclosing(questions)):
                if one is None:
                    figures.not_replayed += 1
                    continue
                scored = one if metric is None else await _scored(metric, one)
                figures.add(scored)
                named |= outputs(one.original).keys() | outputs(one.replay).keys()
                for show in shows:
                    show.add(scored)
        _look_for(wanted.fields, named)
        for show in shows:
            show.end({"replay": found.replay, **figures.summary()})
    return PARTLY if figures.raised else 0


def _look_for(fields: Collection[str], named: Collection[str]) -> None:
    """Answers are equal in what none of them has."""
    for field in fields:
        if named and field not in named:
            there = ", ".join(sorted(named))
            raise ConfigurationError(f"--field {field}: no answer has it; there are {there}")


async def _scored(metric: "Metric", one: Compared) -> Compared:
    # It may ask a model, and takes its time.
    scores = await asyncio.to_thread(metric.scores, one.inputs, one.original, one.replay)
    return replace(one, scores=scores)
