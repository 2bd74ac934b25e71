"""How does one dead letter become a question again, at most once whoever else wants it?

By the id that `penstock dlq redrive --partition P --offset O:O+1` has: the two know of each other.
"""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced

from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.events.again import MOST, redrive
from penstock.events.control import Redriving
from penstock.kafka.admin import record_limit
from penstock.kafka.codec import Raw
from penstock.kafka.control_log import Stated
from penstock.kafka.scope import CLOCK_SKEW
from penstock.kafka.stretch import Reader, Stretch
from penstock.kafka.transactions import Said, transactions
from penstock.replay import checkpoint, redrive_name
from penstock.replay.redrive import Elsewhere, Policy, Question, Refused, again
from penstock.settings import TopicSettings

LOOKED_AT = 5_000
"""Of the last questions, to find whether the letter is one of them by now."""


class Went(NamedTuple):
    """It is a question again."""

    topic: str
    partition: int
    offset: int


class Before(NamedTuple):
    """It was one again already, by this id or by another; `went`: where that is known."""

    went: Went | None


class Meanwhile(NamedTuple):
    """Somebody else redrives it just now."""


async def redriven(
    connection: AIOKafkaAdminClient,
    topics: Reader,
    client: Mapping[str, Any],
    names: TopicSettings,
    partitions: int,
    control: Mapping[str, Stated],
    letter: Raw,
    clock: Clock,
) -> Went | Before | Meanwhile | Refused | Elsewhere:
    """Puts it back to the questions, unless it was.

    Args:
        connection: to the brokers.
        topics: to read by.
        client: as all have it.
        names: of the topics.
        partitions: of the questions.
        control: what the control topic says of redrives.
        letter: this one.
        clock: of the reading.

    Raises:
        ConfigurationError: a right lacks, or its id is taken by other letters.
        KafkaError: see `Transactions.say`.
        aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    limit = await record_limit(connection, names.questions)
    plan = _plan(letter, names)
    verdict = again(letter, Policy(plan.id, names.questions, partitions, limit, MOST))
    if not isinstance(verdict, Question):
        return verdict
    name, place = checkpoint.name_of(plan), TopicPartition(letter.topic, letter.partition)
    await checkpoint.may_read(connection, name, client.get("sasl_plain_username"))
    before = checkpoint.said_before(control, plan)
    to = TopicPartition(names.questions, verdict.partition)
    if (went := await _went(topics, letter, to)) is not None:
        return Before(went)
    wanted = {place: Stretch(letter.offset, letter.offset + 1)}
    try:
        async with transactions(client, name, name, limit) as said:
            # Only now: whoever else has this id has said its last.
            logs = await topics.whole(wanted)
            left = await checkpoint.left(connection, plan, before, wanted, logs)
            if left.stretches[place] != wanted[place]:
                return Before(await _went(topics, letter, to))
            await checkpoint.begin(client, names.control, said, plan, before, wanted, clock)
            question = Said(to, verdict.key, verdict.value, verdict.headers)
            [stands] = await said.say([question], {place: letter.offset + 1})
    except KafkaError as error:
        if isinstance(error.__cause__, ProducerFenced | InvalidProducerEpoch):
            return Meanwhile()
        raise
    return Went(stands.topic, stands.partition, stands.offset)


def _plan(letter: Raw, names: TopicSettings) -> Redriving:
    words = (f"--offset {letter.offset}:{letter.offset + 1}", f"--partition {letter.partition}")
    return Redriving(
        id=redrive_name.name(words),
        questions=names.questions,
        dead_letters=letter.topic,
        selection=words,
        ends={},
    )


async def _went(topics: Reader, letter: Raw, place: TopicPartition) -> Went | None:
    """Where it is a question again; None: it is not among the last ones."""
    log = (await topics.whole([place]))[place]
    since = await topics.since({place: log}, letter.timestamp_ms / 1000 - CLOCK_SKEW)
    start = max(since[place], log.end - LOOKED_AT)
    async with aclosing(topics.read("questions", {place: Stretch(start, log.end)})) as records:
        async for record in records:
            said = redrive(record.headers)
            if said is not None and (said.topic, said.partition, said.offset) == (
                letter.topic,
                letter.partition,
                letter.offset,
            ):
                return Went(record.topic, record.partition, record.offset)
    return None
