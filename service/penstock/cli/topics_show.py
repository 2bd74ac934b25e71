"""How are topics, and what is different about them, put into words?"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson
from aiokafka.admin import NewTopic
from rich.console import Console
from rich.text import Text

from penstock.cli.narrow import taken
from penstock.finding import Level
from penstock.kafka.describe import Topic
from penstock.kafka.topic_diff import Difference
from penstock.kafka.topic_rules import duration

COLUMNS = {
    "cleanup.policy": "Cleanup",
    "retention.ms": "Kept for",
    "max.message.bytes": "Largest record",
    "min.insync.replicas": "Min in sync",
    "message.timestamp.type": "Timestamps",
}
HEADER = ("Topic", "Partitions", "Replicas", "In sync", "Records", *COLUMNS.values())
MISSING = "missing"
STYLES = {Level.OK: "dim", Level.WARNING: "yellow", Level.WRONG: "red"}


def row(name: str, topic: Topic | None, records: int | None) -> list[str]:
    """`records`: None: they cannot be counted now."""
    if topic is None:
        return [name, MISSING, *[""] * (3 + len(COLUMNS))]
    counts = [str(topic.partitions), str(topic.replicas), str(topic.in_sync)]
    return [
        name,
        *counts,
        "?" if records is None else str(records),
        *(_cell(topic, setting) for setting in COLUMNS),
    ]


def _cell(topic: Topic, setting: str) -> str:
    if topic.config is None:
        return "?"
    value = readable(setting, topic.config.get(setting, "?"))
    return f"{value}*" if setting in topic.own else value


def draw(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Aligned lines, or where a terminal has no room for them a paragraph for each topic."""
    table = [HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if console.is_terminal and taken(widths, 2) > console.width:
        for cells in rows:
            _paragraph(console, cells)
        return
    for number, cells in enumerate(table):
        padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        console.print(Text("  ".join(padded).rstrip(), "" if number else "bold"), soft_wrap=True)


def _paragraph(console: Console, cells: Sequence[str]) -> None:
    """Names and values stand together: a line ends between two of them."""
    name, *values = cells
    console.print(Text(name, "bold"), soft_wrap=True)
    if values[0] == MISSING:
        console.print(f"  {MISSING}", style="red")
        return
    said = [f"{named.lower()}: {value}" for named, value in zip(HEADER[1:], values, strict=True)]
    line = f"  {said[0]}"
    for one in said[1:]:
        if len(f"{line}, {one},") > console.width:
            console.print(Text(f"{line},"), soft_wrap=True)
            line = f"  {one}"
        else:
            line = f"{line}, {one}"
    console.print(Text(line), soft_wrap=True)


def described(name: str, role: str, topic: Topic | None, records: int | None) -> dict[str, Any]:
    """As JSON."""
    if topic is None:
        return {"topic": name, "role": role, "there": False}
    config = topic.config
    settings = None
    if config is not None:
        settings = {
            setting: {"value": config.get(setting), "own": setting in topic.own}
            for setting in COLUMNS
        }
    return {
        "topic": name,
        "role": role,
        "there": True,
        "partitions": topic.partitions,
        "replicas": topic.replicas,
        "in_sync": topic.in_sync,
        "leaderless": topic.leaderless,
        "records": records,
        "settings": settings,
    }


def readable(setting: str, value: str) -> str:
    """A time or a size as people say it; anything else as it is."""
    if setting == "retention.ms":
        return "ever" if value == "-1" else duration(int(value))
    if setting == "max.message.bytes":
        return f"{int(value) / 1024:.0f} KiB"
    return value


def diff(found: Iterable[Difference], *, why: bool) -> None:
    """By topic: `-` what is, `+` what should be, and `why` it should."""
    console = Console(highlight=False, soft_wrap=True)
    for about, differences in groupby(found, key=lambda one: one.finding.about):
        console.print(Text(about, "bold"))
        for one in differences:
            console.print(Text(f"- {_set(one.setting, one.current)}", "red"))
            console.print(Text(f"+ {_set(one.setting, one.wanted)}", "green"))
            if why:
                said = one.finding.said
                remedy = "" if one.finding.remedy is None else f"; {one.finding.remedy}"
                level = (one.finding.level, STYLES[one.finding.level])
                console.print(Text.assemble("  ", level, f": {said}{remedy}"))


def _set(setting: str, value: str) -> str:
    said = readable(setting, value)
    return f"{setting}={value}" if said == value else f"{setting}={value} ({said})"


def added(new: NewTopic, why: str | None = None) -> None:
    """A topic that is not there."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"topic {new.name!r}", "bold"))
    shape = {"partitions": str(new.num_partitions), "replicas": str(new.replication_factor)}
    for setting, value in (shape | new.topic_configs).items():
        console.print(Text(f"+ {_set(setting, value)}", "green"))
    if why is not None:
        console.print(Text.assemble("  ", (Level.WRONG, STYLES[Level.WRONG]), f": {why}"))


def line(said: Mapping[str, Any]) -> None:
    """One object of JSON."""
    print(orjson.dumps(said).decode(), flush=True)
