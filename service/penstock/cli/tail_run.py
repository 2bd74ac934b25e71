"""Which records are tailed? Read to the end, or on from there, and printed one by one."""

import asyncio
import difflib
import os
import sys
from collections.abc import AsyncGenerator, Callable, Container, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any, BinaryIO

from aiokafka import ConsumerRecord, TopicPartition
from rich.console import Console

from penstock import settings
from penstock.cli import kcat_format
from penstock.cli.connecting import Way
from penstock.cli.ranges import Meant
from penstock.cli.tail_records import latest, said
from penstock.cli.tail_show import Bytes, Lines, Piped, Running, Show
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.kafka import describe
from penstock.kafka.admin import admin, require
from penstock.kafka.rights import Operation
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import Reader, reader
from penstock.kafka.tailing import Tail, readable
from penstock.replay.about import About
from penstock.replay.bounds import EVERYTHING, End, Last, Range
from penstock.replay.ranges import partitions, resolve
from penstock.settings import Settings, TopicSettings
from penstock.settings.secrets import hiding
from penstock.telemetry import logs

LAST = 10
"""Records that are shown where nothing else is asked for, as `tail` does."""
LINE = r"%s\n"
WAIT_MS = 500
ROLES = ("questions", "tokens", "completions", "dead-letters", "control")


Line = Callable[[ConsumerRecord], bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """As the flags say it.

    Args:
        topic: its name, or a role.
        meant: which stretch of it.
        question_id: the question that records are to be about.
        count: records after which it ends.
        follow: it goes on with what comes.
        format: see `penstock.cli.kcat_format`.
        null: whether what is not there is printed as NULL.
        as_json: an envelope for each record.
    """

    topic: str
    meant: Meant
    question_id: str | None
    count: int | None
    follow: bool
    format: str | None
    null: bool
    as_json: bool


def run(way: Way, asked: Asked) -> int:
    """The exit code. Raises as `tail` does."""
    loaded = settings.load(kafka=way.flags())
    logs.configure("error", hide=hiding(loaded))
    try:
        return asyncio.run(tail(loaded, asked, Piped(highlight=False), sys.stdout.buffer))
    except BrokenPipeError:
        # Whoever reads, such as `head`, has enough. Python itself must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def tail(loaded: Settings, asked: Asked, console: Console, out: BinaryIO) -> int:
    """The exit code. What is text goes to the console, what is bytes to `out`.

    Raises:
        ConfigurationError: something is asked for that there is not, or a right lacks.
        KafkaError: it cannot be read, or not any more.
        BrokenPipeError: nobody reads what is printed.
    """
    wanted, last = _range(asked)
    printed = _printed(asked)
    clock = Clock()
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    topic = topic_of(asked.topic, loaded.topics)
    about = None if asked.question_id is None else About(asked.question_id)
    with readable(topic):
        count = await _partitions(client, topic, asked.topic)
        numbers = asked.meant.partitions or _numbers(about, {topic, loaded.topics.questions}, count)
        places = partitions(topic, count, numbers)
        async with reader(client, clock, WAIT_MS) as topics:
            found = await resolve(topics, places, wanted, clock.wall())
            for note in found.notes:
                _tell(note)
            log = Tail(topics, client, clock, _tell)
            standing = log.read(found.stretches)
            if last is not None and len(places) > 1:
                standing = latest(standing, last)
            ends = {place: stretch.end for place, stretch in found.stretches.items()}
            coming = log.follow(ends) if asked.follow else None
            show = _show(asked, printed(topics), console, out)
            shown = await _print(said(about, standing, coming), show, asked)
    if shown or about is None:
        return 0
    _tell(f"none of {found.records} records of {topic} is about {about.question_id}")
    return 1


def topic_of(wanted: str, topics: TopicSettings) -> str:
    """The topic of a role, or the one of this name."""
    if wanted not in ROLES:
        return wanted
    name: str = getattr(topics, wanted.replace("-", "_"))
    return name


def _range(asked: Asked) -> tuple[Range, int | None]:
    """And how many are the last ones of all partitions, where nothing is said of a range.

    Raises:
        ConfigurationError: it says nothing, or has an end and is to be followed.
    """
    last = asked.count or LAST
    default = Range(Last(last)) if asked.question_id is None else EVERYTHING
    wanted = asked.meant.range(default)
    if asked.follow and wanted.end != End():
        raise ConfigurationError("--follow: the range has an end; leave one of them out")
    return wanted, last if wanted is default and default is not EVERYTHING else None


async def _partitions(client: Mapping[str, Any], topic: str, wanted: str) -> int:
    """How many.

    Raises:
        ConfigurationError: there is no such topic, no right to read it, or no Kafka.
    """
    async with admin(client) as connection:
        if wanted not in ROLES:
            cluster = await describe.cluster(connection, [topic])
            if topic in cluster.absent:
                there = [*ROLES, *await connection.list_topics()]
                near = difflib.get_close_matches(topic, there, 1)
                meant = f"; did you mean {near[0]}?" if near else ""
                raise ConfigurationError(f"there is no topic {topic!r}{meant}")
        may = {topic: [Operation.READ]}
        found = await require(connection, may, client.get("sasl_plain_username"))
    return found[topic].partitions


def _numbers(about: About | None, topics: Container[str], count: int) -> list[int]:
    """Where a question stands, there stands what is said about it; none: that is not known."""
    of_question = None if about is None else about.partition(topics)
    return [] if of_question is None else [of_question % count]


def _printed(asked: Asked) -> Callable[[Reader], Line]:
    """How a record is printed that is not for a person to read.

    Raises:
        ConfigurationError: the format asks for what there is not.
    """
    if asked.as_json:
        return _enveloped
    null = kcat_format.NULL if asked.null else b""
    line = kcat_format.compiled(LINE if asked.format is None else asked.format, null)
    return lambda _: line


def _enveloped(topics: Reader) -> Line:
    def line(record: ConsumerRecord) -> bytes:
        place = TopicPartition(record.topic, record.partition)
        return kcat_format.envelope(record, topics.leader(place))

    return line


def _show(asked: Asked, line: Line, console: Console, out: BinaryIO) -> Show:
    about = asked.question_id is not None
    raw = Bytes(out, line, at_once=asked.follow or about or console.is_terminal)
    if asked.as_json or asked.format is not None:
        return raw
    show = Lines(console) if console.is_terminal else raw
    return Running(console, show) if about else show


async def _print(records: AsyncGenerator[ConsumerRecord, None], show: Show, asked: Asked) -> int:
    """How many there were."""
    shown = 0
    try:
        with ExitStack() as waiting:
            if asked.question_id is not None:
                # It may take a while, and what is read is not shown.
                waiting.enter_context(Console(stderr=True).status("Reading"))
            async with aclosing(records):
                async for record in records:
                    waiting.close()
                    show(record)
                    shown += 1
                    if shown == asked.count:
                        break
    finally:
        show.close()
    return shown


def _tell(what: str) -> None:
    print(f"penstock: {what}", file=sys.stderr, flush=True)
