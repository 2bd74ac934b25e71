"""In which order things may happen to a supervisor and its workers, which are real processes."""

import asyncio
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock import settings
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.kafka.source import SESSION_TIMEOUT_MS
from penstock.telemetry import logs
from penstock.workers import door, supervisor
from penstock.workers.backoff import BackoffPolicy
from penstock.workers.process import LONGEST_LINE, Process, begun
from penstock.workers.supervisor import SESSION, Supervisor
from tests.support.processes import ROOT

LATE = BackoffPolicy(first=3600)
SOON = BackoffPolicy(first=0.05, cap=0.05)


class Log(io.StringIO):
    """What the supervisor and its workers say, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Condition()

    def write(self, text: str) -> int:
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._add(text)))
        return len(text)

    async def says(self, words: str, times: int = 1) -> None:
        async with self._news:
            await self._news.wait_for(lambda: sum(words in one for one in self.lines) >= times)

    async def _add(self, text: str) -> None:
        async with self._news:
            self.lines += text.splitlines()
            self._news.notify_all()


class Crew:
    """A supervisor at work. `ended`: gives its exit code."""

    def __init__(self, of: Supervisor, log: Log) -> None:
        self.of = of
        self.log = log
        self.ended = asyncio.create_task(of.run())

    def signal(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def pid(self, number: int) -> int:
        process = self.of.processes[number]
        assert process is not None
        return process.pid

    async def until(self, path: str, status: int) -> None:
        # A probe is there to be polled.
        while (await self.asked(path))[0] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def asked(self, path: str) -> tuple[int, str]:
        while not self.of.port and not self.ended.done():  # noqa: ASYNC110 (it begins)
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{self.of.port}{path}"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status, await response.text()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(supervisor, "SESSION", 0.05)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@asynccontextmanager
async def crew(*words: str, port: int = 0, backoff: BackoffPolicy = SOON) -> AsyncIterator[Crew]:
    """Two workers that do what the words say; see `tests.support.stand_in`."""
    loaded = settings.load(workers=2, telemetry={"port": port})
    log = Log()
    logs.configure("info", log)
    command = ["-m", "tests.support.stand_in", *words]
    at_work = Crew(Supervisor(loaded, command, Clock(), backoff), log)
    try:
        yield at_work
    finally:
        for process in at_work.of.processes.values():
            if process is not None:
                process.kill()
        at_work.ended.cancel()
        await asyncio.gather(at_work.ended, return_exceptions=True)


ALL_SERVE = '"event": "serving"'


def does(number: int | str, *what: str) -> list[str]:
    return [f"{number}:{one}" for one in what]


FIRST = does(0, "go", "serve", "drain")
BOTH = [*FIRST, *does(1, "go", "serve", "drain")]


async def test_all_drain_at_a_signal() -> None:
    async with crew(*BOTH) as at_work:
        assert await at_work.asked("/readyz") == (
            503,
            "worker 0 has not begun; worker 1 has not begun",
        )
        await at_work.log.says(ALL_SERVE)
        for probe in ("/livez", "/readyz", "/startupz"):
            assert await at_work.asked(probe) == (200, "ok")
        at_work.signal()
        assert await at_work.ended == 0


async def test_what_the_first_refuses_is_said_by_it_alone() -> None:
    async with crew(*does(0, "slow", "go", "end=2"), *does(1, "go", "mutter")) as at_work:
        assert await at_work.ended == 2
        assert at_work.log.lines == []


async def test_one_that_needs_an_operator_ends_all_with_its_code() -> None:
    async with crew(*FIRST, *does(1, "go", "serve", "end=4")) as at_work:
        assert await at_work.ended == 4
        await at_work.log.says("exit code 4")


async def test_one_that_is_killed_begins_anew_and_what_it_has_counted_stays() -> None:
    async with crew(*BOTH) as at_work:
        await at_work.log.says(ALL_SERVE)
        assert "penstock_attempts_total 14.0\n" in (await at_work.asked("/metrics"))[1]
        before = at_work.pid(1)
        os.kill(before, signal.SIGKILL)
        await at_work.log.says("SIGKILL")
        assert (await at_work.asked("/livez"))[0] == 200
        await at_work.until("/readyz", 200)
        assert at_work.pid(1) != before
        # Seven of each that is there, and of the one before.
        assert "penstock_attempts_total 21.0\n" in (await at_work.asked("/metrics"))[1]
        at_work.signal()
        assert await at_work.ended == 0


async def test_lines_are_whole_and_the_last_of_one_that_dies_come_first() -> None:
    async with crew(*FIRST, *does(1, "go", "serve", "mutter", "killed"), backoff=LATE) as at_work:
        await at_work.log.says("SIGKILL")
        lines = at_work.log.lines
        assert json.loads(lines[-1])["worker"] == 1
        assert "and then" in lines
        at_work.signal()
        assert await at_work.ended == 0


async def test_a_line_that_never_ends_is_not_kept_for_ever() -> None:
    more = LONGEST_LINE // len("and then") + 1
    async with crew(*FIRST, *does(1, "go", "serve", f"mutter={more}", "drain")) as at_work:
        await at_work.log.says("and then")
        assert at_work.of.processes[1] is not None
        at_work.signal()
        assert await at_work.ended == 0


async def test_nobody_joins_while_the_group_waits_for_one_that_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert SESSION == SESSION_TIMEOUT_MS / 1000
    monkeypatch.setattr(supervisor, "SESSION", 0.7)
    async with crew(*BOTH) as at_work:
        await at_work.log.says(ALL_SERVE)
        loop = asyncio.get_running_loop()
        killed_at = loop.time()
        os.kill(at_work.pid(1), signal.SIGKILL)
        await at_work.until("/readyz", 503)
        await at_work.until("/readyz", 200)
        assert loop.time() - killed_at >= 0.7
        at_work.signal()
        assert await at_work.ended == 0


async def test_one_that_cannot_come_back_yet_is_tried_again() -> None:
    words = (
        *does("1.0", "go", "serve", "killed"),
        *does("1.1", "go", "end=2"),
        *does("1.2", "go", "serve", "drain"),
    )
    async with crew(*FIRST, *words) as at_work:
        await at_work.log.says("exit code 2")
        await at_work.until("/readyz", 200)
        at_work.signal()
        assert await at_work.ended == 0


async def test_the_first_may_die_amid_its_start_and_the_others_wait_for_it() -> None:
    words = (*does("0.0", "go", "killed"), *does("0.1", "go", "serve", "drain"))
    async with crew(*words, *does(1, "go", "serve", "drain")) as at_work:
        await at_work.log.says(ALL_SERVE)
        at_work.signal()
        assert await at_work.ended == 0


async def test_a_signal_amid_the_start_ends_them_at_once() -> None:
    words = does(0, "go", "wait")
    async with crew(*words, *does(1, "go")) as at_work:
        await at_work.until("/statusz", 200)
        at_work.signal()
        assert await at_work.ended == 0
        assert at_work.log.lines == []


async def test_one_that_dies_while_it_drains_is_no_good_end() -> None:
    async with crew(*FIRST, *does(1, "go", "serve", "deaf")) as at_work:
        await at_work.log.says(ALL_SERVE)
        at_work.signal()
        await at_work.log.says("deaf")
        assert await at_work.asked("/readyz") == (503, "draining")
        os.kill(at_work.pid(1), signal.SIGKILL)
        assert await at_work.ended == 1
        await at_work.log.says("died before it had drained")


async def test_a_second_signal_ends_all_at_once() -> None:
    async with crew(*FIRST, *does(1, "go", "serve", "deaf")) as at_work:
        await at_work.log.says(ALL_SERVE)
        at_work.signal()
        await at_work.log.says("deaf")
        at_work.signal()
        assert await at_work.ended == 1
        await at_work.log.says("stopped at once")


async def test_a_signal_while_one_waits_to_begin_anew() -> None:
    async with crew(*FIRST, *does(1, "go", "serve", "killed"), backoff=LATE) as at_work:
        await at_work.log.says("SIGKILL")
        at_work.signal()
        assert await at_work.ended == 0


async def test_one_that_stands_still_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.2)
    async with crew(*FIRST, *does(1, "go", "dumb", "drain")) as at_work:
        await at_work.log.says(ALL_SERVE)
        assert await at_work.asked("/livez") == (503, "worker 1: does not answer")
        assert "penstock_attempts_total 7.0\n" in (await at_work.asked("/metrics"))[1]
        at_work.signal()
        assert await at_work.ended == 0


async def test_a_port_that_is_taken_is_told_before_anything_begins() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        async with crew(*BOTH, port=port) as at_work:
            with pytest.raises(ConfigurationError, match="is taken; set PENSTOCK_TELEMETRY__PORT"):
                await at_work.ended
        assert at_work.of.processes == {0: None, 1: None}


@pytest.mark.parametrize(
    "refusal", [OSError("too many open files"), RuntimeError("can't start new thread")]
)
async def test_where_no_process_can_be_had_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    refusals = [refusal]

    async def scarce(number: int, *arguments: Any, **more: Any) -> Process:
        if number == 1 and refusals:
            raise refusals.pop()
        return await begun(number, *arguments, **more)

    monkeypatch.setattr(supervisor, "begun", scarce)
    async with crew(*BOTH) as at_work:
        await at_work.log.says(str(refusal))
        await at_work.log.says(ALL_SERVE)
        at_work.signal()
        assert await at_work.ended == 0


def test_a_supervisor_loads_nothing_of_the_service() -> None:
    look = (
        "import penstock.cli, penstock.workers.supervisor, sys; "
        "print({'dspy', 'aiokafka', 'litellm', 'fastapi'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
