"""The doors of a gateway that has no Kafka: who is let in, over real sockets.

async with doors(tokens=path) as there:
    await there.client.post("/ask", json={})  # who asked
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, WebSocket
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from penstock import settings
from penstock.clock import Clock
from penstock.gateway.access import Access, subprotocol
from penstock.gateway.app import application
from penstock.gateway.caller import Caller
from penstock.gateway.limits import HEADER_BYTES
from penstock.gateway.measured import Meters
from penstock.gateway.parts import Gateway, Operator, Parts, Who
from penstock.gateway.requests import is_about

router = APIRouter()


@dataclass(frozen=True)
class Doors:
    address: str
    access: Access
    client: httpx.AsyncClient
    registry: CollectorRegistry

    @property
    def socket(self) -> str:
        return self.address.replace("http:", "ws:") + "/talk"


@router.post("/ask")
async def ask(_: dict[str, Any], gateway: Gateway, who: Who) -> dict[str, Any]:
    gateway.access.spend(who)
    return _told(who)


@router.post("/v1/questions:batch")
async def many(request: Request, gateway: Gateway, who: Who) -> int:
    return sum([len(piece) async for piece in request.stream()])


@router.post("/operate", dependencies=[Operator])
async def operate(gateway: Gateway) -> None:
    """Nothing."""


@router.get("/read")
async def read(gateway: Gateway, who: Who) -> dict[str, Any]:
    return _told(who)


@router.get("/asked/{name}", include_in_schema=False)
async def asked(name: str) -> None:
    """It is about one question, or about two."""
    for question_id in name.split("+"):
        is_about(question_id)


@router.get("/fail")
async def fail() -> None:
    raise RuntimeError("for once")


@router.websocket("/talk")
async def talk(socket: WebSocket, gateway: Gateway, who: Who) -> None:
    await socket.accept(subprotocol(socket, "penstock.v1.json"))
    await socket.send_json(_told(who))
    async for _ in socket.iter_text():
        gateway.access.spend(who)
        await socket.send_text("asked")


def _told(who: Caller) -> dict[str, Any]:
    programs = None if who.programs is None else sorted(who.programs)
    return {"subject": who.subject, "programs": programs, "operator": who.operator}


@asynccontextmanager
async def doors(clock: Clock | None = None, **gateway: Any) -> AsyncIterator[Doors]:
    """While the block runs. `gateway`: its settings."""
    loaded = settings.of_project(gateway=gateway)
    clock = clock or Clock()
    access = Access(loaded.gateway, clock)
    nothing: Any = None
    stopping, registry = asyncio.get_running_loop().create_future(), CollectorRegistry()
    meters = Meters(registry)
    parts = (nothing, nothing, nothing, access, meters, clock, stopping, stopping)
    app = application(Parts(loaded, *parts))
    # Before the gateway's own.
    app.router.routes[:0] = router.routes
    config = uvicorn.Config(
        app,
        port=0,
        http="h11",
        ws="websockets-sansio",
        h11_max_incomplete_event_size=HEADER_BYTES,
        lifespan="off",
        log_config=None,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    await server.listens.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=address) as client:
        try:
            yield Doors(address, access, client, registry)
        finally:
            server.should_exit = True
            await task
            await access.stop()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()
