"""A metric of a service, looked at again and again, as Prometheus would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.processes import Running, metrics

SAMPLE_SECONDS = 0.1


@asynccontextmanager
async def sampling(running: Running, name: str) -> AsyncIterator[list[float]]:
    seen: list[float] = []

    async def look() -> None:
        while True:
            seen.append((await metrics(running))[name])
            await asyncio.sleep(SAMPLE_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
