"""Where do the plans of replays stand? On the control topic, each written once."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.events.envelope import rfc3339
from penstock.kafka import control
from penstock.kafka.admin import admin, require
from penstock.kafka.control_log import ControlLog, Stated, stated
from penstock.kafka.group_offsets import done
from penstock.kafka.rights import Operation
from penstock.kafka.stretch import Stretch, reader
from penstock.replay.plan import KEY, Plan, decode, encode
from penstock.replay.progress import Progress, progress

LISTED = 10
"""Plans that are named where none is found: the last ones."""


async def known(client: Mapping[str, Any], topic: str, name: str, clock: Clock) -> Plan | None:
    """None: there is none of that name, or no more. Raises ConfigurationError as `decode` does."""
    key = f"{KEY}{name}"
    said = (await stated(client, topic, key, clock)).get(key)
    return None if said is None else decode(said.value)


async def load(client: Mapping[str, Any], topic: str, name: str, clock: Clock) -> Plan:
    """Raises ConfigurationError: there is none of that name, and which there are; or no Kafka, no
    such topic, no right to read it.
    """
    await _may(client, topic, Operation.READ)
    plans = await stated(client, topic, KEY, clock)
    if (said := plans.get(f"{KEY}{name}")) is None:
        raise ConfigurationError(f"there is no replay {name!r} on {topic}; {_named(plans)}")
    return decode(said.value)


def latest(control: Mapping[str, Stated], most: int) -> tuple[Plan, ...]:
    """Of what the control topic says: the last plans that can be read, the newest first."""
    plans: list[Plan] = []
    for one in [said for key, said in reversed(list(control.items())) if key.startswith(KEY)]:
        # One of a later release is none of ours.
        with suppress(ConfigurationError):
            plans.append(decode(one.value))
        if len(plans) == most:
            break
    return tuple(plans)


async def standing(connection: AIOKafkaAdminClient, plan: Plan) -> Progress:
    """How far all of its members have come. Raises as `done` does."""
    commits = await done(connection, plan.group, plan.places)
    return progress(plan, {place.partition: commit for place, commit in commits.items()})


def _named(plans: Iterable[str]) -> str:
    there = ", ".join(key.removeprefix(KEY) for key in list(plans)[-LISTED:])
    return f"there are {there}" if there else "there is none at all"


async def publish(client: Mapping[str, Any], topic: str, plan: Plan, clock: Clock) -> None:
    """Raises ConfigurationError: there is one of that name, or was; or as `load` does."""
    key, place = f"{KEY}{plan.id}", TopicPartition(topic, 0)
    value = encode(plan)
    await _may(client, topic, Operation.READ, Operation.WRITE)
    async with reader(client, clock) as topics:
        [(_, looked)] = (await topics.whole([place])).values()
        if (before := (await ControlLog(topic, key).stated(topics)).get(key)) is not None:
            made = rfc3339(decode(before.value).created_at / 1000)
            raise ConfigurationError(
                f"there is a replay {plan.id!r}, made at {made}: go on with it by `penstock replay "
                f"--resume {plan.id} --execute`, or take another --id"
            )
        async with admin(client) as connection:
            commits = await done(connection, plan.group, plan.places)
        if any(commit is not None for commit in commits.values()):
            raise ConfigurationError(
                f"the group {plan.group!r} has offsets of a replay of before; take another --id"
            )
        await control.say(client, topic, {key: value}, clock)
        [(_, end)] = (await topics.whole([place])).values()
        said = topics.read("control", {place: Stretch(looked, end)})
        first = [record.value async for record in said if record.key == key.encode()][:1]
    if first == [value]:
        return
    if first:
        # Its maker works by it already; who joins later finds the last one.
        await control.say(client, topic, {key: first[0]}, clock)
    raise ConfigurationError(f"somebody else has made a replay {plan.id!r} just now")


async def _may(client: Mapping[str, Any], topic: str, *operations: Operation) -> None:
    async with admin(client) as connection:
        await require(connection, {topic: operations}, client.get("sasl_plain_username"))
