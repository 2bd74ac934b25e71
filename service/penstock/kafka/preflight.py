"""Can a service work on this Kafka as it is? A few requests, and nothing is written."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from penstock.finding import Finding, Level
from penstock.kafka import describe
from penstock.kafka.describe import Cluster, Group, Topic
from penstock.kafka.rights import MEMBER, SERVICE, Operation, Role, lacking, missing
from penstock.kafka.topic_rules import CONFIGS, troubles
from penstock.settings import Settings, TopicSettings

OFFSET_METADATA = "offset.metadata.max.bytes"

GROUP_SECONDS = 5.0
"""The first coordinator of a cluster takes a moment to come up."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a service asks of its Kafka.

    Args:
        topics: their names.
        group: its consumer group.
        assignor: by which the group deals out partitions.
        metadata_bytes: that a commit says beside the offset.
        longest_ms: that a question may take from when it is asked to its completion.
        user: as whom it is known, where that is known.
    """

    topics: TopicSettings
    group: str
    assignor: str
    metadata_bytes: int
    longest_ms: float
    user: str | None = None

    def name(self, role: Role) -> str:
        name: str = getattr(self.topics, role)
        return name


def needs(settings: Settings, client: Mapping[str, Any]) -> Needs:
    """What the service asks of its Kafka, as this client."""
    return Needs(
        topics=settings.topics,
        group=settings.kafka.group_id,
        assignor=settings.kafka.assignor,
        metadata_bytes=settings.commit.metadata_bytes,
        longest_ms=longest_run(settings) * 1000,
        user=client.get("sasl_plain_username"),
    )


def longest_run(settings: Settings) -> float:
    """Seconds that a question may take, from its start to the end of a drain."""
    timeouts = [program.timeout_ms or 0 for program in settings.programs.values()]
    return (max(settings.deadline.max_ms, *timeouts) + settings.drain_ms) / 1000


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen.

    Args:
        cluster: the brokers and our topics.
        topics: those that are there, by what they are to us.
        group: None: nobody coordinates it yet.
        metadata_bytes: that the brokers take beside an offset; None: we may not know.
    """

    cluster: Cluster
    topics: Mapping[Role, Topic]
    group: Group | None
    metadata_bytes: int | None


async def look(connection: AIOKafkaAdminClient, needs: Needs, patience: float = 0.0) -> Sight:
    """`patience`: seconds for a coordinator of the group.

    Raises:
        aiokafka.errors.KafkaError: no broker answers; TimeoutError: nor does it say so.
    """
    sight = await glance(connection, needs, patience)
    visible = [topic.name for topic in sight.topics.values() if topic.visible]
    configs, taken = await asyncio.gather(
        describe.configs(connection, visible, CONFIGS),
        describe.broker_config(connection, sight.cluster.brokers[0], OFFSET_METADATA),
    )
    topics = {
        role: replace(topic, config=found.values, own=found.own)
        if (found := configs.get(topic.name)) is not None
        else topic
        for role, topic in sight.topics.items()
    }
    return replace(sight, topics=topics, metadata_bytes=None if taken is None else int(taken))


async def glance(connection: AIOKafkaAdminClient, needs: Needs, patience: float = 0.0) -> Sight:
    """As `look`, without settings: enough to know our rights."""
    roles: dict[str, Role] = {needs.name(role): role for role in SERVICE}
    cluster, group = await asyncio.gather(
        describe.cluster(connection, roles), describe.group(connection, needs.group, patience)
    )
    seen = cluster.topics
    topics = {role: seen[name] for name, role in roles.items() if name in seen}
    return Sight(cluster, topics, group, None)


def judge(sight: Sight, needs: Needs) -> Iterator[Finding]:
    """What is wrong or may be one day, the worst first."""
    found = [*rights(sight, needs), *_of_topics(sight, needs), *_of_group(sight, needs)]
    order = list(Level)
    yield from sorted(found, key=lambda finding: order.index(finding.level), reverse=True)


def rights(sight: Sight, needs: Needs) -> Iterator[Finding]:
    """Which ones lack; of topics that are not there yet, too."""
    for role, wanted in SERVICE.items():
        name = needs.name(role)
        topic = sight.topics.get(role)
        has = sight.cluster.absent.get(name) if topic is None else topic.allowed
        yield from lacking("topic", name, wanted, has, needs.user)
    if sight.group is not None:
        yield from lacking("group", needs.group, MEMBER, sight.group.allowed, needs.user)


def _of_topics(sight: Sight, needs: Needs) -> Iterator[Finding]:
    topics: dict[Role, Topic] = {
        role: topic for role, topic in sight.topics.items() if topic.visible
    }
    for _, finding in troubles(topics, len(sight.cluster.brokers), needs.longest_ms):
        yield finding
    for topic in topics.values():
        if topic.leaderless:
            yield Finding(
                Level.WRONG,
                f"topic {topic.name!r}",
                "has a partition without a leader",
                "are all brokers up?",
            )
    yield from unseen(topics.values(), needs.user)
    taken = sight.metadata_bytes
    if taken is not None and taken < needs.metadata_bytes:
        yield Finding(
            Level.WRONG,
            "Kafka",
            f"takes {taken} bytes beside an offset ({OFFSET_METADATA}), and a commit may say "
            f"{needs.metadata_bytes}",
            f"set PENSTOCK_COMMIT__METADATA_BYTES={taken}",
        )


def unseen(topics: Iterable[Topic], user: str | None) -> Iterator[Finding]:
    """Those whose settings we may not see."""
    if names := [topic.name for topic in topics if topic.config is None]:
        about = missing("topic", names, [Operation.DESCRIBE_CONFIGS], user)
        said = f"{about.said}: their settings are not looked at, and 1 MiB is taken for the largest"
        yield replace(about, level=Level.WARNING, said=f"{said} record")


def _of_group(sight: Sight, needs: Needs) -> Iterator[Finding]:
    group = sight.group
    if group is not None and group.assignor not in {"", needs.assignor}:
        yield Finding(
            Level.WRONG,
            f"group {needs.group!r}",
            f"deals out partitions by {group.assignor}, and KAFKA__ASSIGNOR is {needs.assignor}: "
            "it takes no member of another mind",
            f"stop its {group.members} members first, or set "
            f"PENSTOCK_KAFKA__ASSIGNOR={group.assignor}",
        )
