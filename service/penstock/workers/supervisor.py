"""Who starts the workers, keeps them running, and ends them? The process that the user has started.

It is small: of the service it knows its settings, and no more. Each worker is a process of its own
from its start on, and a member of the group for itself.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from penstock.clock import Clock
from penstock.events.envelope import rfc3339
from penstock.events.sums import ProcessStanding, Standing, Worker
from penstock.settings import Settings
from penstock.telemetry import probes
from penstock.workers import standing
from penstock.workers.backoff import POLICY, Backoff, BackoffPolicy
from penstock.workers.door import Door, client
from penstock.workers.ending import Next, follows, told
from penstock.workers.merging import Measured
from penstock.workers.process import Process, begun

log = structlog.get_logger("penstock")

PENSTOCK = ("-m", "penstock")

SESSION = 10.0
"""Seconds until the group has missed one that was killed. Would another join before, all would have
to wait for the dead one: the rebalance is not over until every member of the group has joined it.
"""


class Supervisor:
    """Of as many workers as the settings say.

    Args:
        settings: of all.
        command: what Python is told to run in each.
        clock: of this process.
        backoff: when one that has died is started again.
    """

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str],
        clock: Clock,
        backoff: BackoffPolicy = POLICY,
    ) -> None:
        self._settings = settings
        self._command = command
        self._backoff = backoff
        self._clock = clock
        self._began = clock.monotonic()
        self._started_at = rfc3339(clock.wall())
        self._stderr = os.dup(2)
        self.processes: dict[int, Process | None] = dict.fromkeys(range(settings.workers))
        self.measured = {number: Measured() for number in self.processes}
        self._restarts = dict.fromkeys(self.processes, 0)
        self.port = 0
        """Of the probes of all, once it listens."""
        self._passed = False
        """One of them has served: what is refused at the start was not."""
        self._all_served = False
        self._ending = asyncio.Event()
        self._signals = 0
        self._code = 0

    @property
    def draining(self) -> bool:
        return self._ending.is_set()

    async def run(self) -> int:
        """Until all have ended; gives the exit code.

        Raises:
            ConfigurationError: the port of the probes is taken.
        """
        loop = asyncio.get_running_loop()
        for asks_to_end in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(asks_to_end, self._stop)
        port = self._settings.telemetry.port
        async with (
            client() as http,
            probes.listening(Door(self, http).app(), port, "TELEMETRY__PORT") as self.port,
            asyncio.TaskGroup() as keeping,
        ):
            for number in self.processes:
                keeping.create_task(self._keep(number))
        return self._code

    def standing(self, said: Mapping[Process, ProcessStanding]) -> Standing:
        workers = [
            Worker(
                worker=number,
                pid=None if process is None else process.pid,
                restarts=self._restarts[number],
                telemetry=None if process is None else process.address,
                standing=None if process is None else said.get(process),
            )
            for number, process in self.processes.items()
        ]
        return standing.together(
            self._settings.kafka.group_id,
            self._started_at,
            self._clock.monotonic() - self._began,
            workers,
            draining=self.draining,
        )

    async def _keep(self, number: int) -> None:
        """One worker after the other in this place."""
        backoff, before, not_before = Backoff(self._backoff), False, 0.0
        while not self.draining:
            one = await self._one(number, not_before)
            began = one.since is not None
            if began and one.code < 0 and self._settings.kafka.group_instance_id is None:
                not_before = self._clock.monotonic() + SESSION
            match follows(one.code, asked=self.draining, began=began, before=before):
                case Next.AGAIN:
                    seconds = backoff.died(one.since, self._clock.monotonic())
                    said = "a worker has ended; it is started again"
                    log.warning(said, worker=number, reason=one.why, seconds=seconds)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._ending.wait(), seconds)
                    self._restarts[number] += not self.draining
                case Next.ALL_END:
                    self._code = one.code
                    self._drain()
                    if self._passed:
                        log.error("a worker has ended; all do", worker=number, reason=one.why)
                case Next.DONE:
                    self._note(number, one)
            before = before or began

    async def _one(self, number: int, not_before: float) -> "_Ended":
        """From its start to its end. `not_before`: when it may join the group."""
        on_terminal = sys.stderr.isatty()
        try:
            process = await begun(number, self._command, self._stderr, terminal=on_terminal)
        except (OSError, RuntimeError) as error:
            return _Ended(None, 0, f"it cannot be started: {error}")
        self.processes[number] = process
        if self.draining:
            process.drain()
        elif number == 0 or self._passed:
            wait = max(0.0, not_before - self._clock.monotonic())
            asyncio.get_running_loop().call_later(wait, process.go)
        if await process.serving():
            process.serving_since = self._clock.monotonic()
            self._serves()
            if self.draining:
                process.drain()
        code = await process.ended()
        self.processes[number] = None
        self.measured[number].ended()
        return _Ended(process.serving_since, code, told(code))

    def _serves(self) -> None:
        """One more does."""
        if not self._passed:
            self._passed = True
            for process in self.processes.values():
                if process is not None and not process.serves:
                    process.go()
        there = [process for process in self.processes.values() if process and process.serves]
        if not self._all_served and len(there) == len(self.processes):
            self._all_served = True
            slots = self._settings.pool.slots
            log.info(
                "serving",
                workers=len(there),
                slots=len(there) * slots,
                slots_each=slots,
                telemetry=f"http://localhost:{self.port}/metrics",
            )

    def _stop(self) -> None:
        """At a signal."""
        self._signals += 1
        if self._signals == 1:
            self._drain()
            return
        self._code = self._code or 1
        for process in self.processes.values():
            if process is not None:
                process.kill()
        log.warning("stopped at once; what is unfinished will run again")

    def _drain(self) -> None:
        if self.draining:
            return
        self._ending.set()
        for process in self.processes.values():
            if process is not None:
                process.drain()

    def _note(self, number: int, one: "_Ended") -> None:
        """It was asked to end. Where it did not end well, all do not."""
        if one.code > 0:
            self._code = self._code or one.code
        elif one.since is not None and one.code < 0 and self._signals <= 1:
            log.error("a worker has died before it had drained", worker=number, reason=one.why)
            self._code = self._code or 1


class _Ended(NamedTuple):
    """`since`: since when it had served, if it ever had. `code`: as of `follows`."""

    since: float | None
    code: int
    why: str


def supervise(settings: Settings, arguments: Sequence[str]) -> int:
    """Until all workers have ended; gives the exit code. Raises as `Supervisor.run`.

    `arguments`: those of this process, as the user gave them.
    """
    return asyncio.run(Supervisor(settings, [*PENSTOCK, *arguments], Clock()).run())
