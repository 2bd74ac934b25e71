"""What do the brokers say of themselves, of topics, of the group, and of our rights?"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    IncompatibleBrokerVersion,
    InvalidTopicError,
    NotCoordinatorForGroupError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.errors import KafkaError as ClientError

from penstock.kafka.requests import DescribeGroups, DescribeQuorum, Metadata
from penstock.kafka.rights import Allowed, allowed
from penstock.kafka.stretch import in_time

POLL_SECONDS = 0.1

_SET_ON_THE_TOPIC = 1
"""`DYNAMIC_TOPIC_CONFIG`, of all the places that a topic's setting may come from."""

_AGAIN = (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
)
"""The coordinator is about to be there, as on a cluster that never had a group."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One that is there, or that we may not see.

    Args:
        name: of the topic.
        partitions: how many; 0: we may not see it.
        replicas: of the partition with the fewest.
        in_sync: of the partition with the fewest.
        leaderless: how many partitions nobody leads.
        allowed: what we may do with it.
        config: its settings; None: we may not see them.
        own: which of them somebody has set on this topic; the others are the cluster's.
    """

    name: str
    partitions: int
    replicas: int
    in_sync: int
    leaderless: int
    allowed: Allowed
    config: Mapping[str, str] | None = None
    own: frozenset[str] = frozenset()

    @property
    def visible(self) -> bool:
        return self.partitions > 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Args:
    brokers: their numbers.
    cluster_id: of the cluster.
    topics: of those asked for, the ones that are there or that we may not see.
    absent: of those asked for, the others, and what we might do with them.
    """

    brokers: tuple[int, ...]
    cluster_id: str | None
    topics: Mapping[str, Topic]
    absent: Mapping[str, Allowed]


class Config(NamedTuple):
    """As `config` and `own` of a topic."""

    values: dict[str, str]
    own: frozenset[str]


@dataclass(frozen=True, slots=True)
class Seat:
    """A member, as the group knows it.

    Args:
        member_id: that the group has given it.
        host: from which it came.
        places: topic and partition of what it has; nothing while the group rebalances.
    """

    member_id: str
    host: str
    places: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Group:
    """Args:
    state: `Stable`, `Empty`, `Dead` ...
    assignor: by which it deals out partitions; empty without members.
    seats: its members.
    allowed: what we may do with it.
    """

    state: str
    assignor: str
    seats: tuple[Seat, ...]
    allowed: Allowed

    @property
    def members(self) -> int:
        return len(self.seats)


async def cluster(connection: AIOKafkaAdminClient, topics: Iterable[str]) -> Cluster:
    """Creates none of the topics, however the brokers are set.

    Raises:
        aiokafka.errors.KafkaError: no broker answers; TimeoutError: nor does it say so.
    """
    answer = await in_time(
        connection._send_request(Metadata(sorted(topics)))  # noqa: SLF001 - there is no public way
    )
    found: dict[str, Topic] = {}
    absent: dict[str, Allowed] = {}
    for code, name, _, partitions, *bits in answer.topics:
        may = allowed(bits[0]) if bits else None
        error = for_code(code)
        if error in {UnknownTopicOrPartitionError, InvalidTopicError}:
            absent[name] = may
        elif error is TopicAuthorizationFailedError:
            # Whether it is there, they do not tell either.
            found[name] = Topic(name, 0, 0, 0, 0, frozenset())
        else:
            found[name] = _topic(name, partitions, may)
    brokers = tuple(sorted(broker[0] for broker in answer.brokers))
    return Cluster(brokers, answer.cluster_id, found, absent)


async def partitions(connection: AIOKafkaAdminClient, topic: str) -> int | None:
    """How many it has; None: that is not to be seen."""
    try:
        seen = (await cluster(connection, [topic])).topics.get(topic)
    except (ClientError, TimeoutError):
        return None
    return seen.partitions if seen is not None and seen.visible else None


def _topic(name: str, partitions: list[Any], may: Allowed) -> Topic:
    # The last three of a partition are the same in all versions, and so is its leader's place.
    replicas = [partition[-3] for partition in partitions]
    in_sync = [partition[-2] for partition in partitions]
    return Topic(
        name,
        len(partitions),
        min(map(len, replicas), default=0),
        min(map(len, in_sync), default=0),
        sum(partition[2] < 0 for partition in partitions),
        may,
    )


async def configs(
    connection: AIOKafkaAdminClient, topics: Iterable[str], names: Iterable[str]
) -> dict[str, Config]:
    """The settings of topics, without those that we may not see."""
    wanted = dict.fromkeys(names)
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic, configs=wanted) for topic in topics]
    return await _configs(connection, asked) if asked else {}


async def broker_config(connection: AIOKafkaAdminClient, broker: int, name: str) -> str | None:
    """A setting of a broker; None: we may not see it."""
    asked = ConfigResource(ConfigResourceType.BROKER, str(broker), configs={name: None})
    found = (await _configs(connection, [asked])).get(str(broker))
    return None if found is None else found.values.get(name)


async def _configs(
    connection: AIOKafkaAdminClient, asked: list[ConfigResource]
) -> dict[str, Config]:
    return {
        name: Config(
            {entry[0]: entry[1] for entry in entries if entry[1] is not None},
            frozenset(entry[0] for entry in entries if _own(answer, entry)),
        )
        for answer in await in_time(connection.describe_configs(asked))
        for code, _, _, name, entries in answer.resources
        if code == 0
    }


def _own(answer: Any, entry: Any) -> bool:
    # Brokers before 1.1 only say whether it is the default.
    return not entry[3] if answer.API_VERSION == 0 else entry[3] == _SET_ON_THE_TOPIC


async def group(connection: AIOKafkaAdminClient, name: str, patience: float) -> Group | None:
    """None: nobody coordinates it yet, even after so many seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        try:
            coordinator = await in_time(connection.find_coordinator(name))
            answer = await in_time(
                connection._send_request(DescribeGroups(name), coordinator)  # noqa: SLF001
            )
            [(code, _, state, _, assignor, members, *bits)] = answer.groups
            if code:
                raise for_code(code)
        except GroupAuthorizationFailedError:
            return Group("", "", (), frozenset())
        except _AGAIN:
            if loop.time() >= until:
                return None
            await asyncio.sleep(POLL_SECONDS)
        else:
            seats = tuple(_seat(*member) for member in members)
            return Group(state, assignor, seats, allowed(bits[0]) if bits else None)


def _seat(member_id: str, _: str, host: str, __: bytes, assignment: bytes) -> Seat:
    try:
        found = ConsumerProtocolMemberAssignment.decode(assignment).partitions()
    except (ValueError, TypeError):
        # It has none yet, or deals out something else than partitions.
        found = []
    return Seat(member_id, host.removeprefix("/"), frozenset(map(tuple, found)))


async def controllers_time(connection: AIOKafkaAdminClient) -> float | None:
    """What the clock of Kafka's active controller shows, in Unix seconds; None: we may not know,
    or it does not say.

    Of itself, the leader of the quorum says that it has caught up just now (KIP-836).
    """
    try:
        answer = await in_time(connection._send_request(DescribeQuorum()))  # noqa: SLF001
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    for _, partitions, _ in answer.topics:
        for _, code, leader, _, _, voters, *_ in partitions:
            for voter, _, _, caught_up, _ in voters:
                if code == 0 and voter == leader and caught_up > 0:
                    return float(caught_up) / 1000
    return None
