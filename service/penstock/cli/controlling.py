"""How does a command ask something of all replicas?"""

import asyncio
import logging
from collections.abc import Mapping

from penstock import settings
from penstock.cli.connecting import Way
from penstock.clock import Clock
from penstock.kafka import control
from penstock.kafka.security import client_arguments


def ask_all(way: Way, records: Mapping[str, bytes | None]) -> None:
    """By key; None takes it back. Raises as `control.say` does."""
    # What matters of the connection we say ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    loaded = settings.load(kafka=way.flags())
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    asyncio.run(control.say(client, loaded.topics.control, records, Clock()))
