"""What is said of a replay: before it begins, while it runs, and at its end."""

import sys
from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from penstock.cli.replay_begin import Drawn
from penstock.events.envelope import rfc3339
from penstock.replay.finding import Found, Moment
from penstock.replay.plan import Plan
from penstock.replay.progress import Progress

PARTITIONS = 12
"""Of which the offsets are shown one by one."""


def say(said: Mapping[str, Any]) -> None:
    """One JSON object, on stdout."""
    print(orjson.dumps(said).decode(), flush=True)


def dry(drawn: Drawn, *, as_json: bool) -> None:
    """What would be done."""
    plan, found = drawn.plan, drawn.found
    if as_json:
        say({**_planned(plan), "dry_run": True, "in_range": drawn.in_range, **_seen(found)})
        return
    table = _table()
    table.add_row("questions", f"{plan.records:,} of {drawn.in_range:,} in the range")
    for what in _parts(plan):
        table.add_row(*what)
    if found is not None and found.first is not None and found.last is not None:
        calls, tokens = found.estimated
        table.add_row("first", _moment(found.first))
        table.add_row("last", _moment(found.last))
        table.add_row(
            "would take", f"about {calls:,} calls of programs and {tokens:,} tokens, as then"
        )
        if unanswered := found.wanted - found.answered:
            table.add_row("", f"{unanswered:,} of them have no completion")
    for row in _target(plan):
        table.add_row(*row)
    _console().print(table)
    if plan.parts:
        print("Nothing is written. Add --execute to do it.", file=sys.stderr)


def standing(plan: Plan, now: Progress, *, as_json: bool) -> None:
    """How far one that exists has come."""
    if as_json:
        say({**_planned(plan), "dry_run": True, "done": now.done, "over": now.over})
        return
    table = _table()
    table.add_row("made", rfc3339(plan.created_at / 1000))
    table.add_row("questions", f"{now.done:,} of {plan.records:,} done")
    for row in (*_parts(plan), *_target(plan)):
        table.add_row(*row)
    _console().print(table)
    what = "It is over." if now.over else "Nothing is started. Add --execute to go on with it."
    print(what, file=sys.stderr)


def beat(plan: Plan, now: Progress, per_second: float) -> None:
    """One line on stderr, for machines."""
    left = (plan.records - now.done) / per_second if per_second > 0 else None
    line = {
        "replay": plan.id,
        "done": now.done,
        "of": plan.records,
        "per_second": round(per_second, 1),
        "remaining_seconds": None if left is None else round(left),
    }
    print(orjson.dumps(line).decode(), file=sys.stderr, flush=True)


def ended(
    plan: Plan, now: Progress, here: Mapping[str, int], seconds: float, *, as_json: bool
) -> None:
    """`here`: how questions ended that this process answered, by status."""
    if as_json:
        say(
            {
                "replay": plan.id,
                "over": now.over,
                "done": now.done,
                "of": plan.records,
                "here": dict(here),
                "seconds": round(seconds, 1),
                "completions": plan.completions,
            }
        )
        return
    did = ", ".join(f"{count:,} {status}" for status, count in sorted(here.items())) or "nothing"
    print(f"replay {plan.id}: {now.done:,} of {plan.records:,} done; here: {did}")
    if now.over:
        print(f"compare with the originals: penstock compare {plan.id}")


def _planned(plan: Plan) -> dict[str, Any]:
    said = plan.model_dump(exclude={"type", "parts"})
    ranges = [{"partition": p.partition, "start": p.start, "end": p.end} for p in plan.parts]
    return {**said, "ranges": ranges, "questions_topic": plan.questions, "records": plan.records}


def _seen(found: Found | None) -> dict[str, Any]:
    if found is None:
        return {}
    calls, tokens = found.estimated
    return {
        "first": found.first and rfc3339(found.first.at),
        "last": found.last and rfc3339(found.last.at),
        "unanswered": found.wanted - found.answered,
        "estimated_calls": calls,
        "estimated_tokens": tokens,
    }


def _parts(plan: Plan) -> list[tuple[str, str]]:
    rows = [
        (
            f"partition {part.partition}",
            ("" if part.offsets is None else f"{plan.selections[part.partition].count():,} of ")
            + f"offsets {part.start} to {part.end - 1}",
        )
        for part in plan.parts[:PARTITIONS]
    ]
    more = len(plan.parts) - PARTITIONS
    return [*rows, ("", f"and {more} partitions more")] if more > 0 else rows


def _target(plan: Plan) -> list[tuple[str, str]]:
    rows = [("answered by", plan.program or "each question's own program")]
    if plan.model is not None:
        rows.append(("asking", plan.model))
    rows.append(("answers to", plan.completions))
    rows.append(("group", plan.group))
    if plan.rate is not None:
        rows.append(("rate", f"{plan.rate:g} a second: {_long(plan.records / plan.rate)}"))
    return rows


def _moment(moment: Moment) -> str:
    return f"{rfc3339(moment.at)}  partition {moment.partition}, offset {moment.offset}"


def _long(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _table() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _console() -> Console:
    return Console(highlight=False, soft_wrap=False)
