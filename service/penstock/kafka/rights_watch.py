"""Has a right been taken away that a running service needs?

Without it some things fail and others do not, each in its own way and again and again: who asks the
brokers knows at once which one it is.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError

from penstock.errors import KafkaError
from penstock.kafka.preflight import Needs, glance, rights
from penstock.kafka.stopping import cancelled, stopped

EVERY = 5.0
"""Seconds between two looks."""

AGAIN = 1.0
"""Seconds after which it has to lack still: one broker may hear of it later than another."""

log = structlog.get_logger("penstock.kafka")


class RightsWatch:
    """Args:
    client: the connection.
    needs: of the service.
    """

    def __init__(self, client: Mapping[str, Any], needs: Needs) -> None:
        self._admin = AIOKafkaAdminClient(**client, client_id="penstock")
        self._needs = needs
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._admin.start()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await stopped(self._admin.close())

    @property
    def watching(self) -> "asyncio.Task[None]":
        """Ends with a KafkaError that names the right that lacks."""
        assert self._watching is not None
        return self._watching

    async def _watch(self) -> None:
        lacked: str | None = None
        while True:
            await asyncio.sleep(EVERY if lacked is None else AGAIN)
            lacks = await self._lacks()
            if lacks is not None and lacks == lacked:
                raise KafkaError(lacks)
            lacked = lacks

    async def _lacks(self) -> str | None:
        try:
            sight = await glance(self._admin, self._needs)
        except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
            if cancelled():
                raise
            # Whether Kafka answers is looked at elsewhere. Nothing but an answer may end a service.
            if not isinstance(error, ClientError | TimeoutError | asyncio.CancelledError):
                log.warning("rights cannot be looked at; it is tried again", error=repr(error))
            return None
        return next(map(str, rights(sight, self._needs)), None)
