"""Publish tokens, completions and dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.core.failure import Failure
from penstock.errors import PublishError, TooLargeError, UnknownOutcomeError
from penstock.events import envelope
from penstock.events.completion import Completion
from penstock.events.dead_letter import Cause, Style, Tried, dead_letter_headers
from penstock.events.trace_context import replaced
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.entry import refused
from penstock.kafka.producer import Producer, Record, SpeaksUntil
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.token_channel import Send, TokenChannel

ANSWER_TIMEOUT = 3.0

BATCH_BYTES = 16 * 1024
_KEY_BYTES = 8 * 1024
"""A longer key is not repeated in every event about its question."""
SEQUENCE_DIGITS = 20
"""Of the last sequence in a completion, which may not be known yet."""

TokenSender = Send

LastSaid = Callable[[int, str, float], Awaitable[int | None]]
"""The last sequence in the tokens of a question's partition, of a stream whose events' ids begin
so, since then in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Target:
    """A topic to write to. `limit` is its `max.message.bytes`."""

    topic: str
    partitions: int
    limit: int


class KafkaSink:
    """Answers go to the partition with the question's number, modulo the topic's count."""

    def __init__(
        self,
        client: Mapping[str, Any],
        group_id: str,
        tokens: Target,
        completions: Target,
        dead_letters: Target,
        clock: Clock,
        writer: str,
        speaks_until: SpeaksUntil,
        last_said: LastSaid,
        dead_letter_style: Style = "kafka",
    ) -> None:
        self._client = client
        self.group_id = group_id
        self.tokens = tokens
        self.completions = completions
        self.dead_letters = dead_letters
        self._clock = clock
        self._source = envelope.source(group_id)
        # A rerun of a question after a crash says other things under the same sequence numbers;
        # CloudEvents wants every event's id to be its own.
        self._writer = writer
        self._last_said = last_said
        self._dead_letter_style = dead_letter_style
        # The limit of a topic is one for batches: small records must not exceed it together.
        batch_bytes = min(BATCH_BYTES, tokens.limit, completions.limit, dead_letters.limit)
        self._producer = Producer(client, batch_bytes, clock, speaks_until)

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        """Everything that matters is acknowledged before; the rest is given up."""
        await self._producer.stop()

    def healthy(self) -> bool:
        """False when nothing will ever be sent again."""
        return self._producer.healthy()

    async def reaches_kafka(self) -> bool:
        """Whether a broker answers within a few seconds."""
        return await self._producer.reaches_kafka(ANSWER_TIMEOUT)

    async def refused(self) -> str | None:
        """Why no broker lets us in, where that is so."""
        return await refused(self._client)

    def forget(self, record: RecordId) -> None:
        """Somebody else answers it: nothing of it may arrive any more."""
        self._producer.forget(record)

    async def settled(self) -> None:
        """Returns when what was given up has arrived or never will."""
        await self._producer.settled()

    def token_sender(self, delivery: Delivery) -> TokenSender:
        """How the token events of one question reach the topic."""
        raw, record, target = delivery.raw, delivery.record, self.tokens
        tp = TopicPartition(target.topic, raw.partition % target.partitions)
        key = key_of(delivery)
        stream = f"{raw.topic}/{raw.partition}/{raw.offset}/{self._writer}"
        producer, clock, source = self._producer, self._clock, self._source
        said_with = (*delivery.forwarded, *delivery.trace, *delivery.marks)

        async def send(value: bytes, sequence: int) -> "asyncio.Future[Any]":
            headers = envelope.headers(
                envelope.TOKEN, f"{stream}/{sequence}", source, clock.wall(), said_with
            )
            _check_size(target, key, value, headers)
            try:
                return await producer.send(record, tp, (key, value, headers))
            except ClientError as error:
                raise _translated(target, error) from error

        async def find(since: float) -> int | None:
            await producer.settled()
            return await self._last_said(raw.partition, stream, since)

        return TokenChannel(send, find, clock.wall, partial(_translated, target))

    def fits(self, delivery: Delivery, completion: Completion) -> bool:
        """Whether the topic takes a completion of this size."""
        _, said = self._completion(delivery, completion)
        return size_of(*said) + SEQUENCE_DIGITS <= self.completions.limit

    async def completion(self, delivery: Delivery, completion: Completion) -> int | None:
        """Its position in its partition when it is acknowledged, or None: the broker knew it.

        Raises:
            TooLargeError: the topic does not take a completion of this size.
            PublishError: the broker refused it.
        """
        partition, said = self._completion(delivery, completion)
        return await self._publish(delivery.record, self.completions, partition, said)

    def _completion(self, delivery: Delivery, completion: Completion) -> tuple[int, Record]:
        raw = delivery.raw
        headers = envelope.headers(
            envelope.COMPLETION,
            f"{raw.topic}/{raw.partition}/{raw.offset}/{self._writer}/completion",
            self._source,
            self._clock.wall(),
            (*delivery.forwarded, *delivery.trace, *delivery.marks),
        )
        value = completion.model_dump_json().encode()
        return raw.partition, (key_of(delivery), value, headers)

    async def dead_letter(
        self, delivery: Delivery, failure: Failure, attempts: int, tried: Sequence[Tried] = ()
    ) -> int | None:
        """The original record with its key and value untouched. Gives and raises what `completion`
        does.
        """
        raw, at = delivery.raw, self._clock.wall()
        cause = cause_of(raw, self.group_id, failure, attempts, tried, at)
        marked = dict(delivery.marks)
        original = (*(h for h in raw.headers if h[0] not in marked), *delivery.marks)
        traced = replaced(original, delivery.trace)
        headers = dead_letter_headers(traced, cause, self._dead_letter_style)
        # A tombstone without a key is legal on the wire, but not for the client.
        key = b"" if raw.key is None and raw.value is None else raw.key
        said = (key, raw.value, headers)
        return await self._publish(delivery.record, self.dead_letters, raw.partition, said)

    async def _publish(
        self, record: RecordId, target: Target, partition: int, said: Record
    ) -> int | None:
        _check_size(target, *said)
        tp = TopicPartition(target.topic, partition % target.partitions)
        try:
            sent = await (await self._producer.send(record, tp, said))
        except ClientError as error:
            raise _translated(target, error) from error
        return sent.offset if sent.offset >= 0 else None


def _translated(target: Target, error: BaseException) -> PublishError:
    if isinstance(error, PublishError):
        return error
    message = f"{target.topic}: {error or type(error).__name__}"
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return TooLargeError(message)
    return (PublishError if isinstance(error, FORBIDDEN) else UnknownOutcomeError)(message)


def cause_of(
    raw: Raw, group_id: str, failure: Failure, attempts: int, tried: Sequence[Tried], at: float
) -> Cause:
    """Why the record is a dead letter. `at`: when, in Unix seconds."""
    return Cause(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        timestamp=raw.timestamp_ms,
        group=group_id,
        attempts=attempts,
        kind=failure.kind,
        code=failure.code,
        stage=failure.stage,
        message=failure.message,
        at=envelope.rfc3339(at),
        tried=tried,
    )


def key_of(delivery: Delivery) -> bytes:
    """Of its answers: the question's key, else its id."""
    key = delivery.raw.key
    return delivery.question_id.encode() if key is None or len(key) > _KEY_BYTES else key


def size_of(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> int:
    """Bytes of the record, as brokers measure it by the topic's limit."""
    return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers))


def _check_size(
    target: Target, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """Here and not at the broker: a batch it refuses leaves a gap in the producer's numbers, for
    which it refuses the next one too.
    """
    size = size_of(key, value, headers)
    if size > target.limit:
        raise TooLargeError(
            f"{target.topic}: a record of {size} bytes; the limit is {target.limit}"
        )
