"""Many questions: a file of them in, their completions out."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import uuid4

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock.cli.ask_door import Door
from penstock.cli.ask_one import WAIT
from penstock.client import Client, Outcome
from penstock.events.completion import Completion
from penstock.events.question import Question

PARTLY = 3


@dataclass(slots=True)
class _Tally:
    """How it goes. `ended` counts every completion, `completed` the good ones; `unanswered` are
    the ids of what is asked and has not ended.
    """

    completed: int = 0
    ended: int = 0
    unanswered: list[str] = field(default_factory=list)
    nobody_answers: bool = False


@dataclass(frozen=True, slots=True)
class _Manner:
    """How to ask. `wait` in seconds, for what has no deadline."""

    key: str | None
    wait: float
    concurrency: int


def run(
    door: Door,
    lines: list[bytes],
    key: str | None,
    timeout: float | None,
    concurrency: int,
) -> int:
    """The exit code."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    questions = [q for number, line in numbered if (q := _question(number, line, timeout))]
    tally = _Tally()
    wait = timeout or WAIT
    try:
        if questions:
            asyncio.run(_ask_all(door.client, questions, _Manner(key, wait, concurrency), tally))
        if tally.nobody_answers:
            print(door.nobody(wait), file=sys.stderr)
    finally:
        door.say_how_to_end(tally.unanswered)
    if tally.completed == len(numbered):
        return 0
    return PARTLY if tally.completed else 1


def _question(number: int, line: bytes, timeout: float | None) -> Question | None:
    """None, and a word about it, where the line holds none."""
    try:
        body = orjson.loads(line)
        body = {"question": body} if isinstance(body, str) else body
        question = Question.model_validate(body)
    except orjson.JSONDecodeError as error:
        _complain(number, f"not JSON: {error}")
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        _complain(number, where + first["msg"].removeprefix("Value error, "))
        return None
    more: dict[str, object] = {"stream": False, "metadata": {"line": number}}
    if question.metadata is not None:
        more["metadata"] = {"line": number, **question.metadata}
    if question.id is None:
        more["id"] = str(uuid4())
    if timeout is not None and question.timeout_ms is None and question.expires_at is None:
        more["timeout_ms"] = timeout * 1000
    return question.model_copy(update=more)


def _complain(number: int, what: str) -> None:
    print(f"penstock: line {number}: {what}", file=sys.stderr)


async def _ask_all(
    client: Client, questions: list[Question], manner: _Manner, tally: _Tally
) -> None:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("Answered", total=len(questions))
        batch = client.batch(
            _drawn(questions, tally),
            key=manner.key,
            wait=manner.wait,
            concurrency=manner.concurrency,
        )
        async with client, aclosing(batch) as answers:
            async for asked, outcome in answers:
                _tell(asked.item, outcome, manner, tally)
                bar.advance(task)
                if tally.nobody_answers:
                    return


def _drawn(questions: list[Question], tally: _Tally) -> Iterator[Question]:
    """Each when it is asked."""
    for question in questions:
        assert question.id is not None
        tally.unanswered.append(question.id)
        yield question


def _tell(question: Question, outcome: Outcome, manner: _Manner, tally: _Tally) -> None:
    assert question.id is not None
    assert question.metadata is not None, "it has the line's number"
    number, own = question.metadata["line"], question.timeout_ms
    if not isinstance(outcome, TimeoutError) or own is not None:
        # It has ended, or was not taken, or has expired.
        tally.unanswered.remove(question.id)
    if isinstance(outcome, Completion):
        print(outcome.model_dump_json(), flush=True)
        tally.ended += 1
        tally.completed += outcome.status == "completed"
    elif not isinstance(outcome, TimeoutError):
        _complain(number, str(outcome))
    elif tally.ended:
        seconds = manner.wait if own is None else own / 1000
        _complain(number, f"no answer within {seconds:g} s")
    else:
        # Nor will the others be answered.
        tally.nobody_answers = True
