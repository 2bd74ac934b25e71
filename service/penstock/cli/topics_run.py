"""What are the topics, and what should they be?"""

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError
from rich.console import Console

from penstock import settings
from penstock.cli import topics_show
from penstock.cli.connecting import Way
from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.finding import Finding, Level
from penstock.kafka.admin import absent, admin, short
from penstock.kafka.describe import Topic
from penstock.kafka.preflight import Needs, Sight, look, needs
from penstock.kafka.rights import SERVICE, Operation, lacking, missing
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import reader
from penstock.kafka.topic_diff import Difference, differences
from penstock.kafka.topic_plan import plan
from penstock.settings.secrets import hiding
from penstock.telemetry import logs

CREATE = "create it: penstock topics create --execute"


class Here(NamedTuple):
    """Where a command looks, and what it sees."""

    client: Mapping[str, Any]
    connection: AIOKafkaAdminClient
    needs: Needs
    sight: Sight


@asynccontextmanager
async def seen(way: Way, topics: Mapping[str, Any] | None = None) -> AsyncIterator[Here]:
    """`topics`: of the settings, by flags.

    Raises:
        ConfigurationError: Kafka is away, or a topic may not be described.
        KafkaError: no broker answers any more.
    """
    loaded = settings.load(kafka=way.flags(), topics=dict(topics or {}))
    # What matters of the connection we say ourselves.
    logs.configure("error", hide=hiding(loaded))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    wanted = needs(loaded, client)
    async with admin(client) as connection:
        try:
            sight = await look(connection, wanted)
            for finding in _hidden(sight, wanted):
                raise ConfigurationError(str(finding))
            yield Here(client, connection, wanted, sight)
        except (ClientError, TimeoutError) as error:
            raise KafkaError(f"topics: {short(error)}") from error


def _hidden(sight: Sight, wanted: Needs) -> Iterator[Finding]:
    for topic in sight.topics.values():
        if not topic.visible:
            rights = (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS)
            yield from lacking("topic", topic.name, rights, topic.allowed, wanted.user)


def describe(way: Way, *, as_json: bool) -> int:
    """The exit code. Raises as `seen` does."""
    return asyncio.run(_describe(way, as_json=as_json))


async def _describe(way: Way, *, as_json: bool) -> int:
    async with seen(way) as here:
        there = here.sight.topics
        records = await _records(here.client, list(there.values()))
        said = [
            (here.needs.name(role), role, there.get(role), records.get(here.needs.name(role)))
            for role in SERVICE
        ]
    if as_json:
        for each in said:
            topics_show.line(topics_show.described(*each))
    else:
        rows = [topics_show.row(name, topic, count) for name, _, topic, count in said]
        topics_show.draw(Console(highlight=False), rows)
    for _, finding in unseen(here.sight, here.needs):
        print(f"penstock: {finding}", file=sys.stderr)
    return 0


async def _records(client: Mapping[str, Any], topics: list[Topic]) -> dict[str, int]:
    """At most: from the first offset to the last. Of those that are led."""
    places = [
        TopicPartition(topic.name, number)
        for topic in topics
        if not topic.leaderless
        for number in range(topic.partitions)
    ]
    if not places:
        return {}
    counted = Counter[str]()
    async with reader(client, Clock()) as log:
        for place, stretch in (await log.whole(places)).items():
            counted[place.topic] += stretch.end - stretch.start
    return counted


def check(way: Way, *, as_json: bool) -> int:
    """The exit code. Raises as `seen` does."""
    return asyncio.run(_check(way, as_json=as_json))


async def _check(way: Way, *, as_json: bool) -> int:
    async with seen(way) as here:
        sight, wanted = here.sight, here.needs
    found = list(differences(sight, wanted))
    others = list(_others(sight, wanted))
    new = [plan(role, sight, wanted) for role in absent(sight)]
    if as_json:
        for one in new:
            topics_show.line(_told(Level.WRONG, one.name, "is missing", CREATE))
        for differs in found:
            topics_show.line(_of(differs))
        for topic, finding in others:
            topics_show.line(_told(finding.level, topic, finding.said, finding.remedy))
    else:
        for one in new:
            topics_show.added(one, f"is missing; {CREATE}")
        topics_show.diff(found, why=True)
        for _, finding in others:
            print(f"{finding.level}: {finding}")
    levels = [
        *(differs.finding.level for differs in found),
        *(finding.level for _, finding in others),
    ]
    counted = Counter([*levels, *[Level.WRONG] * len(new)])
    bad = [f"{counted[level]} {level}" for level in (Level.WRONG, Level.WARNING) if counted[level]]
    print(f"penstock: {', '.join(bad) or 'all is well'}", file=sys.stderr)
    return 1 if counted[Level.WRONG] else 0


def _others(sight: Sight, wanted: Needs) -> Iterator[tuple[str, Finding]]:
    """What is no setting."""
    for topic in sight.topics.values():
        if topic.leaderless:
            said = f"has {topic.leaderless} of {topic.partitions} partitions without a leader"
            about = f"topic {topic.name!r}"
            yield topic.name, Finding(Level.WRONG, about, said, "are all brokers up?")
    # Who looks and cannot see has not found that all is well.
    yield from unseen(sight, wanted)


def unseen(sight: Sight, wanted: Needs) -> Iterator[tuple[str, Finding]]:
    """By topic: that its settings cannot be seen."""
    for topic in sight.topics.values():
        if topic.config is None:
            lacks = missing("topic", [topic.name], [Operation.DESCRIBE_CONFIGS], wanted.user)
            yield topic.name, lacks


def _of(one: Difference) -> dict[str, Any]:
    told = _told(one.finding.level, one.topic, one.finding.said, one.finding.remedy)
    return told | {"setting": one.setting, "current": one.current, "wanted": one.wanted}


def _told(level: Level, topic: str, said: str, remedy: str | None) -> dict[str, Any]:
    nothing = {"setting": None, "current": None, "wanted": None}
    return {"level": level, "topic": topic, **nothing, "said": said, "remedy": remedy}
