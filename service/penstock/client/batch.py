"""How are many questions asked, of which never more are open than wanted?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from penstock.errors import GatewayError, PenstockError, PublishError, RecordError
from penstock.events.completion import Completion
from penstock.events.question import Question

Item = TypeVar("Item")
Result = TypeVar("Result")

Outcome = Completion | PenstockError | TimeoutError
"""How one question ended, or why that is not known."""

PATIENCE = 5.0
"""Seconds after a question's own deadline in which the service may say that it expired."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[Item]):
    """One of many.

    Args:
        index: counts from 0.
        item: as it was given.
        question_id: its own, or a new one; None where it is no question.
    """

    index: int
    item: Item
    question_id: str | None


Answered = tuple[Asked[Item], Outcome]


async def answered(
    index: int,
    item: Item,
    read: Callable[[Item], Question],
    ask: Callable[[Question], Awaitable[Completion]],
    wait: float | None,
) -> Answered[Item]:
    """Asks one; see `penstock.client.Client.batch`. `read` makes a question of an item, or raises
    ValidationError.
    """
    try:
        question = read(item)
    except ValidationError as error:
        return Asked(index, item, None), _no_question(error)
    asked = Asked(index, item, question.id)
    own = wait if question.timeout_ms is None else question.timeout_ms / 1000
    try:
        async with asyncio.timeout(None if own is None else own + PATIENCE):
            return asked, await ask(question)
    except TimeoutError as error:
        return asked, error
    except PenstockError as error:
        if not _of_one(error):
            raise
        return asked, error


async def as_they_end(
    items: Iterable[Item] | AsyncIterable[Item],
    run: Callable[[int, Item], Coroutine[Any, Any, Result]],
    concurrency: int,
) -> AsyncGenerator[Result, None]:
    """Never more than so many run; what was not taken of here counts as one that runs."""
    source = _numbered(items)
    reading: asyncio.Task[tuple[int, Item] | None] | None = None
    running: set[asyncio.Task[Result]] = set()
    more = True
    try:
        while more or running:
            if more and reading is None and len(running) < concurrency:
                reading = asyncio.create_task(_next(source))
            tasks: set[asyncio.Task[Any]] = {*running, reading} if reading else {*running}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done & running:
                yield task.result()
                running.remove(task)
            if reading in done:
                found, reading = reading.result(), None
                more = found is not None
                if found is not None:
                    running.add(asyncio.create_task(run(*found)))
    finally:
        left = {*running, reading} if reading else running
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await source.aclose()


async def _numbered(
    items: Iterable[Item] | AsyncIterable[Item],
) -> AsyncGenerator[tuple[int, Item], None]:
    index = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield index, item
            index += 1
    else:
        for numbered in enumerate(items):
            yield numbered


async def _next(source: AsyncGenerator[tuple[int, Item], None]) -> tuple[int, Item] | None:
    return await anext(source, None)


def _no_question(error: ValidationError) -> RecordError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = "".join(f"{part}: " for part in first["loc"])
    return RecordError("not_a_question", where + first["msg"].removeprefix("Value error, "))


def _of_one(error: PenstockError) -> bool:
    """Whether others can still be asked."""
    if isinstance(error, GatewayError):
        return error.status not in {None, HTTPStatus.UNAUTHORIZED}
    return isinstance(error, PublishError)
