"""How are many questions asked in one request? A few hundred at a time, as if each came alone."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import orjson
import structlog
from pydantic import ValidationError

from penstock.gateway.caller import Caller
from penstock.gateway.failures import invalid, unforeseen
from penstock.gateway.index import Entry
from penstock.gateway.leaving import stopping
from penstock.gateway.parts import Parts
from penstock.gateway.problem import ProblemError
from penstock.gateway.sse import EventStream
from penstock.gateway.unless import unless
from penstock.gateway.views import Ask

AT_ONCE = 256

LINES = 10_000

T = TypeVar("T")

log = structlog.get_logger("penstock.gateway")


class Line(NamedTuple):
    """`number`: from 1, blank ones counted. `text`: JSON."""

    number: int
    text: bytes


class Lines(EventStream):
    """One JSON object on each."""

    media_type = "application/jsonl"
    # There may be as much space before a JSON text as one likes.
    silence = b" "


def lines(body: bytes) -> list[Line]:
    """Those that are not blank.

    Raises:
        ProblemError: (413) there are too many.
    """
    there = body.count(b"\n") + (not body.endswith(b"\n"))
    if there > LINES:
        raise ProblemError(413, "too_many_lines", f"{there} lines; the bound is {LINES}")
    return [Line(number, text) for number, text in enumerate(body.split(b"\n"), 1) if text.strip()]


class Batch:
    """Args:
    gateway: that asks.
    who: asks.
    asked: the lines.
    """

    def __init__(self, gateway: Parts, who: Caller, asked: Sequence[Line]) -> None:
        self._gateway = gateway
        self._who = who
        self._asked = asked
        self._left = iter(asked)
        self._told: asyncio.Queue[bytes] = asyncio.Queue(AT_ONCE)
        self.open: dict[int, Entry] = {}
        """Questions that are waited for, by the numbers of their lines."""

    async def answers(self) -> AsyncGenerator[bytes, None]:
        """A line for each of them, as soon as it has ended."""
        asking = [
            asyncio.create_task(self._ask_some()) for _ in range(min(AT_ONCE, len(self._asked)))
        ]
        try:
            for _ in self._asked:
                yield await self._told.get()
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask_some(self) -> None:
        """One after the other. Who reads slowly holds up himself."""
        for line in self._left:
            told = {"line": line.number, **await self._told_of(line)}
            await self._told.put(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))

    async def _told_of(self, line: Line) -> dict[str, Any]:
        try:
            entry = self.open[line.number] = await self._ask(line)
            completion = await self._end(entry)
        except ProblemError as problem:
            told: dict[str, Any] = {"problem": problem.document}
        except Exception:
            log.exception("a line of a batch has failed", line=line.number)
            told = {"problem": unforeseen().document}
        else:
            told = {
                "id": entry.question_id,
                "status": orjson.loads(completion)["status"],
                "completion": orjson.Fragment(completion),
            }
        self.open.pop(line.number, None)
        return told

    async def _ask(self, line: Line) -> Entry:
        """As soon as there is time for it."""
        ask = _read(line.text)
        while True:
            if self._gateway.stopping.done():
                raise _not_asked()
            asking = asyncio.create_task(self._once(ask))
            try:
                return await asyncio.shield(asking)
            except asyncio.CancelledError:
                # It is on its way, and who cancels what is open has to know it.
                with suppress(ProblemError):
                    self.open[line.number] = await asking
                raise
            except ProblemError as problem:
                # Too much to do, or too many in a minute.
                if problem.status != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                seconds = float(problem.headers["Retry-After"])
                await self._unless_stopping(asyncio.sleep(seconds), _not_asked())

    async def _once(self, ask: Ask) -> Entry:
        async with self._gateway.questions.asked(
            ask.asked, self._who, ask.key, named=ask.id is not None
        ) as asked:
            return asked.entry

    async def _end(self, entry: Entry) -> bytes:
        """Its completion."""
        ending = self._gateway.questions.completion(entry, None)
        try:
            found = await self._unless_stopping(ending, stopping(entry))
        except ProblemError as problem:
            problem.more.setdefault("id", entry.question_id)
            raise
        assert found is not None, "there is no end to the wait"
        return found

    async def _unless_stopping(self, waiting: Coroutine[Any, Any, T], otherwise: ProblemError) -> T:
        return await unless(self._gateway.stopping, waiting, otherwise)


def _read(text: bytes) -> Ask:
    """A JSON string is a question."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "not_json", f"the line is not JSON: {error}") from error
    if isinstance(body, str):
        body = {"question": body}
    try:
        return Ask.model_validate(body)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), body) from error


def _not_asked() -> ProblemError:
    headers = {"Retry-After": "1"}
    return ProblemError(503, "stopping", "this gateway stops; it was not asked", headers=headers)
