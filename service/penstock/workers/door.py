"""One port for all workers: what is each asked, and how is it answered as one?"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import aiohttp
from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from penstock.events.sums import ProcessStanding, Standing
from penstock.telemetry import probes
from penstock.telemetry.series import of_this_process
from penstock.workers.merging import ACCEPT, Measured, merged, read
from penstock.workers.process import Process

PATIENCE = 3.0
"""Seconds for the answer of a worker. A kubelet is told to wait 5 for ours."""

OK = 200


class Workers(Protocol):
    """See `penstock.workers.supervisor`."""

    @property
    def processes(self) -> Mapping[int, Process | None]:
        """By their numbers; None: it waits to be started again."""

    @property
    def measured(self) -> Mapping[int, Measured]:
        """By the same numbers."""

    @property
    def draining(self) -> bool:
        """Whether all were asked to end."""

    def standing(self, said: Mapping[Process, ProcessStanding]) -> Standing:
        """Of all, by what these have said."""


class _Answer(NamedTuple):
    status: int
    text: str


class Door:
    """Of these workers, which are asked with this client."""

    def __init__(self, workers: Workers, http: aiohttp.ClientSession) -> None:
        self._workers = workers
        self._http = http
        self._own = of_this_process()
        self._started = False
        self._one_at_a_time = asyncio.Lock()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/statusz", self._statusz)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/startupz", self._startupz)
        return app

    async def _metrics(self, request: web.Request) -> web.Response:
        # Of two scrapes at once the older could be the one that is kept of a worker that dies.
        async with self._one_at_a_time:
            said = await self._all_say("/metrics")
            # Thousands of lines, while probes are answered.
            now = await asyncio.to_thread(
                lambda: {process: read(one.text) for process, one in said.items()}
            )
            # By who is there now: what another said before it died stands already.
            of = self._workers.processes
            measured = [
                one.says(now[process]) if (process := of[number]) in now else one.says_nothing()
                for number, one in self._workers.measured.items()
            ]
        return probes.measured(request, Said(merged([*measured, self._own.collect()])))

    async def _statusz(self, _: web.Request) -> web.Response:
        said = {
            process: ProcessStanding.model_validate_json(one.text)
            for process, one in (await self._all_say("/statusz")).items()
        }
        told = self._workers.standing(said).model_dump_json()
        return web.Response(text=told, content_type="application/json")

    async def _livez(self, _: web.Request) -> web.Response:
        """One that starts is none of this: startup and readiness say so."""
        return probes.verdict(await self._wrong("/livez"))

    async def _readyz(self, _: web.Request) -> web.Response:
        wrong = "draining" if self._workers.draining else await self._not_all("/readyz")
        return probes.verdict(wrong)

    async def _startupz(self, _: web.Request) -> web.Response:
        """For ever, once all have served."""
        wrong = None if self._started else await self._not_all("/startupz")
        self._started = wrong is None
        return probes.verdict(wrong)

    async def _not_all(self, path: str) -> str | None:
        """As `_wrong`, and who is not there: looked at last, for one may die while it is asked."""
        return await self._wrong(path) or self._missing()

    def _missing(self) -> str | None:
        missing = [
            f"worker {number} has not begun"
            for number, process in self._workers.processes.items()
            if process is None or not process.serves
        ]
        return "; ".join(missing) or None

    async def _wrong(self, path: str) -> str | None:
        """What they say that is, each on its own; None: nothing."""
        asked = self._serving()
        answers = await asyncio.gather(*(self._says(process, path) for process in asked))
        wrong = [
            f"worker {process.number}: {'does not answer' if one is None else one.text}"
            for process, one in zip(asked, answers, strict=True)
            # It may have ended meanwhile.
            if process.runs and (one is None or one.status != OK)
        ]
        return "; ".join(wrong) or None

    async def _all_say(self, path: str) -> dict[Process, _Answer]:
        """Of those that have something to say."""
        asked = self._serving()
        answers = await asyncio.gather(*(self._says(process, path) for process in asked))
        said = zip(asked, answers, strict=True)
        return {process: one for process, one in said if one is not None and one.status == OK}

    def _serving(self) -> list[Process]:
        there = self._workers.processes.values()
        return [process for process in there if process is not None and process.serves]

    async def _says(self, process: Process, path: str) -> _Answer | None:
        """None: it does not answer."""
        try:
            async with self._http.get(
                process.address + path, headers={"Accept": ACCEPT}
            ) as response:
                return _Answer(response.status, await response.text())
        except (aiohttp.ClientError, TimeoutError):
            return None


class Said(Collector):
    """What there is, to be written as a registry is."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def client() -> aiohttp.ClientSession:
    """No connection is kept: a worker that begins anew has another port."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
    )
