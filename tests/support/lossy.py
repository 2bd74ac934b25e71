"""A network that loses what is said to a broker, or what the broker answers.

async with detour(bootstrap_servers, monkeypatch) as network:
    lost = loses_the_answer(network, monkeypatch)
    ...
    await lost.wait()
    carries_again(network)
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from tests.support.proxy import Link, Network, proxies


@asynccontextmanager
async def detour(
    bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch, client_id: str = "penstock"
) -> AsyncIterator[Network]:
    """Only what clients of this name say goes through it."""
    connect = AIOKafkaConnection.connect
    async with proxies([bootstrap_servers]) as network:

        async def detoured(connection: Any) -> Any:
            if connection._client_id == client_id:
                connection._port = network.detours.get(connection._port, connection._port)
            return await connect(connection)

        monkeypatch.setattr(AIOKafkaConnection, "connect", detoured)
        yield network


def loses_the_answer(network: Network, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """What goes to the broker next arrives, and nothing does after that."""
    answered, carry = asyncio.Event(), Link.carry

    def carries(link: Link, source: Any, data: bytes) -> None:
        if source is link.broker and not answered.is_set():
            network.swallows = True
            answered.set()
        carry(link, source, data)

    monkeypatch.setattr(Link, "carry", carries)
    return answered


def loses_the_request(network: Network, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Nothing arrives, and nothing is answered."""
    asked, carry = asyncio.Event(), Link.carry

    def carries(link: Link, source: Any, data: bytes) -> None:
        if source is link.client:
            asked.set()
        carry(link, source, data)

    monkeypatch.setattr(Link, "carry", carries)
    network.swallows = True
    return asked


Lose = Callable[[Network, pytest.MonkeyPatch], asyncio.Event]

LOST = pytest.mark.parametrize(
    ("lose", "landed"),
    [(loses_the_request, False), (loses_the_answer, True)],
    ids=["request", "answer"],
)
"""Of what is said, with a signal for when it is lost; and whether it is in its topic."""


def carries_again(network: Network) -> None:
    network.swallows = False
    for link in list(network.links):
        link.deliver()
