"""Many questions over Kafka: a file of them in, their completions out."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock.cli.ask_one import PATIENCE, WAIT, connection, nobody, say_how_to_end
from penstock.cli.connecting import Way
from penstock.client import Client, last
from penstock.errors import PublishError
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
    way: Way,
    lines: list[bytes],
    key: str | None,
    timeout: float | None,
    concurrency: int,
) -> int:
    """The exit code."""
    client = connection(way)
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    questions = [q for number, line in numbered if (q := _question(number, line, timeout))]
    tally = _Tally()
    wait = timeout or WAIT
    try:
        if questions:
            asyncio.run(_ask_all(client, questions, _Manner(key, wait, concurrency), tally))
        if tally.nobody_answers:
            print(nobody(wait), file=sys.stderr)
    finally:
        say_how_to_end(tally.unanswered, way)
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
        left = iter(questions)
        try:
            async with client, asyncio.TaskGroup() as group:
                for _ in range(min(manner.concurrency, len(questions))):
                    group.create_task(_ask(client, left, manner, tally, lambda: bar.advance(task)))
        except ExceptionGroup as errors:
            # One says it all: that Kafka is gone they all say.
            raise errors.exceptions[0] from None


async def _ask(
    client: Client,
    left: Iterator[Question],
    manner: _Manner,
    tally: _Tally,
    advance: Callable[[], None],
) -> None:
    for question in left:
        own = question.timeout_ms
        seconds = manner.wait if own is None else own / 1000
        assert question.id is not None
        assert question.metadata is not None, "it has the line's number"
        number = question.metadata["line"]
        tally.unanswered.append(question.id)
        try:
            async with asyncio.timeout(seconds + PATIENCE):
                completion = await last(client.events(question, manner.key))
        except PublishError as error:
            tally.unanswered.remove(question.id)
            _complain(number, str(error))
        except TimeoutError:
            if own is not None:
                # It has expired.
                tally.unanswered.remove(question.id)
            if not tally.ended:
                # Nor will the others be answered.
                tally.nobody_answers = True
                return
            _complain(number, f"no answer within {seconds:g} s")
        else:
            tally.unanswered.remove(question.id)
            print(completion.model_dump_json(), flush=True)
            tally.ended += 1
            tally.completed += completion.status == "completed"
        advance()
        if tally.nobody_answers:
            return
