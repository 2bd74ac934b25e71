"""How does the service behind the topics stand? Looked at every few seconds, for the console, for
the models that are listed, and for how long a question would wait.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaError as ClientError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.events.envelope import rfc3339
from penstock.events.member import Served
from penstock.gateway.backlog import Backlog
from penstock.kafka.group_status import looking
from penstock.kafka.stopping import cancelled
from penstock.settings import TopicSettings
from penstock.status import State, Status, status

EVERY = 2.0
"""Seconds between two looks."""

FORESEEN = (ClientError, ConfigurationError, KafkaError, TimeoutError)
"""Also: nobody has ever joined the group."""

log = structlog.get_logger("penstock.gateway")


class Overview:
    """Args:
    client: the connection.
    topics: by their names.
    group: of the service.
    backlog: is told what is seen.
    clock: of the process.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topics: TopicSettings,
        group: str,
        backlog: Backlog,
        clock: Clock,
    ) -> None:
        self._client = client
        self._topics = topics
        self._group = group
        self._backlog = backlog
        self._clock = clock
        self.status: Status | None = None
        """As it was seen last; None: never."""
        self.why_not: str | None = "it has not been looked yet"
        """Why that is out of date; None: it is not."""
        self.looked = asyncio.Event()
        """Is set, and another one taken, at every look."""
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    @property
    def programs(self) -> dict[str, Served]:
        """What the members say that they serve, by name; empty where none says it."""
        return {
            name: served
            for row in self._rows()
            if row.report is not None
            for name, served in row.report.programs.items()
        }

    @property
    def default_program(self) -> str | None:
        """What the members say that answers whoever names none."""
        found = (row.report.default_program for row in self._rows() if row.report is not None)
        return next(filter(None, found), None)

    def _rows(self) -> list[Any]:
        members = () if self.status is None else self.status.members
        return [row for row in members if row.state is not State.SILENT]

    async def _look(self) -> None:
        while True:
            try:
                async with looking(
                    self._client, self._topics, self._group, self._clock, letters=False
                ) as group:
                    while True:
                        self._seen(status(await group.look(), rfc3339(self._clock.wall())))
                        await asyncio.sleep(EVERY)
            except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
                if cancelled():
                    raise
                self._blind(error)
            await asyncio.sleep(EVERY)

    def _blind(self, error: BaseException) -> None:
        """Else what was seen last would pass for what is."""
        why_not = str(error) or type(error).__name__
        if self.why_not != why_not:
            unforeseen = None if isinstance(error, FORESEEN) else error
            log.warning("the group cannot be looked at", reason=why_not, exc_info=unforeseen)
        self.why_not = why_not
        self._tell()

    def _seen(self, found: Status) -> None:
        self.status, self.why_not = found, None
        totals = found.totals
        self._backlog.looked(totals.backlog, totals.slots)
        self._tell()

    def _tell(self) -> None:
        looked, self.looked = self.looked, asyncio.Event()
        looked.set()
