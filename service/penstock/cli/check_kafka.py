"""Is Kafka there, and is it as the service needs it?"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError as ClientError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.finding import Finding, Level
from penstock.kafka import clock_skew
from penstock.kafka.admin import absent, admin, refusals
from penstock.kafka.describe import Topic
from penstock.kafka.group_offsets import commits
from penstock.kafka.preflight import GROUP_SECONDS, OFFSET_METADATA, Needs, Sight, judge, needs
from penstock.kafka.preflight import look as look_at
from penstock.kafka.stretch import reader
from penstock.kafka.topic_plan import plan
from penstock.kafka.topic_rules import duration, number
from penstock.settings import Settings


async def look(loaded: Settings, client: Mapping[str, Any], clock: Clock) -> AsyncIterator[Finding]:
    try:
        async with admin(client) as connection:
            async for finding in _look(connection, needs(loaded, client), client, clock):
                yield finding
    except (ConfigurationError, ClientError, KafkaError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        yield Finding(Level.WRONG, "Kafka", f"cannot be looked at: {why}")


async def _look(
    connection: AIOKafkaAdminClient, needs: Needs, client: Mapping[str, Any], clock: Clock
) -> AsyncIterator[Finding]:
    sight = await look_at(connection, needs, GROUP_SECONDS)
    yield _of_cluster(sight, client)
    troubles = list(judge(sight, needs))
    for finding in (*troubles, *await _missing(connection, sight, needs)):
        yield finding
    told = {finding.about for finding in troubles if finding.level is not Level.SKIPPED}
    for topic in sight.topics.values():
        if topic.visible and f"topic {topic.name!r}" not in told:
            yield Finding(Level.OK, f"topic {topic.name!r}", _described(topic))
    if f"group {needs.group!r}" not in told:
        yield await _of_group(connection, sight, needs, client, clock)
    if sight.metadata_bytes is None:
        said = f"does not show {OFFSET_METADATA}, which takes the right DescribeConfigs on it"
        yield Finding(Level.SKIPPED, "the cluster", said)
    yield clock_skew.judge(await clock_skew.skew(connection, clock.wall))


def _of_cluster(sight: Sight, client: Mapping[str, Any]) -> Finding:
    user = client.get("sasl_plain_username")
    known = "" if user is None else f" as {user!r}"
    brokers = len(sight.cluster.brokers)
    return Finding(
        Level.OK,
        f"Kafka at {client['bootstrap_servers']}",
        f"answers over {client['security_protocol']}{known}: {brokers} "
        f"broker{'s' * (brokers > 1)}, cluster {sight.cluster.cluster_id}",
    )


async def _missing(connection: AIOKafkaAdminClient, sight: Sight, needs: Needs) -> list[Finding]:
    """Whether topics that are not there can be created: the brokers say it without doing it."""
    plans = {needs.name(role): plan(role, sight, needs) for role in absent(sight)}
    if not plans:
        return []
    if not needs.topics.create:
        remedy = "create it, or set PENSTOCK_TOPICS__CREATE=true"
        return [Finding(Level.WRONG, f"topic {name!r}", "is missing", remedy) for name in plans]
    refused = await refusals(connection, list(plans.values()), validate_only=True)
    return [_planned(new, refused.get(new.name)) for new in plans.values()]


def _planned(new: NewTopic, refusal: str | None) -> Finding:
    about = f"topic {new.name!r}"
    if refusal is not None:
        return Finding(Level.WRONG, about, f"is missing and cannot be created: {refusal}")
    return Finding(
        Level.OK,
        about,
        "is missing, and `penstock serve` creates it: "
        f"{_count(new.num_partitions, 'partition')}, {_count(new.replication_factor, 'replica')}",
    )


def _described(topic: Topic) -> str:
    parts = [_count(topic.partitions, "partition"), _count(topic.replicas, "replica")]
    if (kept := number(topic, "retention.ms")) is not None:
        parts.append(f"kept for {duration(kept)}")
    if (limit := number(topic, "max.message.bytes")) is not None:
        parts.append(f"{limit / 1024:.0f} KiB a record")
    fits = "is there" if topic.config is None else "is set up as it has to be"
    return f"{fits}: {', '.join(parts)}"


async def _of_group(
    connection: AIOKafkaAdminClient,
    sight: Sight,
    needs: Needs,
    client: Mapping[str, Any],
    clock: Clock,
) -> Finding:
    about, group = f"group {needs.group!r}", sight.group
    if group is None:
        return Finding(Level.SKIPPED, about, "has no coordinator yet", "try again in a moment")
    questions = sight.topics.get("questions")
    behind = "" if questions is None or not questions.visible else ", no question waits"
    if questions is not None and questions.visible:
        waits = await _lag(connection, questions, needs, client, clock)
        behind = f", {_count(waits, 'question')} not committed" if waits else behind
    return Finding(Level.OK, about, f"has {_count(group.members, 'member')}{behind}")


async def _lag(
    connection: AIOKafkaAdminClient,
    questions: Topic,
    needs: Needs,
    client: Mapping[str, Any],
    clock: Clock,
) -> int:
    places = [TopicPartition(questions.name, number) for number in range(questions.partitions)]
    committed = await commits(connection, needs.group, places)
    async with reader(client, clock) as topics:
        whole = await topics.whole(places)
    return sum(
        max(0, log.end - max(log.start, committed[place].offset)) for place, log in whole.items()
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
