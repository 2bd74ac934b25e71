"""Which replay is meant, and which of its questions?"""

from collections.abc import Mapping

from aiokafka import TopicPartition

from penstock.cli.progress import counting
from penstock.cli.reading import Reading, tell
from penstock.errors import ConfigurationError
from penstock.kafka import describe
from penstock.kafka.admin import admin, require
from penstock.kafka.rights import Operation
from penstock.kafka.stretch import Reader, Stretch, reader
from penstock.replay.comparing import Found, comparable
from penstock.replay.plan import Plan
from penstock.replay.replayed import Replayed, completions_topic, own_prefix, planned, replayed
from penstock.replay.store import known

_LISTED = 5
"""Replays that are named where several could be meant."""


async def find(own: Reading, replay: str | None, prefix: str | None) -> Found:
    """One of the two is named.

    Raises:
        ConfigurationError: there is no such replay, or nothing of it in this range.
    """
    originals = own.settings.topics.completions
    plan = None if replay is None else await _plan(own, replay)
    answers = _topics(own, replay, prefix) if plan is None else [plan.completions]
    topics = await _there(own, answers, originals)
    async with reader(own.client, own.clock) as read:
        chosen = await _chosen(read, topics, replay) if plan is None else planned(plan)
        meant = await own.stretches(read, chosen.answers.questions)
        _say_what_is_gone(chosen, await read.whole(chosen.places))
    there = comparable(chosen, plan, originals, meant)
    if not there.records:
        raise ConfigurationError(
            f"in this range there is no question of the replay {there.replay!r}"
        )
    return there


async def _plan(own: Reading, replay: str) -> Plan | None:
    """None: nobody knows it any more; then the answers themselves are asked."""
    control = own.settings.topics.control
    async with admin(own.client) as connection:
        cluster = await describe.cluster(connection, [control])
    topic = cluster.topics.get(control)
    if topic is None or (topic.allowed is not None and Operation.READ not in topic.allowed):
        return None
    return await known(own.client, control, replay, own.clock)


def _topics(own: Reading, replay: str | None, prefix: str | None) -> list[str]:
    """Where its completions may be, the likeliest first."""
    if prefix is not None:
        return [completions_topic(prefix)]
    assert replay is not None
    return [completions_topic(own_prefix(replay)), own.settings.topics.completions]


async def _there(own: Reading, names: list[str], originals: str) -> list[str]:
    """Those of them that there are."""
    async with admin(own.client) as connection:
        cluster = await describe.cluster(connection, names)
        there = [name for name in names if name not in cluster.absent]
        if not there:
            raise ConfigurationError(f"there is no replay's topic {' or '.join(names)}")
        wanted = dict.fromkeys((*there, originals), (Operation.READ,))
        await require(connection, wanted, own.user)
    return there


async def _chosen(read: Reader, topics: list[str], replay: str | None) -> Replayed:
    for topic in topics:
        with counting("Looking for the replay's answers"):
            there = await replayed(read, topic, replay)
        if len(there) > 1:
            named = ", ".join(sorted(there)[:_LISTED])
            more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
            raise ConfigurationError(
                f"{topic} holds the answers of several replays: {named}{more}; name the one"
            )
        for one in there.values():
            return one
    where = " or in ".join(topics)
    if replay is None:
        raise ConfigurationError(f"there is no answer of any replay in {where}")
    raise ConfigurationError(
        f"there is no replay {replay!r}: nothing on the control topic says what it was to do, and "
        f"it has no answer in {where}; `penstock replay --resume {replay}` names those there are"
    )


def _say_what_is_gone(chosen: Replayed, logs: Mapping[TopicPartition, Stretch]) -> None:
    for place, log in logs.items():
        if chosen.stretches[place.partition].start < log.start:
            tell(
                f"the questions of partition {place.partition} before offset {log.start} are gone: "
                "what the replay has said of them is left out"
            )
