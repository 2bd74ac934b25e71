"""Where does a redrive go on? Its group knows; where Kafka forgets that, its own plan does."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import ValidationError

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.events.control import REDRIVE, Redriving
from penstock.kafka import control
from penstock.kafka.control_log import stated
from penstock.kafka.stretch import Stretch, in_time
from penstock.kafka.transactions import Transactions


def name_of(plan: Redriving) -> str:
    """Of its group, and of its transactions: others on the same Kafka have dead letters, too."""
    return f"penstock.redrive.{plan.dead_letters}.{plan.id}"


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
    key = f"{REDRIVE}{plan.id}"
    if (found := (await stated(client, topic, key, clock)).get(key)) is None:
        return None
    try:
        before = Redriving.model_validate_json(found.value)
    except ValidationError as error:
        raise ConfigurationError(f"record {key!r} of {topic} is none of this release") from error
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
    ends: Mapping[TopicPartition, int],
) -> Left:
    """What this redrive has not read yet.

    Args:
        connection: to the group's coordinator.
        plan: what is meant to be done now.
        before: what was said under its id before.
        stretches: what is selected now.
        ends: of the partitions' logs.

    Raises:
        ConfigurationError: the dead letters are others than those of before.
        aiokafka.errors.KafkaError, TimeoutError: nobody says.
    """
    committed = await in_time(
        connection.list_consumer_group_offsets(name_of(plan), partitions=list(stretches))
    )
    found, forgotten = {}, False
    for place, stretch in stretches.items():
        at = committed[place].offset if place in committed else -1
        if at < 0 and before is not None and place.partition in before.ends:
            forgotten, at = True, before.ends[place.partition]
        if at > ends[place]:
            raise ConfigurationError(
                f"redrive {plan.id} has read partition {place.partition} of {place.topic} up to "
                f"{at}, which ends at {ends[place]}: the topic was made anew, take another --id"
            )
        start = max(stretch.start, at)
        found[place] = Stretch(start, max(start, stretch.end))
    read = sum(min(found[p].start, s.end) - s.start for p, s in stretches.items())
    notes = (_FORGOTTEN,) if forgotten else ()
    return Left(found, read, notes)


_FORGOTTEN = (
    "Kafka has forgotten how far this redrive came (offsets.retention.minutes): all that it was to "
    "do counts as done; what it was cut off from goes by another --id"
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
