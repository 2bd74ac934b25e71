"""Which dead letters become questions again? Says so, and does it."""

import asyncio
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from penstock.cli.connecting import Way
from penstock.cli.dlq_open import Opened, in_words, opened
from penstock.cli.dlq_progress import progress
from penstock.cli.dlq_table import escaped
from penstock.cli.ranges import Meant
from penstock.cli.reading import tell
from penstock.errors import ConfigurationError
from penstock.events.control import Redriving
from penstock.kafka.admin import record_limit
from penstock.kafka.rights import READ, WRITE
from penstock.kafka.transactions import transactions
from penstock.replay import checkpoint, merge_patch, redrive_name, where
from penstock.replay.batch_pace import BatchPace
from penstock.replay.checkpoint import Left, name_of
from penstock.replay.redrive import Policy
from penstock.replay.redriving import AT_ONCE, Named, Tally, Wanted, looked_at, redriven
from penstock.replay.where import Condition

PARTLY = 3
STOPPED = 130


class Asked(NamedTuple):
    """As the flags say it."""

    meant: Meant
    where: list[str]
    rate: float | None
    max_redrives: int
    edit: str | None
    id: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """Those that select, by which the redrive is known."""
        offset, partitions, since, until, duration = self.meant
        said: dict[str, list[Any]] = {
            "--where": self.where,
            "--offset": [offset],
            "--partition": list(partitions or ()),
            "--from-datetime": [since],
            "--to-datetime": [until],
            "--by-duration": [duration],
        }
        given = (f"{f} {v}" for f, values in said.items() for v in values if v is not None)
        return tuple(sorted(set(given)))


@dataclass(frozen=True, slots=True)
class _Plan:
    asked: Asked
    id: str
    conditions: tuple[Condition, ...]
    patch: dict[str, Any] | None

    def said(self, desk: Opened) -> Redriving:
        topics = desk.settings.topics
        return Redriving(
            id=self.id,
            questions=topics.questions,
            dead_letters=topics.dead_letters,
            selection=self.asked.words,
            ends={},
        )


def run(way: Way, asked: Asked, output: Literal["text", "json"], *, execute: bool) -> int:
    """The exit code.

    Raises:
        ConfigurationError, KafkaError: it cannot begin, or ended; what has gone has gone, and the
            same command goes on there.
    """
    words = asked.words
    plan = _Plan(
        asked,
        redrive_name.name(words) if asked.id is None else redrive_name.checked(asked.id),
        where.parse(asked.where, where.DEAD_LETTER),
        None if asked.edit is None else _patch(asked.edit),
    )
    return asyncio.run(_run(way, plan, output, execute=execute))


def _patch(text: str) -> dict[str, Any]:
    said = text
    if not text.lstrip().startswith(("{", "[")):
        try:
            said = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--edit {text}: cannot be read: {error}") from error
    try:
        return merge_patch.json_object(said)
    except ValueError as error:
        raise ConfigurationError(f"--edit {text}: {error}; write a JSON merge patch") from error


async def _run(way: Way, plan: _Plan, output: Literal["text", "json"], *, execute: bool) -> int:
    rights = {"dead_letters": (READ,), "questions": (WRITE,), "control": (READ, WRITE)}
    async with opened(way, rights) as desk:
        with in_words(desk.topic):
            said = plan.said(desk)
            await checkpoint.may_read(desk.connection, name_of(said), desk.user)
            before = await checkpoint.earlier(
                desk.client, desk.settings.topics.control, said, desk.clock
            )
            if execute:
                return await _execute(desk, plan, said, before, output)
            left = await _left(desk, plan, said, before)
            limit = await record_limit(desk.connection, said.questions)
            wanted = _wanted(desk, plan, left, limit)
            tally = await looked_at(desk.reader, wanted)
    _tell(plan, left, tally, output, executed=False)
    return 0


async def _execute(
    desk: Opened,
    plan: _Plan,
    said: Redriving,
    before: Redriving | None,
    output: Literal["text", "json"],
) -> int:
    name = name_of(said)
    tally, stop = Tally(), asyncio.Event()
    limit = await record_limit(desk.connection, said.questions)
    async with transactions(desk.client, name, name, limit) as kafka:
        # Only now: whoever else has this id has said its last.
        left = await _left(desk, plan, said, before)
        wanted = _wanted(desk, plan, left, limit)
        control = desk.settings.topics.control
        await checkpoint.begin(
            desk.client, control, kafka, said, before, left.stretches, desk.clock
        )
        records = sum(one.end - one.start for one in left.stretches.values())
        try:
            with _stopping(stop), progress(records, tally, desk.clock) as told:
                pace = BatchPace(plan.asked.rate, AT_ONCE)
                ended = await redriven(
                    desk.reader, kafka, wanted, pace, desk.clock, stop, tally, told
                )
        finally:
            _tell(plan, left, tally, output, executed=True)
    if not ended:
        tell("stopped; the same command goes on from here")
        return STOPPED
    return PARTLY if tally.refused else 0


async def _left(desk: Opened, plan: _Plan, said: Redriving, before: Redriving | None) -> Left:
    stretches = (await desk.meant(plan.asked.meant)).stretches
    logs = await desk.reader.whole(stretches)
    left = await checkpoint.left(desk.connection, said, before, stretches, logs)
    for note in left.notes:
        tell(note)
    return left


def _wanted(desk: Opened, plan: _Plan, left: Left, limit: int) -> Wanted:
    name = desk.settings.topics.questions
    policy = Policy(
        id=plan.id,
        questions=name,
        partitions=desk.topics[name].partitions,
        limit=limit,
        most=plan.asked.max_redrives,
        patch=plan.patch,
    )
    return Wanted(left.stretches, plan.conditions, desk.program, policy)


@contextmanager
def _stopping(stop: asyncio.Event) -> Iterator[None]:
    """By Ctrl-C or SIGTERM; a second one ends it at once."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

    def wish() -> None:
        stop.set()
        leave()

    def leave() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, wish)
    try:
        yield
    finally:
        leave()


def _tell(
    plan: _Plan, left: Left, tally: Tally, output: Literal["text", "json"], *, executed: bool
) -> None:
    if output == "json":
        print(orjson.dumps(_said(plan, left, tally, executed=executed)).decode())
        return
    verb = "redriven" if executed else "would be redriven"
    print(f"{tally.redriven} {verb}, by the id {plan.id}")
    if not executed:
        _name(tally.first)
        if (more := tally.redriven - len(tally.first)) > 0:
            print(f"  and {more} more")
    for reason, count in tally.refused.most_common():
        print(f"{count} refused: {reason}")
        _name(one for one in tally.first_refused if one.reason == reason)
    for topic, count in tally.elsewhere.most_common():
        tell(f"{count} left out: they were questions on {escaped(topic)}")
    if tally.again:
        tell(f"{tally.again} of these were redriven before, and have failed again")
    if left.before:
        tell(
            f"{left.before} dead letters lie behind: by the id {plan.id} they were redriven, "
            "refused or passed over before"
        )
    if not executed and tally.redriven:
        tell("nothing is written; --execute does it")


def _name(letters: Iterable[Named]) -> None:
    for one in letters:
        print(f"  {one.place}  {escaped(one.id)}")


def _said(plan: _Plan, left: Left, tally: Tally, *, executed: bool) -> dict[str, Any]:
    return {
        "id": plan.id,
        "executed": executed,
        "redriven": tally.redriven,
        "refused": dict(tally.refused),
        "left_out": dict(tally.elsewhere),
        "before": left.before,
        "first": [one._asdict() for one in tally.first],
        "first_refused": [one._asdict() for one in tally.first_refused],
    }
