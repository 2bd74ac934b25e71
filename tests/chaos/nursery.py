"""Members that need not be imported anew, which takes longer than most of what is tested.

`python -m tests.chaos.nursery` has imported everything once, and forks a member for every order.
When nobody is left to give orders, it kills those that are still there.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import select
import signal
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

from tests.chaos import member
from tests.support.processes import ROOT, START_SECONDS, without_settings

ORDER_BYTES = 64 * 1024


class Nursery:
    """`start` begins a member, as `tests.support.processes.Start` wants it."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._children: dict[int, Child] = {}
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._one_by_one = asyncio.Lock()

    async def start(self, environment: Mapping[str, str], folder: Path) -> "Child":
        ours, theirs = os.pipe()
        inherited = without_settings(os.environ)
        own = {name: value for name, value in environment.items() if name not in inherited}
        order = json.dumps({"environment": own, "folder": str(folder)}).encode()
        async with self._one_by_one:
            socket.send_fds(self._orders, [order], [theirs])
            os.close(theirs)
            pid = await self._born.get()
        reader = asyncio.StreamReader(limit=2**20)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb")
        )
        child = self._children[pid]
        child.stdout, child.transport = reader, transport
        return child

    async def listen(self, told: asyncio.StreamReader) -> None:
        async for line in told:
            match json.loads(line):
                case {"born": pid}:
                    self._children[pid] = Child(pid)
                    self._born.put_nowait(pid)
                case {"ended": pid, "code": code}:
                    self._children.pop(pid).end(code)


class Child:
    """What `asyncio.subprocess.Process` is of one's own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.transport: asyncio.ReadTransport | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, signal: int, /) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.nursery", str(theirs.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=without_settings(os.environ),
            cwd=ROOT,
        )
        theirs.close()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                assert await process.stdout.readline(), "the nursery did not open"
            open_ = Nursery(ours)
            listening = asyncio.create_task(open_.listen(process.stdout))
            yield open_
        finally:
            ours.close()
            await process.wait()
        await listening


# --- the process --------------------------------------------------------------------------------


def main(orders: socket.socket) -> None:
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()
    _tell(open=True)
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([orders.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 1024)
            _bury(children)
        if orders.fileno() in ready:
            order, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES, 1)
            if not order:
                break
            [output] = descriptors
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                orders.close()
                _live(json.loads(order), output)
            os.close(output)
            children.add(pid)
            _tell(born=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _bury(children: set[int]) -> None:
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children.discard(pid)
            _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _live(order: dict[str, dict[str, str]], output: int) -> NoReturn:
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.update(order["environment"])
        os.chdir(str(order["folder"]))
        random.seed()
        member.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - it is told, and nothing comes after it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(**what: int) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
