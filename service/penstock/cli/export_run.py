"""Questions with their completions, read and written row by row."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import orjson
import typer

from penstock.cli import lines
from penstock.cli.connecting import Way
from penstock.cli.lines import Write, printed, written
from penstock.cli.progress import counting
from penstock.cli.ranges import Meant
from penstock.cli.reading import Reading, reading, tell, told
from penstock.kafka import codec
from penstock.kafka.admin import admin, require
from penstock.kafka.codec import Raw
from penstock.kafka.rights import Operation
from penstock.kafka.stretch import reader
from penstock.replay import dataset
from penstock.replay.pairs import Answers, Said, pairs
from penstock.replay.where import Condition

COMPLETED = Condition("status", "completed")

Form = Literal["dspy", "jsonl"]


class Tally:
    """What was written, of which programs, and what was left out, and why."""

    def __init__(self) -> None:
        self.written = 0
        self.programs: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def __str__(self) -> str:
        out = ", ".join(f"{count:,} {why}" for why, count in self.left_out.most_common())
        return f"{self.written:,} written" + (f"; left out: {out}" if out else "")


def run(
    way: Way,
    meant: Meant,
    conditions: list[str] | None,
    form: Form,
    file: Path | None,
    *,
    force: bool,
) -> None:
    """Raises ConfigurationError, KafkaError; typer.Exit where there is nothing to write."""
    if file is not None:
        lines.refuse(file, force=force)
    own = reading(way, meant, conditions)
    if form == "dspy" and not any(found.field == "status" for found in own.conditions):
        own = replace(own, conditions=(*own.conditions, COMPLETED))
    tally = Tally()
    with printed() if file is None else _to(file) as write:
        asyncio.run(_run(own, form, write, tally))
        tell(str(tally))
        if not tally.written:
            raise typer.Exit(1)
    if form == "dspy" and len(tally.programs) > 1:
        named = ", ".join(f"{name} {count:,}" for name, count in tally.programs.most_common())
        tell(f"of several programs ({named}): --where program=NAME takes one")


@contextmanager
def _to(file: Path) -> Iterator[Write]:
    with written(file) as opened:
        yield opened.write


async def _run(own: Reading, form: Form, write: Write, tally: Tally) -> None:
    questions, completions = own.settings.topics.questions, own.settings.topics.completions
    answers = Answers(completions, questions, own.settings.kafka.group_id)
    with told():
        async with admin(own.client) as connection:
            wanted = dict.fromkeys((questions, completions), (Operation.READ,))
            await require(connection, wanted, own.user)
        async with reader(own.client, own.clock) as topics:
            stretches = await own.stretches(topics, questions)
        of = sum(some.end - some.start for some in stretches.values())
        found = pairs(own.client, own.clock, answers, stretches)
        with counting("Reading", of) as advance:
            async with aclosing(found):
                async for record, completion in found:
                    advance()
                    raw = codec.raw(record)
                    if not own.holds(raw, completion):
                        tally.left_out["not " + " and ".join(map("=".join, own.conditions))] += 1
                        continue
                    _write(raw, completion, form, write, tally)


def _write(raw: Raw, completion: Said | None, form: Form, write: Write, tally: Tally) -> None:
    row = dataset.whole(raw, completion) if form == "jsonl" else dataset.example(raw, completion)
    if isinstance(row, str):
        tally.left_out[row] += 1
        return
    write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    tally.written += 1
    tally.programs[dataset.program(completion) or "no program"] += 1
