"""How does a command ask something of all replicas?"""

import asyncio
import logging
from collections.abc import Mapping

from penstock import settings
from penstock.clock import Clock
from penstock.kafka import control
from penstock.kafka.security import client_arguments


def ask_all(bootstrap_server: str | None, records: Mapping[str, bytes | None]) -> None:
    """By key; None takes it back. Raises as `control.say` does."""
    # What matters of the connection we say ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    flags = {} if bootstrap_server is None else {"bootstrap_servers": bootstrap_server}
    loaded = settings.load(kafka=flags)
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    asyncio.run(control.say(client, loaded.topics.control, records, Clock()))
