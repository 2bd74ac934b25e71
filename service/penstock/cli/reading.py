"""How does a command read the questions that it means, and how they ended?"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError as ClientError

from penstock import settings
from penstock.cli.connecting import Way
from penstock.cli.ranges import Meant
from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.kafka.codec import Raw
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import Reader, Stretch
from penstock.replay import ranges, view, where
from penstock.replay.pairs import Said
from penstock.settings import Settings
from penstock.settings.programs import default_program
from penstock.telemetry import logs


@dataclass(frozen=True, slots=True)
class Reading:
    """A command's own."""

    settings: Settings
    client: Mapping[str, Any]
    clock: Clock
    meant: Meant
    conditions: tuple[where.Condition, ...]

    @property
    def user(self) -> str | None:
        """As whom Kafka knows us."""
        return self.client.get("sasl_plain_username")

    @property
    def default_program(self) -> str:
        """Of questions that name none."""
        return default_program(self.settings)

    def holds(self, record: Raw, completion: Said | None) -> bool:
        """Whether it is wanted."""
        seen = view.of_question(record, completion, self.default_program)
        return where.holds(self.conditions, seen)

    async def stretches(self, topics: Reader, questions: str) -> dict[TopicPartition, Stretch]:
        """Of the questions that are meant; what is unexpected in them is told.

        Raises:
            ConfigurationError: none can be meant.
        """
        count = await topics.partitions(questions)
        places = ranges.partitions(questions, count, self.meant.partitions or ())
        found = await ranges.resolve(topics, places, self.meant.range(), self.clock.wall())
        for note in found.notes:
            tell(note)
        return dict(found.stretches)


def reading(way: Way, meant: Meant, conditions: list[str] | None) -> Reading:
    """Raises ConfigurationError: a setting, a range or a condition is wrong."""
    fields = where.QUESTION + where.COMPLETION
    wanted = where.parse(conditions or (), fields)
    # What is meant is not known yet, but whether anything is.
    meant.range()
    loaded = settings.load(kafka=way.flags())
    # What matters of the connection we say ourselves.
    logs.configure("error")
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    return Reading(loaded, client, Clock(), meant, wanted)


@contextmanager
def told() -> Iterator[None]:
    """Raises KafkaError for whatever goes wrong with Kafka."""
    try:
        yield
    except (ClientError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        raise KafkaError(f"Kafka cannot be read: {why}; try it again") from error


def tell(what: str) -> None:
    print(f"penstock: {what}", file=sys.stderr)
