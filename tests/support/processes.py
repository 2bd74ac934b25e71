"""The service and a model server as processes, and what they cost: for the benchmark and the
acceptance scenarios.

    async with (
        world(bootstrap_servers, "backlog") as kafka,
        models(first_token_ms=20) as provider,
        service(kafka, provider, {"POOL__SLOTS": 8}) as running,
    ):
        ...
"""

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiohttp

from tests.support.traffic import World

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
LAST_WORDS = 30


class Child(Protocol):
    """A process, as `asyncio.subprocess.Process` is one."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, signal: int, /) -> None: ...
    def kill(self) -> None: ...


SERVES = r"http://localhost:\d+/metrics"
"""In what `penstock serve` says: where its metrics are."""

GATEWAY_SERVES = r"http://127\.0\.0\.1:\d+"
"""In what `penstock gateway` says: where it listens."""

Start = Callable[[Mapping[str, str], Path], Awaitable[Child]]
"""Starts a process, given its environment and its folder."""


class Provider(Protocol):
    """A model server. `address`: its api_base."""

    @property
    def address(self) -> str: ...


class Running:
    """A process that serves at `address`. It is read all along, or a full pipe would stop it."""

    address: str

    def __init__(self, process: Child) -> None:
        self.pid = process.pid
        self._process = process
        self._lines: deque[str] = deque(maxlen=LAST_WORDS)
        self._hearing: list[Callable[[str], None]] = []

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def started(self, says: str) -> None:
        """Until it says something that matches: its address."""
        async with asyncio.timeout(START_SECONDS):
            async for line in self._output():
                if found := re.search(says, line):
                    self.address = found[0]
                    return
            await self._process.wait()
        raise AssertionError(self._told("did not start"))

    async def listen(self) -> None:
        async for _ in self._output():
            pass

    def hear(self, told: Callable[[str], None]) -> None:
        """Tells every line from now on, and the last ones before."""
        for line in self._lines:
            told(line)
        self._hearing.append(told)

    async def says(self, words: str, *others: str, seconds: float = START_SECONDS) -> str:
        """The first of its last and next lines that has any of these words in it."""
        said = asyncio.get_running_loop().create_future()

        def hear(line: str) -> None:
            if not said.done() and any(one in line for one in (words, *others)):
                said.set_result(line)

        self.hear(hear)
        found: str = await self.meanwhile(said, seconds)
        return found

    async def meanwhile(self, work: Awaitable[T], seconds: float) -> T:
        """What the work gives. Raises when it takes too long, or the process ends before it."""
        working = asyncio.ensure_future(work)
        ended = asyncio.create_task(self._process.wait())
        either = (working, ended)
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise AssertionError(
                self._told("has ended" if ended.done() else f"is not done after {seconds:.0f} s")
            )
        finally:
            working.cancel()
            ended.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    async def terminate(self, seconds: float = START_SECONDS) -> int:
        """SIGTERM, as an orchestrator would; gives the exit code."""
        self._send(signal.SIGTERM)
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and its connections stay."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, unless it has ended by itself."""
        self._send(signal.SIGKILL)

    async def ended(self) -> int:
        """Waits for it; gives the exit code, below 0 the number of the signal that ended it."""
        return await self._process.wait()

    async def _output(self) -> AsyncIterator[str]:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = line.decode(errors="replace").rstrip()
            self._lines.append(said)
            for told in self._hearing:
                told(said)
            yield said

    def _send(self, number: signal.Signals) -> None:
        if self.alive:
            self._process.send_signal(number)

    def _told(self, what: str) -> str:
        said = "\n".join(self._lines)
        return f"the process {what} (exit code {self._process.returncode}); it said\n{said}"


def command(*words: str) -> Start:
    """A program of its own."""

    async def start(environment: Mapping[str, str], folder: Path) -> Child:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,
            env=environment,
            cwd=folder,
        )

    return start


PENSTOCK = str(Path(sys.executable).with_name("penstock"))
PENSTOCK_SERVE = command(PENSTOCK, "serve")
PENSTOCK_GATEWAY = command(PENSTOCK, "gateway")


def module_of_ours(name: str) -> Start:
    """A module of the tests, which serves; it is found wherever the process is started."""
    start = command(sys.executable, "-m", name)

    async def started(environment: Mapping[str, str], folder: Path) -> Child:
        path = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
        return await start({**environment, "PYTHONPATH": path}, folder)

    return started


def with_settings(start: Start, settings: Mapping[str, Any]) -> Start:
    """They win over what the process is told otherwise; by their names without the prefix."""
    own = {f"PENSTOCK_{name}": str(value) for name, value in settings.items()}

    async def started(environment: Mapping[str, str], folder: Path) -> Child:
        return await start({**environment, **own}, folder)

    return started


def process(
    *words: str, says: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> AbstractAsyncContextManager[Running]:
    """From when it has said its address, which `says` matches, to when it is killed."""
    return begun(command(*words), says, environment, folder)


@asynccontextmanager
async def begun(
    start: Start, says: str, environment: Mapping[str, str] | None, folder: Path
) -> AsyncIterator[Running]:
    """As `process`, of whatever `start` starts."""
    started = await start({**without_settings(os.environ), **(environment or {})}, folder)
    running = Running(started)
    try:
        await running.started(says)
        listening = asyncio.create_task(running.listen())
        yield running
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
        if hasattr(running, "address"):
            await listening


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    # The developer's own settings are none of a scenario's.
    ours = ("PENSTOCK_", "KAFKA_", "OPENAI_")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}


def models(**paces: float) -> AbstractAsyncContextManager[Running]:
    """A model server; its address is the api_base. `first_token_ms`, `token_ms`, `tokens`."""
    options = [f"--{name.replace('_', '-')}={value:g}" for name, value in paces.items()]
    module = (sys.executable, "-m", "tests.support.model_server")
    return process(*module, "--port=0", *options, says=r"http://\S+/v1")


@asynccontextmanager
async def service(
    world: World,
    provider: Provider,
    settings: Mapping[str, Any],
    start: Start = PENSTOCK_SERVE,
) -> AsyncIterator[Running]:
    """`penstock serve`; its address is that of its metrics.

    Args:
        world: where it reads and writes.
        provider: the model server, in a process of its own or in this one.
        settings: by their environment names, without the prefix.
        start: another process that serves.
    """
    own = {
        "MODEL__NAME": "openai/ok",
        "MODEL__API_BASE": provider.address,
        "MODEL__API_KEY": "none",
        "TELEMETRY__PORT": 0,
        **settings,
    }
    async with _of(world, start, SERVES, own) as running:
        yield running


def gateway(
    world: World, settings: Mapping[str, Any] | None = None, start: Start = PENSTOCK_GATEWAY
) -> AbstractAsyncContextManager[Running]:
    """`penstock gateway` on a free port; `settings` as of `service`."""
    return _of(world, start, GATEWAY_SERVES, {"GATEWAY__PORT": 0, **(settings or {})})


@asynccontextmanager
async def _of(
    world: World, start: Start, says: str, settings: Mapping[str, Any]
) -> AsyncIterator[Running]:
    own = {
        "KAFKA__BOOTSTRAP_SERVERS": world.servers,
        "KAFKA__GROUP_ID": world.group,
        **{f"TOPICS__{name.upper()}": topic for name, topic in world.topics.items()},
        **settings,
    }
    with tempfile.TemporaryDirectory(prefix="penstock-") as empty:
        # There, because a .env or a penstock.toml of the developer's must not take part.
        environment = {f"PENSTOCK_{name}": str(value) for name, value in own.items()}
        async with begun(start, says, environment, Path(empty)) as running:
            yield running


async def metrics(running: Running) -> dict[str, float]:
    """What a service says of itself; of a metric with labels the sum."""
    async with aiohttp.ClientSession() as session, session.get(running.address) as response:
        text = await response.text()
    found: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


async def probed(running: Running, probe: str) -> tuple[int, str]:
    """What a service answers an orchestrator to `livez` or `readyz`: a status, 0 if nothing, and
    its words.
    """
    url = running.address.removesuffix("metrics") + probe
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientError as error:
        return 0, str(error)


async def calls(provider: Running, *, last: int | None = None) -> dict[str, Any]:
    """What a model server was asked, see `tests.support.calls`; the last so many in full."""
    url = provider.address.removesuffix("/v1") + "/calls"
    asked = url if last is None else f"{url}?last={last}"
    async with aiohttp.ClientSession() as session, session.get(asked) as response:
        found: dict[str, Any] = await response.json()
    return found


# --- what a process costs, read from Linux ------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    # The name in parentheses may hold spaces; counting begins after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> tuple[float, float]:
    """Of all processors so far: busy, and all of it. Linux gives it in ticks."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    ticks = [int(field) for field in first.split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / tick, sum(ticks) / tick


def resident_mb(pid: int, *, peak: bool = False) -> float:
    """Memory in RAM, now or at most so far."""
    name = "VmHWM" if peak else "VmRSS"
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
