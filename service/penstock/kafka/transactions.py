"""How are records said together with how far one has read: all of it, or nothing?"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidProducerEpoch,
    MessageSizeTooLargeError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.errors import KafkaError as ClientError
from aiokafka.structs import RecordMetadata

from penstock.errors import ConfigurationError, KafkaError
from penstock.events.envelope import Headers
from penstock.kafka.rights import READ, WRITE, missing
from penstock.kafka.sink import BATCH_BYTES
from penstock.kafka.stopping import cancelled, stopped

OPEN_SECONDS = 10.0
"""After which Kafka itself ends what nobody has: who reads what is committed waits as long for
whatever is behind it."""

ANSWER_SECONDS = 30.0


class Said(NamedTuple):
    """A record to write."""

    place: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: Headers


class Transactions:
    """One after the other. See `transactions`."""

    def __init__(self, producer: AIOKafkaProducer, name: str, group: str) -> None:
        self._producer = producer
        self._name = name
        self._group = group

    async def say(
        self, records: Iterable[Said], read: Mapping[TopicPartition, int]
    ) -> list[RecordMetadata]:
        """Returns when all of it is there, and where the records stand. `read`: from where on to
        read the next time. When it has raised, nothing more can be said.

        Raises:
            KafkaError: another process has begun by this name, or Kafka refused it, or nobody
                knows: the group does.
            ConfigurationError: a right lacks.
        """
        async with _translated(self._name):
            await self._producer.begin_transaction()
            try:
                sent = [
                    await self._producer.send(
                        record.place.topic,
                        record.value,
                        record.key,
                        record.place.partition,
                        headers=list(record.headers),
                    )
                    for record in records
                ]
                # A commit does not look whether they have arrived.
                stand = await asyncio.gather(*sent, return_exceptions=True)
                for one in stand:
                    if isinstance(one, BaseException):
                        raise one
                await self._producer.send_offsets_to_transaction(dict(read), self._group)
            except ClientError:
                # Else whoever reads what is committed would wait until Kafka ends it.
                if not self._producer._txn_manager.is_fatal_error():  # noqa: SLF001 - no public way
                    await self._producer.abort_transaction()
                raise
            await self._producer.commit_transaction()
        return stand


@asynccontextmanager
async def _translated(name: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise KafkaError(
            f"another process has begun as {name}, or this one stood still for more than "
            f"{OPEN_SECONDS:g} s: it ends here, and the other goes on"
        ) from error
    except TransactionalIdAuthorizationFailed as error:
        raise ConfigurationError(str(missing("transactional-id", [name], [WRITE]))) from error
    except TopicAuthorizationFailedError as error:
        raise ConfigurationError(str(missing("topic", _named(error), [WRITE]))) from error
    except GroupAuthorizationFailedError as error:
        raise ConfigurationError(str(missing("group", _named(error), [READ]))) from error
    except MessageSizeTooLargeError as error:
        # Who sees the limit is not told so: it was looked at before.
        raise KafkaError(
            "records are larger than their topic takes, which is not to be seen beforehand without "
            "the right DescribeConfigs on it; grant that"
        ) from error
    except TimeoutError as error:
        raise KafkaError(
            f"Kafka has said nothing for {ANSWER_SECONDS:g} s: what it was told last may be done "
            "or not; the same command knows, and goes on"
        ) from error
    except ClientError as error:
        raise KafkaError(f"Kafka refuses it: {error or type(error).__name__}") from error
    except asyncio.CancelledError as error:
        if cancelled():
            raise
        raise KafkaError("the client gave up") from error


def _named(error: ClientError) -> list[str]:
    """By the client: a name, or some."""
    named = error.args[0] if error.args else "?"
    return [named] if isinstance(named, str) else sorted(named)


@asynccontextmanager
async def transactions(
    client: Mapping[str, Any], name: str, group: str, limit: int
) -> AsyncIterator[Transactions]:
    """Whoever else has this name ends with its next transaction, and what it has not committed is
    undone by now.

    Args:
        client: the connection.
        name: of whoever may do this once at a time (`transactional.id`).
        group: that knows how far is read; it has no members.
        limit: bytes of a batch, of the topics that are written to.

    Raises:
        ConfigurationError: the right lacks.
        KafkaError: Kafka does not let us begin.
    """
    producer = AIOKafkaProducer(
        **client,
        client_id="penstock-redrive",
        transactional_id=name,
        transaction_timeout_ms=int(OPEN_SECONDS * 1000),
        # Topics have their limits, which are looked at before; this would only hide them.
        max_request_size=2**30,
        max_batch_size=min(BATCH_BYTES, limit),
    )
    said = Transactions(producer, name, group)
    try:
        async with _translated(name):
            await producer.start()
        yield said
    finally:
        await stopped(producer.stop())
        # Of one that was fenced the client keeps a future that nobody awaits, and asyncio tells.
        end = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001 - no public way
        if end is not None and end.done() and not end.cancelled():
            end.exception()
