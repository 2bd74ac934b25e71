"""What is a probe answered when a worker dies while it is asked?"""

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from penstock.workers.door import Door, Workers, client


class Dying:
    """One worker, that ends when it is asked; the supervisor knows before the asker does."""

    number = 0
    draining = False

    def __init__(self) -> None:
        self.address = ""
        self.serves = self.runs = True
        self.measured: dict[int, Any] = {}

    @property
    def processes(self) -> dict[int, Any]:
        return {0: self if self.runs else None}

    async def asked(self, request: web.Request) -> web.Response:
        self.serves = self.runs = False
        assert request.transport is not None
        request.transport.abort()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(
    ("probe", "status"), [("/livez", 200), ("/readyz", 503), ("/startupz", 503)]
)
async def test_one_that_dies_while_it_is_asked_is_not_ready(probe: str, status: int) -> None:
    dying = Dying()
    there = web.Application()
    there.router.add_get(probe, dying.asked)
    async with TestServer(there, handler_cancellation=True) as worker, client() as http:
        dying.address = str(worker.make_url("")).rstrip("/")
        door = Door(cast(Workers, dying), http)
        async with TestClient(TestServer(door.app())) as prober:
            answer = await prober.get(probe)
            assert answer.status == status
