"""Publish tokens, completions and dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.errors import KafkaError as ClientError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from penstock.clock import Clock
from penstock.core.failure import Failure
from penstock.errors import PublishError, TooLargeError, UnknownOutcomeError
from penstock.events import envelope
from penstock.events.completion import Completion
from penstock.events.dead_letter import dead_letter_headers
from penstock.kafka.codec import Delivery

ANSWER_TIMEOUT = 3.0
STOP_SECONDS = 5.0
"""The client itself would wait for ever for brokers that are away."""

_BATCH_BYTES = 16 * 1024
_KEY_BYTES = 8 * 1024
"""A longer key is not repeated in every event about its question."""
_SEQUENCE_DIGITS = 20

TokenSender = Callable[[bytes, int], Awaitable["asyncio.Future[Any]"]]
"""Hands an encoded event and its sequence to the producer; the future is its acknowledgement."""


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
    ) -> None:
        self.group_id = group_id
        self.tokens = tokens
        self.completions = completions
        self.dead_letters = dead_letters
        self._clock = clock
        self._source = envelope.source(group_id)
        # A rerun of a question after a crash says other things under the same sequence numbers;
        # CloudEvents wants every event's id to be its own.
        self._writer = writer
        self._producer = AIOKafkaProducer(
            **client,
            client_id="penstock",
            acks="all",
            enable_idempotence=True,
            # Topics have their limits, which are looked at before; this one would only hide them.
            max_request_size=2**30,
            # The limit of a topic is one for batches: small records must not exceed it together.
            max_batch_size=min(_BATCH_BYTES, tokens.limit, completions.limit, dead_letters.limit),
        )

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        """Everything that matters is acknowledged before. The rest must not arrive any more, when
        somebody else may answer: the client's own `stop` would send it now.
        """
        sender = self._producer._sender.sender_task  # noqa: SLF001 - there is no public way
        self._producer._closed = True  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        await self._producer.client.close()
        if sender is not None:
            # Cancelled once, it waits for requests that nobody answers any more.
            sender.cancel()
            await asyncio.wait({sender}, timeout=STOP_SECONDS)

    def healthy(self) -> bool:
        """False when the client's sender has died: nothing will ever be acknowledged again."""
        sender = self._producer._sender.sender_task  # noqa: SLF001 - there is no public way to ask
        return sender is not None and not sender.done()

    async def reaches_kafka(self) -> bool:
        """Whether a broker answers within a few seconds."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return bool(await self._producer.client.force_metadata_update())
        except (ClientError, TimeoutError):
            return False

    def token_sender(self, delivery: Delivery) -> TokenSender:
        """How the token events of one question reach the topic."""
        raw, target = delivery.raw, self.tokens
        partition = raw.partition % target.partitions
        key = _key(delivery)
        prefix = f"{raw.topic}/{raw.partition}/{raw.offset}/{self._writer}/"
        producer, clock, source = self._producer, self._clock, self._source

        async def send(value: bytes, sequence: int) -> "asyncio.Future[Any]":
            headers = envelope.headers(
                envelope.TOKEN, f"{prefix}{sequence}", source, clock.wall(), delivery.forwarded
            )
            _check_size(target, key, value, headers)
            try:
                sent: asyncio.Future[Any] = await producer.send(
                    target.topic, value, key, partition, headers=headers
                )
            except ClientError as error:
                raise _translated(target, error) from error
            return sent

        return send

    def fits(self, delivery: Delivery, completion: Completion) -> bool:
        """Whether the topic takes a completion of this size."""
        _, key, value, headers = self._completion(delivery, completion)
        # The last sequence, which is not known yet, may have as many digits as it likes.
        return _size(key, value, headers) + _SEQUENCE_DIGITS <= self.completions.limit

    async def completion(self, delivery: Delivery, completion: Completion) -> int | None:
        """Its position in its partition when it is acknowledged, or None: the broker knew it.

        Raises:
            TooLargeError: the topic does not take a completion of this size.
            PublishError: the broker refused it.
        """
        return await self._publish(self.completions, *self._completion(delivery, completion))

    def _completion(
        self, delivery: Delivery, completion: Completion
    ) -> tuple[int, bytes, bytes, list[tuple[str, bytes]]]:
        raw = delivery.raw
        headers = envelope.headers(
            envelope.COMPLETION,
            f"{raw.topic}/{raw.partition}/{raw.offset}/{self._writer}/completion",
            self._source,
            self._clock.wall(),
            delivery.forwarded,
        )
        value = completion.model_dump_json().encode()
        return raw.partition, _key(delivery), value, headers

    async def dead_letter(self, delivery: Delivery, failure: Failure, attempts: int) -> None:
        """The original record with its key and value untouched. Raises as `completion` does."""
        raw = delivery.raw
        headers = dead_letter_headers(
            raw.headers,
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            group=self.group_id,
            attempts=attempts,
            kind=failure.kind,
            code=failure.code,
            stage=failure.stage,
            message=failure.message,
            at=envelope.rfc3339(self._clock.wall()),
        )
        await self._publish(self.dead_letters, raw.partition, raw.key, raw.value, headers)

    async def _publish(
        self,
        target: Target,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
    ) -> int | None:
        # A tombstone without a key is legal on the wire, but not for the client.
        key = b"" if key is None and value is None else key
        _check_size(target, key, value, headers)
        try:
            sent = await self._producer.send_and_wait(
                target.topic, value, key, partition % target.partitions, headers=headers
            )
        except ClientError as error:
            raise _translated(target, error) from error
        return sent.offset if sent.offset >= 0 else None


def _translated(target: Target, error: BaseException) -> PublishError:
    message = f"{target.topic}: {error or type(error).__name__}"
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return TooLargeError(message)
    refused = isinstance(error, TopicAuthorizationFailedError | ClusterAuthorizationFailedError)
    return PublishError(message) if refused else UnknownOutcomeError(message)


def _key(delivery: Delivery) -> bytes:
    key = delivery.raw.key
    return delivery.question_id.encode() if key is None or len(key) > _KEY_BYTES else key


def _size(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> int:
    return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers))


def _check_size(
    target: Target, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """Here and not at the broker: a batch it refuses leaves a gap in the producer's numbers, for
    which it refuses the next one too.
    """
    size = _size(key, value, headers)
    if size > target.limit:
        raise TooLargeError(
            f"{target.topic}: a record of {size} bytes; the limit is {target.limit}"
        )
