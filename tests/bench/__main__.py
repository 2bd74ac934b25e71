"""`python -m tests.bench [NAME ...]`: what the service does and what it costs, as processes."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from penstock.local.broker import broker
from tests.bench.result import Result
from tests.bench.saturation import saturation

SCENARIOS: dict[str, Callable[[str, int], Awaitable[Result]]] = {
    "saturation": saturation,
}
OUT = Path("out/bench.json")
"""Where the figures go, unless they go to stdout."""


async def run(names: Iterable[str], questions: int) -> dict[str, Result]:
    results = {}
    for name in names:
        async with broker() as kafka:
            results[name] = await SCENARIOS[name](kafka.bootstrap_servers, questions)
    return results


def as_json(results: dict[str, Result], load: float) -> bytes:
    # Figures from different machines, or from a busy one, do not compare.
    machine = {"cores": os.cpu_count(), "load_before": round(load, 2)}
    found: dict[str, Any] = {"machine": machine} | results
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def table(name: str, result: Result) -> Table:
    conditions = ", ".join(f"{what} {value}" for what, value in result.conditions.items())
    shown = Table(title=name, caption=conditions)
    shown.add_column()
    for subject in result.subjects:
        shown.add_column(subject, justify="right")
    figures = dict.fromkeys(what for found in result.subjects.values() for what in found)
    for what in figures:
        values = (found.get(what) for found in result.subjects.values())
        shown.add_row(
            what.replace("_", " "), *("" if value is None else f"{value:,}" for value in values)
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"default: all ({', '.join(SCENARIOS)})")
    parser.add_argument("--questions", type=int, default=1_500, help="per run (%(default)s)")
    parser.add_argument("--json", action="store_true", help=f"on stdout; else in {OUT}")
    arguments = parser.parse_args()
    names = arguments.name or list(SCENARIOS)
    if unknown := set(names) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    load, _, _ = os.getloadavg()
    results = asyncio.run(run(names, arguments.questions))
    found = as_json(results, load)
    if arguments.json:
        sys.stdout.write(found.decode())
        return
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(found)
    for name, result in results.items():
        Console().print(table(name, result))


if __name__ == "__main__":
    main()
