"""Why were questions given up, and when?"""

import asyncio
from contextlib import aclosing
from typing import Literal

import orjson
from rich.console import Console

from penstock.cli.connecting import Way
from penstock.cli.dlq_open import in_words, opened
from penstock.cli.dlq_table import fits, write
from penstock.cli.ranges import Meant
from penstock.cli.reading import tell
from penstock.events.envelope import rfc3339
from penstock.kafka import codec
from penstock.replay import view
from penstock.replay.causes import HOUR, Cause, Causes
from penstock.replay.where import DEAD_LETTER, Condition, holds, parse

UNKNOWN = "-"
"""What somebody else put there says no cause of ours."""
BESIDE = 5
"""Causes that have a column over time; the others have one together."""
GIVES = (("first seen", 0), ("last seen", 0))


def run(way: Way, meant: Meant, where: list[str], output: Literal["text", "json"]) -> None:
    """Raises ConfigurationError, KafkaError."""
    conditions = parse(where, DEAD_LETTER)
    causes = asyncio.run(_count(way, meant, conditions))
    if output == "json":
        for cause in causes:
            print(orjson.dumps(_told(cause, causes)).decode())
    elif len(causes):
        show(Console(highlight=False), causes)
    if not len(causes):
        tell("no dead letters" + (" like this" if conditions else ""))


def show(console: Console, causes: Causes) -> None:
    """Numbers are whole on any terminal."""
    write(console, *_totals(causes), gives=GIVES)
    console.print()
    names, rows, numbers = _over_time(causes)
    if fits(console, names, rows):
        write(console, names, rows, numbers)
    else:
        write(console, *_one_by_one(causes))


async def _count(way: Way, meant: Meant, conditions: tuple[Condition, ...]) -> Causes:
    causes = Causes()
    async with opened(way) as desk:
        with in_words(desk.topic):
            stretches = (await desk.meant(meant)).stretches
            async with aclosing(desk.reader.read("dead letters", stretches)) as records:
                async for record in records:
                    letter = codec.raw(record)
                    seen = view.of_dead_letter(letter, desk.program)
                    if holds(conditions, seen):
                        kind, code = (seen[name] or UNKNOWN for name in ("kind", "code"))
                        causes.add(kind, code, record.timestamp / 1000)
    return causes


def _told(cause: Cause, causes: Causes) -> dict[str, object]:
    seconds, begins = causes.buckets()
    return {
        "kind": cause.kind,
        "code": cause.code,
        "total": cause.total,
        "first": rfc3339(cause.first),
        "last": rfc3339(cause.last),
        "bucket_seconds": seconds,
        "buckets": [
            {"from": rfc3339(begin), "count": count}
            for begin in begins
            if (count := cause.within(begin, seconds))
        ],
    }


Table = tuple[list[str], list[list[str]], frozenset[int]]


def _totals(causes: Causes) -> Table:
    rows = [[str(c.total), c.kind, c.code, _second(c.first), _second(c.last)] for c in causes]
    rows.append([str(causes.total), "all", "", "", ""])
    return ["total", "kind", "code", "first seen", "last seen"], rows, frozenset({0})


def _over_time(causes: Causes) -> Table:
    seconds, begins = causes.buckets()
    told, others = list(causes)[:BESIDE], list(causes)[BESIDE:]
    names = ["from", *(f"{cause.kind} {cause.code}" for cause in told), *["others"][: len(others)]]
    rows = []
    for begin in begins:
        counts = [cause.within(begin, seconds) for cause in told]
        if others:
            counts.append(sum(cause.within(begin, seconds) for cause in others))
        rows.append([_moment(begin, seconds), *(str(count or ".") for count in counts)])
    return names, rows, frozenset(range(1, len(names)))


def _one_by_one(causes: Causes) -> Table:
    """The same where there is no room for so many columns, and of each cause."""
    seconds, begins = causes.buckets()
    rows = [
        [_moment(begin, seconds), str(count), f"{cause.kind} {cause.code}"]
        for begin in begins
        for cause in causes
        if (count := cause.within(begin, seconds))
    ]
    return ["from", "count", "cause"], rows, frozenset({1})


def _moment(begin: int, seconds: int) -> str:
    return _second(begin)[: 16 if seconds == HOUR else 10]


def _second(at: float) -> str:
    return rfc3339(at)[:19].replace("T", " ")
