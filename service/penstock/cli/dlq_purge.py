"""Which dead letters are deleted for good?"""

import asyncio
from collections.abc import Mapping
from typing import Literal

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import PolicyViolationError

from penstock.cli.connecting import Way
from penstock.cli.dlq_open import Opened, in_words, opened
from penstock.cli.reading import tell
from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.kafka import describe
from penstock.kafka.rights import READ, Operation
from penstock.kafka.stretch import Stretch, in_time
from penstock.replay import bounds
from penstock.replay.bounds import Range

PARTLY = 3


def run(
    way: Way,
    before: str,
    partitions: list[int],
    output: Literal["text", "json"],
    *,
    execute: bool,
) -> int:
    """The exit code.

    Raises:
        ConfigurationError, KafkaError: nothing is deleted.
    """
    return asyncio.run(_purge(way, _up_to(before), partitions, output, execute=execute))


def _up_to(text: str) -> Range:
    try:
        return Range(end=bounds.bound(text, Clock().wall()))
    except ValueError as error:
        raise ConfigurationError(
            f"--before {text}: write one offset (42), all but the last so many (-42), one time "
            "(@2026-11-27, @-7d), or end"
        ) from error


async def _purge(
    way: Way,
    wanted: Range,
    partitions: list[int],
    output: Literal["text", "json"],
    *,
    execute: bool,
) -> int:
    async with opened(way, {"dead_letters": (READ, Operation.DELETE)}) as desk:
        with in_words(desk.topic):
            await _deletable(desk)
            found = await desk.resolved(desk.places(partitions), wanted)
            doomed = {place: s for place, s in found.stretches.items() if s.start < s.end}
            failed = await _delete(desk, doomed) if execute else {}
    for place, stretch in doomed.items():
        if place not in failed:
            _tell(place, stretch, output, execute=execute)
    for place, why in failed.items():
        tell(f"partition {place.partition} of {place.topic}: {why}")
    count = sum(stretch.end - stretch.start for stretch in doomed.values())
    if not execute:
        tell(
            f"{count} dead letters would be deleted; --execute does it"
            if count
            else "nothing to delete"
        )
    elif not count:
        tell("nothing to delete")
    if failed and len(failed) == len(doomed):
        raise KafkaError("of no partition is it known that anything was deleted")
    return PARTLY if failed else 0


async def _deletable(desk: Opened) -> None:
    """Kafka refuses it too, but a dry run would not know."""
    name = "cleanup.policy"
    config = (await describe.configs(desk.connection, [desk.topic], [name])).get(desk.topic)
    policy = None if config is None else config.values.get(name)
    if policy is not None and "delete" not in policy:
        raise ConfigurationError(_compacted(desk.topic))


async def _delete(
    desk: Opened, doomed: Mapping[TopicPartition, Stretch]
) -> dict[TopicPartition, str]:
    """One partition after the other: what is to be said where it is not known to be done."""
    failed: dict[TopicPartition, str] = {}
    for place, stretch in doomed.items():
        try:
            await in_time(desk.connection.delete_records({place: RecordsToDelete(stretch.end)}))
        except PolicyViolationError as error:
            raise ConfigurationError(_compacted(desk.topic)) from error
        except ClientError as error:
            failed[place] = f"not deleted: {error or type(error).__name__}"
        except TimeoutError:
            failed[place] = "Kafka does not answer, and may have deleted them: a dry run says it"
    return failed


def _compacted(topic: str) -> str:
    return (
        f"topic {topic!r} is compacted, and Kafka deletes no records by their offsets there; "
        "set its cleanup.policy to delete"
    )


def _tell(
    place: TopicPartition, stretch: Stretch, output: Literal["text", "json"], *, execute: bool
) -> None:
    count = stretch.end - stretch.start
    if output == "json":
        said = {
            "topic": place.topic,
            "partition": place.partition,
            "from": stretch.start,
            "before": stretch.end,
            "records": count,
            "deleted": execute,
        }
        print(orjson.dumps(said).decode())
    else:
        verb = "deleted" if execute else "would delete"
        print(
            f"{verb} {count} of partition {place.partition}: {stretch.start} to {stretch.end - 1}"
        )
