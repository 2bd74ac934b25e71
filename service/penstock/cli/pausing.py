"""What do `penstock pause` and `penstock resume` write, and what stands then?"""

import asyncio
import sys
from collections.abc import Collection, Mapping, Sequence

from aiokafka.errors import KafkaError as ClientError

from penstock import settings
from penstock.cli.connecting import Way
from penstock.cli.transcript import plain
from penstock.clock import Clock
from penstock.core.halts import EVERYTHING, Scope
from penstock.errors import ConfigurationError, KafkaError
from penstock.events.control import PAUSE, Pause
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
        value = Pause(reason=reason).model_dump_json(exclude_none=True).encode()
        asyncio.run(self._pause(dict.fromkeys(wanted, value)))

    def resume(self, wanted: Sequence[Scope]) -> None:
        """Raises as `control.say` does."""
        asyncio.run(self._say(dict.fromkeys(wanted)))

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

    async def _pause(self, records: Mapping[Scope, bytes]) -> None:
        numbers = [scope.partition for scope in records if scope.partition is not None]
        if numbers:
            await self._there_are(numbers)
        await self._say(records)

    async def _there_are(self, numbers: Sequence[int]) -> None:
        """As far as we may see it."""
        topic = self._topics.questions
        async with admin(self._client) as connection:
            try:
                seen = (await describe.cluster(connection, [topic])).topics.get(topic)
            except (ClientError, TimeoutError):
                return
        if seen is not None and seen.visible and max(numbers) >= seen.partitions:
            raise ConfigurationError(
                f"--partition {max(numbers)}: topic {topic!r} has the partitions 0 to "
                f"{seen.partitions - 1}"
            )

    async def _say(self, records: Mapping[Scope, bytes | None]) -> None:
        by_key = {f"{PAUSE}{scope}": value for scope, value in records.items()}
        await control.say(self._client, self._topics.control, by_key, Clock())


def _tell(stand: Pauses) -> None:
    for scope, pause in stand.items():
        why = "" if pause.reason is None else f": {pause.reason}"
        # One line, whatever the reason says.
        print(plain(" ".join(f"still paused: {scope}{why}".split())))
