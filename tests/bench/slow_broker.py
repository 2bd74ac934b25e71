"""Every answer of the broker comes late: are tokens merged, and the model not held up?"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.local.broker import Kafka, broker
from penstock.local.properties import HOST
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.subjects import FLOOR, REFERENCE, penstocks
from tests.support.proxy import proxies

LATE_MS = 50


@asynccontextmanager
async def late() -> AsyncIterator[Kafka]:
    """A Kafka that tells clients the address of what lies before it."""
    port = _free_port()
    async with proxies([f"{HOST}:{port}"]) as network:
        told = f"PLAINTEXT://{HOST}:{network.detours[port]}"
        async with broker(port=port, settings={"advertised.listeners": told}) as kafka:
            network.late = LATE_MS / 1000
            yield kafka


async def slow_broker(servers: str, wanted: Wanted) -> Result:
    subjects = [*penstocks(wanted.intervals_ms), REFERENCE, FLOOR]
    load = Load(questions=wanted.questions)
    return await side_by_side(servers, load, wanted, subjects, answers_late_ms=LATE_MS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
