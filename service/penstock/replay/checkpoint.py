"""Where does a redrive go on? Its group knows; where Kafka forgets that, its own plan does."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import ValidationError

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.events.control import REDRIVE, Redriving
from penstock.kafka import control, describe
from penstock.kafka.control_log import Stated, stated
from penstock.kafka.group_offsets import commits
from penstock.kafka.rights import MEMBER, lacking
from penstock.kafka.stretch import Stretch
from penstock.kafka.transactions import Transactions

COORDINATOR_SECONDS = 5.0
"""The first coordinator of a cluster takes a moment to come up."""


def name_of(plan: Redriving) -> str:
    """Of its group, and of its transactions: others on the same Kafka have dead letters, too."""
    return f"penstock.redrive.{plan.dead_letters}.{plan.id}"


async def may_read(connection: AIOKafkaAdminClient, name: str, user: str | None) -> None:
    """Raises ConfigurationError: the right on the group lacks. `user`: as whom we are known."""
    group = await describe.group(connection, name, COORDINATOR_SECONDS)
    if group is not None:
        for finding in lacking("group", name, MEMBER, group.allowed, user):
            raise ConfigurationError(str(finding))


class Left(NamedTuple):
    """`before`: how many records this redrive has read already."""

    stretches: Mapping[TopicPartition, Stretch]
    before: int
    notes: tuple[str, ...]


async def earlier(
    client: Mapping[str, Any], topic: str, plan: Redriving, clock: Clock
) -> Redriving | None:
    """What was said under this id before; None: nothing.

    Args:
        client: the connection.
        topic: of what is asked of all members.
        plan: what is meant to be done now.
        clock: of the reading.

    Raises:
        ConfigurationError: it was another selection.
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: the topic cannot be read.
    """
    return said_before(await stated(client, topic, f"{REDRIVE}{plan.id}", clock), plan)


def said_before(control: Mapping[str, Stated], plan: Redriving) -> Redriving | None:
    """As `earlier`, of what was read there."""
    key = f"{REDRIVE}{plan.id}"
    if (found := control.get(key)) is None:
        return None
    try:
        before = Redriving.model_validate_json(found.value)
    except ValidationError as error:
        raise ConfigurationError(f"the record {key!r} is none of this release") from error
    for what, said, meant in (
        ("dead letters", before.dead_letters, plan.dead_letters),
        ("questions topic", before.questions, plan.questions),
        ("selection", before.selection, plan.selection),
    ):
        if said != meant:
            raise ConfigurationError(
                f"--id {plan.id} was used for another {what} ({_words(said)}, and now "
                f"{_words(meant)}): take another --id"
            )
    return before


async def left(
    connection: AIOKafkaAdminClient,
    plan: Redriving,
    before: Redriving | None,
    stretches: Mapping[TopicPartition, Stretch],
    logs: Mapping[TopicPartition, Stretch],
) -> Left:
    """What this redrive has not read yet.

    Args:
        connection: to the group's coordinator.
        plan: what is meant to be done now.
        before: what was said under its id before.
        stretches: what is selected now.
        logs: the partitions, whole.

    Raises:
        ConfigurationError: the dead letters are others than those of before.
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: nobody says.
    """
    committed = await commits(connection, name_of(plan), stretches)
    planned = {} if before is None else before.ends
    found, notes = {}, []
    for place, meant in stretches.items():
        at, log = committed[place].offset, logs[place]
        until = planned.get(place.partition, -1)
        if at < 0 <= until:
            at = until
            notes.append(_FORGOTTEN)
        if at > log.end:
            raise ConfigurationError(
                f"redrive {plan.id} has read partition {place.partition} of {place.topic} up to "
                f"{at}, which ends at {log.end}: the topic was made anew, take another --id"
            )
        rest = Stretch(max(at, log.start), min(until, log.end))
        if at < 0 or rest.start >= rest.end:
            start = max(meant.start, at)
            found[place] = Stretch(start, max(start, meant.end))
        elif rest.end < meant.start:
            found[place] = rest
            notes.append(_CUT_OFF)
        else:
            # Where the range has moved on with the time, what it has left behind is still to do.
            found[place] = Stretch(rest.start, max(rest.end, meant.end))
    read = sum(max(0, min(found[p].start, s.end) - s.start) for p, s in stretches.items())
    return Left(found, read, tuple(dict.fromkeys(notes)))


_FORGOTTEN = (
    "Kafka has forgotten how far this redrive came (offsets.retention.minutes): all that it was to "
    "do counts as done; what it was cut off from goes by another --id"
)
_CUT_OFF = (
    "this redrive was cut off: first comes what is left of that; the same command once more takes "
    "what is selected now"
)


async def begin(
    client: Mapping[str, Any],
    topic: str,
    said: Transactions,
    plan: Redriving,
    before: Redriving | None,
    stretches: Mapping[TopicPartition, Stretch],
    clock: Clock,
) -> None:
    """Says where it begins, then how far it may come: so that nothing goes twice, even when the
    first is forgotten.

    Raises:
        ConfigurationError, KafkaError: it cannot be said.
    """
    await said.say((), {place: stretch.start for place, stretch in stretches.items()})
    ends = {} if before is None else dict(before.ends)
    for place, stretch in stretches.items():
        ends[place.partition] = max(ends.get(place.partition, 0), stretch.end)
    if before is None or ends != before.ends:
        record = plan.model_copy(update={"ends": ends})
        value = record.model_dump_json().encode()
        await control.say(client, topic, {f"{REDRIVE}{plan.id}": value}, clock)


def _words(said: str | tuple[str, ...]) -> str:
    return said if isinstance(said, str) else " ".join(said) or "all of them"
