"""Which dead letters are there?"""

import asyncio
import heapq
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Literal, NamedTuple

import orjson
from rich.console import Console

from penstock.cli.connecting import Way
from penstock.cli.dlq_open import Opened, in_words, opened
from penstock.cli.dlq_table import fits, write
from penstock.cli.ranges import Meant
from penstock.cli.reading import tell
from penstock.events import dead_letter
from penstock.events.envelope import rfc3339
from penstock.kafka import codec
from penstock.kafka.codec import Raw
from penstock.kafka.stretch import Stretch
from penstock.replay import view
from penstock.replay.letters import told
from penstock.replay.where import DEAD_LETTER, Condition, holds, parse

COLUMNS = ("time", "at", "kind", "code", "program", "id", "message")
GIVES = (("message", 16), ("id", 9), ("program", 0))
"""The place and the cause are whole on any terminal."""
LAST = (("message", 8), ("message", 0), ("id", 0), ("time", 0))
"""What else gives way, once the time is short."""


class _Listed(NamedTuple):
    """The last of several comes last."""

    timestamp: int
    partition: int
    offset: int
    letter: Raw
    view: dict[str, Any]


def run(
    way: Way, meant: Meant, where: list[str], limit: int, output: Literal["text", "json"]
) -> None:
    """Raises ConfigurationError, KafkaError."""
    conditions = parse(where, DEAD_LETTER)
    found, others = asyncio.run(_find(way, meant, conditions, limit))
    if output == "json":
        for one in found:
            print(orjson.dumps(told(one.letter, one.view)).decode())
    elif found:
        show(Console(highlight=False), [_row(one) for one in found])
    if others:
        tell(f"and {others} more before; --limit shows more of them")
    elif not found:
        tell("no dead letters" + (" like this" if conditions else ""))


def show(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """A line for each, no wider than a terminal."""
    if fits(console, COLUMNS, rows, GIVES):
        write(console, COLUMNS, rows, gives=GIVES)
        return
    month_to_minute = slice(5, 16)
    short = [(time[month_to_minute], *others) for time, *others in rows]
    write(console, COLUMNS, short, gives=(*GIVES, *LAST))


async def _find(
    way: Way, meant: Meant, conditions: tuple[Condition, ...], limit: int
) -> tuple[list[_Listed], int]:
    """The last so many, and how many others there are."""
    async with opened(way) as desk:
        with in_words(desk.topic):
            return await _last(desk, meant, conditions, limit)


async def _last(
    desk: Opened, meant: Meant, conditions: tuple[Condition, ...], limit: int
) -> tuple[list[_Listed], int]:
    resolved = await desk.meant(meant)
    stretches, count = resolved.stretches, 0
    if not conditions:
        # The last ones are among the last ones of each partition.
        stretches = {
            place: Stretch(max(one.start, one.end - limit), one.end)
            for place, one in stretches.items()
        }
        count = resolved.records - sum(one.end - one.start for one in stretches.values())
    last: list[_Listed] = []
    async with aclosing(desk.reader.read("dead letters", stretches)) as records:
        async for record in records:
            letter = codec.raw(record)
            seen = view.of_dead_letter(letter, desk.program)
            if not holds(conditions, seen):
                continue
            count += 1
            one = _Listed(record.timestamp, record.partition, record.offset, letter, seen)
            (heapq.heappush if len(last) < limit else heapq.heappushpop)(last, one)
    return sorted(last), count - len(last)


def _row(one: _Listed) -> list[str]:
    letter, seen = one.letter, one.view
    said = (seen["kind"], seen["code"], seen["program"], seen["id"])
    return [
        rfc3339(letter.timestamp_ms / 1000)[:19] + "Z",
        f"{letter.partition}/{letter.offset}",
        *(word or "-" for word in said),
        dead_letter.message(letter.headers) or "",
    ]
