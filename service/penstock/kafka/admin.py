"""Topics: which are there, which are missing, and how large a record may be."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import for_code

from penstock.errors import ConfigurationError
from penstock.kafka.entry import enter
from penstock.kafka.sink import Target
from penstock.settings import TopicSettings

log = structlog.get_logger("penstock.kafka")

DAY_MS = 24 * 60 * 60 * 1000
DEAD_LETTER_HEADROOM = 64 * 1024
"""Bytes a dead letter's headers may add to the record it holds."""

_CONNECT_TIMEOUT = 15.0
_ALREADY_EXISTS = 36


@dataclass(frozen=True, slots=True)
class Topics:
    """Where the service reads and writes."""

    questions: str
    tokens: Target
    completions: Target
    dead_letters: Target
    control: str


@dataclass(frozen=True, slots=True)
class _Topic:
    partitions: int
    config: Mapping[str, str]


@asynccontextmanager
async def admin(client: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client.

    Raises:
        ConfigurationError: there is no Kafka at this address, or it does not let us in.
    """
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            await enter(client)
            connection = AIOKafkaAdminClient(**client, client_id="penstock")
            try:
                await connection.start()
            except BaseException:
                await connection.close()
                raise
    except (ClientError, TimeoutError, OSError) as error:
        servers = client["bootstrap_servers"]
        raise ConfigurationError(
            f"Kafka at {servers} does not answer: {error or 'timeout'}"
        ) from error
    try:
        yield connection
    finally:
        await connection.close()


async def prepare(client: Mapping[str, Any], settings: TopicSettings) -> Topics:
    """Creates what is missing and looks up what is there.

    Raises:
        ConfigurationError: Kafka is away, or a topic is missing and may or can not be created.
    """
    wanted = (
        settings.questions,
        settings.tokens,
        settings.completions,
        settings.dead_letters,
        settings.control,
    )
    async with admin(client) as connection:
        try:
            found = await _describe(connection, wanted)
            missing = [topic for topic in wanted if topic not in found]
            if missing and not settings.create:
                raise ConfigurationError(
                    f"topic {missing[0]!r} is missing; create it, "
                    "or set PENSTOCK_TOPICS__CREATE=true"
                )
            if settings.questions in missing:
                replicas = settings.replication_factor or await _replicas(connection)
                log.info("creating a topic", topic=settings.questions)
                await _create(connection, settings.questions, settings.partitions, replicas, {})
                found |= await _appeared(connection, [settings.questions])
                missing.remove(settings.questions)
            if missing:
                replicas = settings.replication_factor or await _replicas(connection)
                questions = found[settings.questions]
                for topic in missing:
                    config = _config(topic, settings, questions.config)
                    log.info("creating a topic", topic=topic)
                    partitions = 1 if topic == settings.control else questions.partitions
                    await _create(connection, topic, partitions, replicas, config)
                found |= await _appeared(connection, missing)
        except TimeoutError as error:
            raise ConfigurationError(
                f"topic {missing[0]!r} has a partition without a leader; are all brokers up?"
            ) from error
        except ClientError as error:
            raise ConfigurationError(f"topics: {error}") from error
    _check_dead_letters(settings, found)
    if (partitions := found[settings.control].partitions) != 1:
        raise ConfigurationError(
            f"topic {settings.control!r} has {partitions} partitions; it must have 1, for what is "
            "asked there counts in its order. Delete it, or set PENSTOCK_TOPICS__CONTROL to another"
        )
    return Topics(
        questions=settings.questions,
        tokens=_target(settings.tokens, found[settings.tokens]),
        completions=_target(settings.completions, found[settings.completions]),
        dead_letters=_target(settings.dead_letters, found[settings.dead_letters]),
        control=settings.control,
    )


def _check_dead_letters(settings: TopicSettings, found: Mapping[str, _Topic]) -> None:
    limits = {name: int(topic.config["max.message.bytes"]) for name, topic in found.items()}
    questions = limits[settings.questions]
    if limits[settings.dead_letters] < questions:
        raise ConfigurationError(
            f"topic {settings.dead_letters!r} does not take every question: set its "
            f"max.message.bytes to {questions + DEAD_LETTER_HEADROOM}, or lower that of "
            f"{settings.questions!r}"
        )


def _config(topic: str, settings: TopicSettings, questions: Mapping[str, str]) -> dict[str, str]:
    """None of the answers is compacted: their key is the ordering key, and every record counts."""
    if topic == settings.control:
        # Of a key only the last record counts, and what is paused stays so for long.
        # What was asked before a cancellation is known by its time: not by the clock of whoever
        # says so.
        return {
            "cleanup.policy": "compact,delete",
            "retention.ms": str(30 * DAY_MS),
            "message.timestamp.type": "LogAppendTime",
        }
    config = {"cleanup.policy": "delete"}
    if topic == settings.tokens:
        config["retention.ms"] = str(DAY_MS)
    elif topic == settings.completions:
        config["retention.ms"] = questions["retention.ms"]
    else:
        config["retention.ms"] = str(30 * DAY_MS)
        limit = int(questions["max.message.bytes"]) + DEAD_LETTER_HEADROOM
        config["max.message.bytes"] = str(limit)
    return config


def _target(name: str, topic: _Topic) -> Target:
    return Target(name, topic.partitions, int(topic.config["max.message.bytes"]))


async def _describe(connection: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, _Topic]:
    # All topics: to ask for one by its name creates it, where the brokers are set so.
    described = await connection.describe_topics()
    partitions = {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if topic["topic"] in topics
        and topic["error_code"] == 0
        and topic["partitions"]
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }
    if not partitions:
        return {}
    names = {"max.message.bytes": None, "retention.ms": None, "cleanup.policy": None}
    responses = await connection.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, configs=names) for topic in partitions]
    )
    return {
        name: _Topic(partitions[name], {entry[0]: entry[1] for entry in entries})
        for response in responses
        for error, _, _, name, entries in response.resources
        if error == 0
    }


async def _appeared(connection: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, _Topic]:
    """A created topic reaches the brokers' metadata a little later, and nobody tells when."""
    async with asyncio.timeout(_CONNECT_TIMEOUT):
        while len(found := await _describe(connection, topics)) < len(topics):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def _replicas(connection: AIOKafkaAdminClient) -> int:
    # The client refuses -1, Kafka's word for the broker's own default.
    cluster = await connection.describe_cluster()
    return min(3, len(cluster["brokers"]))


async def _create(
    connection: AIOKafkaAdminClient,
    topic: str,
    partitions: int,
    replicas: int,
    config: dict[str, str],
) -> None:
    response = await connection.create_topics(
        [NewTopic(topic, partitions, replicas, topic_configs=config)]
    )
    for name, code, message in response.topic_errors:
        # Another replica of ours may have been faster.
        if code not in {0, _ALREADY_EXISTS}:
            reason = message or for_code(code).__name__
            raise ConfigurationError(f"topic {name!r} cannot be created: {reason}")
