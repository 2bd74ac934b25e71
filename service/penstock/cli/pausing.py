"""What do `penstock pause` and `penstock resume` write, and what stands then?"""

import asyncio
import sys
from collections.abc import Collection, Sequence

from aiokafka.errors import KafkaError as ClientError

from penstock import settings
from penstock.cli.connecting import Way
from penstock.cli.transcript import plain
from penstock.clock import Clock
from penstock.core.halts import EVERYTHING, Scope
from penstock.errors import ConfigurationError, KafkaError
from penstock.kafka import control, describe
from penstock.kafka.admin import admin
from penstock.kafka.pauses import Pauses, standing
from penstock.kafka.rights import unreadable
from penstock.kafka.security import FORBIDDEN, client_arguments
from penstock.settings.secrets import hiding
from penstock.telemetry import logs


def scopes(partitions: Sequence[int] | None, programs: Sequence[str] | None) -> list[Scope]:
    """Everything, where none is named.

    Raises:
        ConfigurationError: one is none, or they are of both kinds.
    """
    if partitions and programs:
        raise ConfigurationError(
            "--partition and --program: a pause is of a partition, whatever answers, or of a "
            "program, wherever it is asked; say one after the other"
        )
    if programs and "" in programs:
        raise ConfigurationError("--program: is empty; name a program of the service")
    named = [Scope(partition=number) for number in partitions or ()]
    named += [Scope(program=name) for name in programs or ()]
    return list(dict.fromkeys(named)) or [EVERYTHING]


class Replicas:
    """All of them, by way of the control topic.

    Args:
        way: to Kafka.

    Raises:
        ConfigurationError: it cannot be read.
    """

    def __init__(self, way: Way) -> None:
        loaded = settings.load(kafka=way.flags())
        logs.configure("error", hide=hiding(loaded))
        self._client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
        self._topics = loaded.topics

    def pause(self, wanted: Sequence[Scope], reason: str | None) -> None:
        """Raises as `control.say` does, and ConfigurationError: there is no such partition."""
        asyncio.run(self._pause(wanted, reason))

    def resume(self, wanted: Sequence[Scope]) -> None:
        """Raises as `control.say` does."""
        asyncio.run(control.resume(self._client, self._topics.control, wanted, Clock()))

    def stood(self, wanted: Sequence[Scope]) -> Collection[Scope]:
        """Those of them that are paused now; all, where that cannot be seen."""
        try:
            return asyncio.run(self._standing()).keys() & set(wanted)
        except (ConfigurationError, KafkaError, ClientError, TimeoutError):
            return wanted

    def tell_what_stands(self) -> None:
        """One line for every pause."""
        try:
            stand = asyncio.run(self._standing())
        except (KafkaError, ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            if isinstance(error, FORBIDDEN):
                why = unreadable(error, self._topics.control)
            print(
                f"penstock: whether anything is still paused is not known: {why}", file=sys.stderr
            )
        else:
            _tell(stand)

    async def _standing(self) -> Pauses:
        return await standing(self._client, self._topics.control, Clock())

    async def _pause(self, wanted: Sequence[Scope], reason: str | None) -> None:
        numbers = [scope.partition for scope in wanted if scope.partition is not None]
        if numbers:
            await self._there_are(numbers)
        await control.pause(self._client, self._topics.control, wanted, reason, Clock())

    async def _there_are(self, numbers: Sequence[int]) -> None:
        """As far as we may see it."""
        topic = self._topics.questions
        async with admin(self._client) as connection:
            count = await describe.partitions(connection, topic)
        if count is not None and max(numbers) >= count:
            raise ConfigurationError(
                f"--partition {max(numbers)}: topic {topic!r} has the partitions 0 to {count - 1}"
            )


def _tell(stand: Pauses) -> None:
    for scope, pause in stand.items():
        why = "" if pause.reason is None else f": {pause.reason}"
        # One line, whatever the reason says.
        print(plain(" ".join(f"still paused: {scope}{why}".split())))
