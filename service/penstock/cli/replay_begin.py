"""What is a new replay to do? From what the flags say to a plan, and a word about it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from aiokafka import TopicPartition

from penstock.cli.progress import counting
from penstock.cli.ranges import Meant
from penstock.cli.reading import tell
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.kafka.admin import admin, require
from penstock.kafka.rights import Operation
from penstock.kafka.stretch import Stretch, reader
from penstock.replay import named, where
from penstock.replay.finding import Found, Wanted, find, places, there, without_looking
from penstock.replay.pairs import Answers
from penstock.replay.plan import Plan, check_id, check_prefix, parts
from penstock.replay.ranges import partitions, resolve
from penstock.replay.selection import Selection
from penstock.settings import Settings
from penstock.settings.programs import default_program, program_named


class Wishes(NamedTuple):
    """As the flags say them."""

    meant: Meant
    from_file: Path | None = None
    where: list[str] = []  # noqa: RUF012 - of a tuple, and nobody changes it
    most: int | None = None
    program: str | None = None
    model: str | None = None
    topic_prefix: str | None = None
    in_place: bool = False
    rate: float | None = None
    id: str | None = None


NONE = Wishes(Meant())


class Drawn(NamedTuple):
    """A plan, and what was seen of its questions where they were looked at."""

    plan: Plan
    found: Found | None
    in_range: int


async def draw(settings: Settings, client: dict[str, Any], wishes: Wishes, *, look: bool) -> Drawn:
    """`look`: at every question, although the plan could do without.

    Raises:
        ConfigurationError: what is wished for cannot be.
    """
    clock = Clock()
    conditions = where.parse(wishes.where, where.QUESTION + where.COMPLETION)
    looks = look or bool(conditions) or wishes.most is not None
    await _readable(settings, client, looks=looks)
    wanted = await _wanted(settings, client, wishes, clock)
    wanted = replace(wanted, where=conditions, most=wishes.most)
    in_range = sum(
        stretch.end - stretch.start
        if wanted.only is None
        else wanted.only[place.partition].count(*stretch)
        for place, stretch in wanted.stretches.items()
    )
    found: Found | None = None
    if looks:
        topics = settings.topics
        answers = Answers(topics.completions, topics.questions, settings.kafka.group_id)
        with counting("Looking at the questions", in_range) as looked_at:
            found = await find(client, clock, answers, wanted, looked_at)
    selections = without_looking(wanted) if found is None else found.selections
    return Drawn(_plan(settings, wishes, selections, clock), found, in_range)


async def _readable(settings: Settings, client: dict[str, Any], *, looks: bool) -> None:
    """Raises ConfigurationError: there is no Kafka, no topic, or no right."""
    read = [settings.topics.questions, *([settings.topics.completions] if looks else [])]
    async with admin(client) as connection:
        user = client.get("sasl_plain_username")
        await require(connection, dict.fromkeys(read, (Operation.READ,)), user)


async def _wanted(
    settings: Settings, client: dict[str, Any], wishes: Wishes, clock: Clock
) -> Wanted:
    topic = settings.topics.questions
    default = default_program(settings)
    numbers = wishes.meant.partitions or []
    async with reader(client, clock) as topics:
        asked = partitions(topic, await topics.partitions(topic), numbers)
        if wishes.from_file is None:
            resolved = await resolve(topics, asked, wishes.meant.range(), clock.wall())
            _note(resolved.notes)
            return Wanted(resolved.stretches, default_program=default)
        if wishes.meant._replace(partitions=None) != Meant():
            raise ConfigurationError("--from-file says which: leave the range out")
        wanted = named.offsets(wishes.from_file, topic)
        if numbers:
            wanted = {number: some for number, some in wanted.items() if number in numbers}
        known = {place.partition for place in asked}
        if beyond := sorted(wanted.keys() - known):
            raise ConfigurationError(f"--from-file: {topic} has no partition {beyond[0]}")
        only, notes = there(topic, wanted, await topics.whole(places(topic, wanted)))
    _note(notes)
    stretches = {
        TopicPartition(topic, number): Stretch(some.start, some.end)
        for number, some in only.items()
    }
    return Wanted(stretches, only, default_program=default)


def _plan(
    settings: Settings, wishes: Wishes, selections: dict[int, Selection], clock: Clock
) -> Plan:
    now = clock.wall()
    moment = datetime.fromtimestamp(now, UTC)
    name = f"{moment:%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    if wishes.id is not None:
        name = check_id(wishes.id)
    prefix = f"penstock.replay.{name}"
    if wishes.topic_prefix is not None:
        prefix = check_prefix(wishes.topic_prefix)
    topics = settings.topics
    said = {
        "tokens": topics.tokens if wishes.in_place else f"{prefix}.tokens",
        "completions": topics.completions if wishes.in_place else f"{prefix}.completions",
        "dead_letters": topics.dead_letters if wishes.in_place else f"{prefix}.dead-letters",
    }
    if topics.questions in said.values():
        raise ConfigurationError(
            f"the replay would write to {topics.questions!r}, which it reads: it would answer its "
            "own answers; take another --topic-prefix"
        )
    ordinary = {topics.tokens, topics.completions, topics.dead_letters}
    if not wishes.in_place and (both := ordinary.intersection(said.values())):
        raise ConfigurationError(
            f"--topic-prefix {prefix}: {min(both)!r} is an ordinary topic; to answer there, say "
            "--in-place"
        )
    return Plan(
        id=name,
        created_at=int(now * 1000),
        questions=topics.questions,
        group=f"{settings.kafka.group_id}.replay.{name}",
        original_group=settings.kafka.group_id,
        parts=parts(selections),
        program=None if wishes.program is None else program_named(settings, wishes.program)[0],
        model=wishes.model,
        rate=wishes.rate,
        words=_words(wishes),
        **said,
    )


def _words(wishes: Wishes) -> list[str]:
    meant = wishes.meant
    flags = {
        "--offset": meant.offset,
        "--from-datetime": meant.from_datetime,
        "--to-datetime": meant.to_datetime,
        "--by-duration": meant.by_duration,
        "--from-file": wishes.from_file,
        "--max-messages": wishes.most,
    }
    said = [f"{flag} {value}" for flag, value in flags.items() if value is not None]
    said += [f"--partition {number}" for number in meant.partitions or []]
    return said + [f"--where {text}" for text in wishes.where]


def _note(notes: Iterable[str]) -> None:
    for note in notes:
        tell(note)
