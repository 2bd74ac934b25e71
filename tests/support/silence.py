"""A broker that takes a connection and says nothing: whoever starts meanwhile is amid its start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Silence:
    address: str
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody has connected."""

    def environment(self) -> dict[str, str]:
        """Of a service that wants to begin there."""
        model = {"PENSTOCK_MODEL__NAME": "openai/any", "PENSTOCK_MODEL__API_KEY": "none"}
        return {"PENSTOCK_KAFKA__BOOTSTRAP_SERVERS": self.address, **model}


@asynccontextmanager
async def silence() -> AsyncIterator[Silence]:
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker.asked.set()
        await over.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        broker = Silence(f"{host}:{port}")
        try:
            yield broker
        finally:
            over.set()
