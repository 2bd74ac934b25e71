"""One look after the other: what is found is printed at once, and counted."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import redirect_stdout
from typing import TextIO

import orjson
from rich.console import Console
from rich.text import Text

from penstock import settings
from penstock.cli import check_kafka, check_programs
from penstock.cli.connecting import Way
from penstock.clock import Clock
from penstock.finding import Finding, Level
from penstock.kafka.security import client_arguments
from penstock.settings import Settings
from penstock.telemetry import logs

MARKS = {
    Level.OK: ("✓", "green"),
    Level.SKIPPED: ("-", "dim"),
    Level.WARNING: ("!", "yellow"),
    Level.WRONG: ("✗", "red"),
}


def run(way: Way, *, asks: bool, as_json: bool) -> int:
    """The exit code. `asks`: the models, too.

    Raises:
        ConfigurationError: the settings cannot be read.
    """
    loaded = settings.load(kafka=way.flags())
    logs.configure("error")
    out = sys.stdout
    # What a program prints is no part of what is said of it.
    with redirect_stdout(sys.stderr):
        return asyncio.run(_run(loaded, out, asks=asks, as_json=as_json))


async def _run(loaded: Settings, out: TextIO, *, asks: bool, as_json: bool) -> int:
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    console = Console(file=out, highlight=False)
    counted: Counter[Level] = Counter()
    looks: tuple[AsyncIterator[Finding], ...] = (
        check_programs.look(loaded, asks=asks),
        check_kafka.look(loaded, client, Clock()),
    )
    for look in looks:
        async for finding in look:
            counted[finding.level] += 1
            _print(finding, console, as_json=as_json)
    bad = (Level.WRONG, Level.WARNING)
    worst = [f"{counted[level]} {level}" for level in bad if counted[level]]
    print(f"penstock: {', '.join(worst) or 'all is well'}", file=sys.stderr)
    return 1 if counted[Level.WRONG] else 0


def _print(finding: Finding, console: Console, *, as_json: bool) -> None:
    if as_json:
        said = {
            "level": finding.level,
            "about": finding.about,
            "said": finding.said,
            "remedy": finding.remedy,
        }
        print(orjson.dumps(said).decode(), file=console.file, flush=True)
    elif console.is_terminal:
        mark, style = MARKS[finding.level]
        console.print(Text.assemble((mark, style), " ", str(finding)))
    else:
        print(f"{finding.level:<8}{finding}", file=console.file, flush=True)
