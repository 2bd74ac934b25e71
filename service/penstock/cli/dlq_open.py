"""How does a command reach the dead letters, and which of them does it mean?"""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import OffsetOutOfRangeError

from penstock import settings
from penstock.cli.connecting import Way
from penstock.cli.ranges import Meant
from penstock.cli.reading import tell
from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.kafka import admin, tolerant
from penstock.kafka.describe import Topic
from penstock.kafka.rights import READ, Operation, unreadable
from penstock.kafka.security import FORBIDDEN, client_arguments
from penstock.kafka.stretch import Reader, reader
from penstock.replay.bounds import EVERYTHING, Range
from penstock.replay.ranges import Resolved, partitions, resolve
from penstock.settings import Settings
from penstock.settings.programs import default_program
from penstock.telemetry import logs


@dataclass(frozen=True, slots=True)
class Opened:
    """`topics`: the dead letters', and those that were asked for, by their names."""

    settings: Settings
    client: Mapping[str, Any]
    connection: AIOKafkaAdminClient
    topics: Mapping[str, Topic]
    reader: Reader
    clock: Clock

    @property
    def topic(self) -> str:
        return self.settings.topics.dead_letters

    @property
    def program(self) -> str:
        """That answers a question which names none."""
        return default_program(self.settings)

    @property
    def user(self) -> str | None:
        """As whom Kafka knows us, where that is known."""
        name: str | None = self.client.get("sasl_plain_username")
        return name

    def places(self, wanted: Iterable[int] | None) -> list[TopicPartition]:
        """Raises ConfigurationError where there is no such partition."""
        return partitions(self.topic, self.topics[self.topic].partitions, wanted or ())

    async def meant(self, meant: Meant, default: Range = EVERYTHING) -> Resolved:
        """Says on stderr what whoever asks may not expect.

        Raises:
            ConfigurationError: there is no such stretch.
        """
        wanted = meant.range(default)
        places = self.places(meant.partitions)
        return await self.resolved(places, wanted)

    async def resolved(self, places: Iterable[TopicPartition], wanted: Range) -> Resolved:
        """As `meant`."""
        found = await resolve(self.reader, places, wanted, self.clock.wall())
        for note in found.notes:
            tell(note)
        return found


@asynccontextmanager
async def opened(
    way: Way, wanted: Mapping[str, Iterable[Operation]] | None = None
) -> AsyncIterator[Opened]:
    """`wanted`: rights, by the names that topics have in the settings; of the dead letters READ.

    Raises:
        ConfigurationError: a topic or a right lacks, or Kafka does not let us in.
        KafkaError: it fails.
    """
    settle()
    loaded = settings.load(kafka=way.flags())
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    clock = Clock()
    rights = {"dead_letters": (READ,), **(wanted or {})}
    named = {getattr(loaded.topics, role): operations for role, operations in rights.items()}
    with in_words(loaded.topics.dead_letters):
        async with admin.admin(client) as connection:
            topics = await admin.require(connection, named, client.get("sasl_plain_username"))
            async with reader(client, clock) as topic_reader:
                yield Opened(loaded, client, connection, topics, topic_reader, clock)


def settle() -> None:
    """Once in a process."""
    # What matters of the connection we say ourselves; nobody awaits all that the client leaves
    # behind when it is fenced.
    logs.configure("error")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    # Whoever wrote a letter may have given it any headers, and each is to be seen.
    tolerant.install()


@contextmanager
def in_words(topic: str) -> Iterator[None]:
    """What the client raises, as one line for whoever has typed the command."""
    try:
        yield
    except FORBIDDEN as error:
        raise ConfigurationError(unreadable(error, topic)) from error
    except OffsetOutOfRangeError as error:
        raise KafkaError(
            f"the retention took records of {topic} while they were read; try again"
        ) from error
    except TimeoutError as error:
        raise KafkaError("Kafka does not answer; are all brokers up?") from error
    except ClientError as error:
        raise KafkaError(f"Kafka: {error or type(error).__name__}") from error
