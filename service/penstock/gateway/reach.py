"""How does an operator's request reach Kafka? By connections of its own, for as long as it lasts;
what goes wrong there is told as a problem.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import OffsetOutOfRangeError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.events.control import REDRIVE
from penstock.gateway.problem import ProblemError, away
from penstock.kafka.admin import admin, require
from penstock.kafka.control_log import ControlLog, Stated
from penstock.kafka.describe import Topic
from penstock.kafka.rights import Operation, unreadable
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.stopping import cancelled
from penstock.kafka.stretch import Reader, reader
from penstock.replay.plan import KEY
from penstock.settings import TopicSettings

Wanted = Mapping[str, Iterable[Operation]]
"""Rights, by the names of topics."""


@dataclass(frozen=True, slots=True)
class Reached:
    """`topics`: those that were asked for, by their names."""

    connection: AIOKafkaAdminClient
    topics: Mapping[str, Topic]
    reader: Reader


class Reach:
    """Args:
    client: the connection.
    topics: by their names.
    clock: of the process.
    """

    def __init__(self, client: Mapping[str, Any], topics: TopicSettings, clock: Clock) -> None:
        self.client = client
        self.topics = topics
        self.clock = clock
        # It reads on where it has come: members report there every few seconds.
        self._control = ControlLog(topics.control, KEY, REDRIVE)
        self._reading = asyncio.Lock()

    @asynccontextmanager
    async def kafka(self, wanted: Wanted) -> AsyncIterator[Reached]:
        """Connected while the block runs, with these rights.

        Raises:
            ProblemError: Kafka is away, or a topic is, or a right; or what fails in the block.
        """
        with in_problems(next(iter(wanted))):
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(admin(self.client))
                except ConfigurationError as error:
                    raise away(str(error)) from error
                user = self.client.get("sasl_plain_username")
                topics = await require(connection, wanted, user)
                read = await stack.enter_async_context(reader(self.client, self.clock))
                yield Reached(connection, topics, read)

    async def control(self, topics: Reader) -> Mapping[str, Stated]:
        """What the control topic says of replays and of redrives, by key. Raises as
        `ControlLog.stated` does.
        """
        async with self._reading:
            return dict(await self._control.stated(topics))


@contextmanager
def in_problems(topic: str) -> Iterator[None]:
    """Raises ProblemError (503) for whatever goes wrong with Kafka, while this topic is read."""
    try:
        yield
    except FORBIDDEN as error:
        raise _refused(unreadable(error, topic)) from error
    except ConfigurationError as error:
        raise _refused(str(error)) from error
    except OffsetOutOfRangeError as error:
        why = f"the retention took records of {topic} while they were read; try again"
        raise away(why) from error
    except (TimeoutError, asyncio.CancelledError) as error:  # the client lets its own out
        if cancelled():
            raise
        raise away("Kafka does not answer") from error
    except (KafkaError, ClientError) as error:
        raise away(str(error) or type(error).__name__) from error


def _refused(why: str) -> ProblemError:
    return ProblemError(503, "kafka_refuses", why)
