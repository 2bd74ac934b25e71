"""Topics: which are missing, and how they are created; and may a service start on what is there?"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import for_code

from penstock.errors import ConfigurationError
from penstock.finding import Finding, Level
from penstock.kafka import describe
from penstock.kafka.describe import Cluster, Topic
from penstock.kafka.entry import enter
from penstock.kafka.preflight import Needs, Sight, judge, look, rights, unseen
from penstock.kafka.rights import SERVICE, Operation, Role, lacking
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.sink import Target
from penstock.kafka.stopping import started
from penstock.kafka.topic_plan import plan
from penstock.kafka.topic_rules import UNSEEN_LIMIT, number

log = structlog.get_logger("penstock.kafka")

_CONNECT_TIMEOUT = 15.0
_POLL = 0.05
_ALREADY_EXISTS = 36


@dataclass(frozen=True, slots=True)
class Topics:
    """Where the service reads and writes. `partitions`: of the questions."""

    questions: str
    partitions: int
    tokens: Target
    completions: Target
    dead_letters: Target
    control: str


@asynccontextmanager
async def admin(client: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client.

    Raises:
        ConfigurationError: there is no Kafka at this address, or it does not let us in.
    """
    # The client takes them in any order, and waits long for one that says nothing.
    there = {**client, "bootstrap_servers": str(await enter(client))}
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            connection = AIOKafkaAdminClient(**there, client_id="penstock")
            try:
                await started(connection.start())
            except BaseException:
                await connection.close()
                raise
    except (ClientError, TimeoutError, OSError) as error:
        raise ConfigurationError(
            f"Kafka at {there['bootstrap_servers']} does not answer: {short(error)}"
        ) from error
    try:
        yield connection
    finally:
        await connection.close()


async def prepare(client: Mapping[str, Any], needs: Needs) -> Topics:
    """Creates what is missing and looks whether the service can work. What may do harm one day
    it logs.

    Raises:
        ConfigurationError: Kafka is away, a right lacks, or a topic is missing and may or can not
            be created, or is not set up as it has to be.
    """
    async with admin(client) as connection:
        try:
            sight = await look(connection, needs)
            _refuse(rights(sight, needs))
            if missing := absent(sight):
                _may_create(missing, needs)
                sight = await create(connection, sight, needs, missing)
            elif any(topic.leaderless for topic in sight.topics.values()):
                sight = await _led(connection, needs)
        except (ClientError, TimeoutError) as error:
            raise ConfigurationError(f"topics: {short(error)}") from error
    found = list(judge(sight, needs))
    _refuse(found)
    for finding in found:
        log.warning(str(finding))
    topics = sight.topics
    return Topics(
        questions=needs.topics.questions,
        partitions=topics["questions"].partitions,
        tokens=_target(topics["tokens"]),
        completions=_target(topics["completions"]),
        dead_letters=_target(topics["dead_letters"]),
        control=needs.topics.control,
    )


async def require(
    connection: AIOKafkaAdminClient, wanted: Mapping[str, Iterable[Operation]], user: str | None
) -> Mapping[str, Topic]:
    """The topics, with which we may do what is wanted.

    Raises:
        ConfigurationError: one is missing, or a right.
    """
    try:
        cluster = await describe.cluster(connection, wanted)
    except (ClientError, TimeoutError) as error:
        raise ConfigurationError(f"topics: {short(error)}") from error
    return ours(cluster, wanted, user)


def ours(
    cluster: Cluster, wanted: Mapping[str, Iterable[Operation]], user: str | None
) -> Mapping[str, Topic]:
    """Raises as `require` does, of what was seen."""
    for name, operations in wanted.items():
        if name in cluster.absent:
            raise ConfigurationError(
                f"topic {name!r} is missing; start `penstock serve`, which creates it"
            )
        _refuse(lacking("topic", name, operations, cluster.topics[name].allowed, user))
    return cluster.topics


async def record_limit(connection: AIOKafkaAdminClient, topic: str) -> int:
    """Bytes of a batch of records; Kafka's own limit where the topic's cannot be seen."""
    name = "max.message.bytes"
    config = (await describe.configs(connection, [topic], [name])).get(topic)
    return UNSEEN_LIMIT if config is None else int(config.values.get(name, UNSEEN_LIMIT))


def short(error: Exception) -> str:
    """There are exceptions that say nothing but their name."""
    return str(error) or type(error).__name__


def _refuse(findings: Iterable[Finding]) -> None:
    wrong = [str(finding) for finding in findings if finding.level is Level.WRONG]
    if wrong:
        others = len(wrong) - 1
        more = f" (and {others} more; `penstock check` shows all)" if others else ""
        raise ConfigurationError(f"{wrong[0]}{more}")


def absent(sight: Sight) -> list[Role]:
    """Which topics are not there."""
    return [role for role in SERVICE if role not in sight.topics]


def _may_create(missing: list[Role], needs: Needs) -> None:
    if not needs.topics.create:
        raise ConfigurationError(
            f"topic {needs.name(missing[0])!r} is missing; create it (`penstock topics create`), "
            "or set PENSTOCK_TOPICS__CREATE=true"
        )


def plannable(sight: Sight, needs: Needs) -> None:
    """Raises ConfigurationError: the settings of the questions, where those are there, cannot be
    seen, and others are created by them.
    """
    questions = sight.topics.get("questions")
    for finding in unseen([] if questions is None else [questions], needs.user):
        said = f"{finding.said.partition(':')[0]}, and others are created by its settings"
        raise ConfigurationError(f"{replace(finding, said=said)}; or create them")


async def create(
    connection: AIOKafkaAdminClient, sight: Sight, needs: Needs, missing: list[Role]
) -> Sight:
    """What is there when all of them are led. The questions first: the others are like them.

    Raises:
        ConfigurationError: one cannot be created, or has no leader in time.
        aiokafka.errors.KafkaError: no broker answers; TimeoutError: nor does it say so.
    """
    if "questions" in missing:
        await _create(connection, [plan("questions", sight, needs)])
        sight = await _led(connection, needs, "questions")
    if others := [role for role in missing if role != "questions"]:
        plannable(sight, needs)
        await _create(connection, [plan(role, sight, needs) for role in others])
        sight = await _led(connection, needs)
    return sight


def _target(topic: Topic) -> Target:
    limit = number(topic, "max.message.bytes")
    return Target(topic.name, topic.partitions, UNSEEN_LIMIT if limit is None else int(limit))


async def _led(connection: AIOKafkaAdminClient, needs: Needs, role: Role | None = None) -> Sight:
    """What is there when all topics have their leaders, or this one has: a created topic reaches
    the brokers a little later, and nobody tells when.

    Raises:
        ConfigurationError: one has none.
    """
    until = asyncio.get_running_loop().time() + _CONNECT_TIMEOUT
    while True:
        sight = await look(connection, needs)
        waiting = [
            wanted
            for wanted in (SERVICE if role is None else [role])
            if (topic := sight.topics.get(wanted)) is None or topic.leaderless
        ]
        if not waiting:
            return sight
        if asyncio.get_running_loop().time() >= until:
            raise ConfigurationError(
                f"topic {needs.name(waiting[0])!r} has a partition without a leader; "
                "are all brokers up?"
            )
        await asyncio.sleep(_POLL)


async def _create(connection: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    for topic in topics:
        log.info("creating a topic", topic=topic.name)
    for name, reason in (await refusals(connection, topics, validate_only=False)).items():
        raise ConfigurationError(f"topic {name!r} is missing and cannot be created: {reason}")


async def refusals(
    connection: AIOKafkaAdminClient, topics: list[NewTopic], *, validate_only: bool
) -> dict[str, str]:
    """Why topics cannot be created, by their names; nothing of those that can."""
    answer = await connection.create_topics(topics, validate_only=validate_only)
    return {
        name: _why_not(name, for_code(code), message)
        for name, code, message in answer.topic_errors
        # Another replica of ours may have been faster.
        if code not in {0, _ALREADY_EXISTS}
    }


def _why_not(name: str, error: type[ClientError], message: str | None) -> str:
    if issubclass(error, FORBIDDEN):
        return f"the right Create lacks; grant it, or create the topic {name}"
    return message or error.__name__
