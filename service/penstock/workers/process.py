"""One worker, as the supervisor sees it: a process, a line to it, and what it logs."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import BinaryIO

from penstock.telemetry import logs
from penstock.workers.place import DRAIN, GO, OPTION, SERVING, Place

LOG_SECONDS = 2.0
"""For the last lines of one that has ended; what it has started itself may hold its log open."""

LONGEST_LINE = 1 << 20
"""Bytes: what is longer is broken there, for a progress bar may never end its line."""


class Process:
    """From its start on. `address`: where it answers, on this machine alone, once it serves."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        address: str,
        words: asyncio.StreamReader,
        line: asyncio.StreamWriter,
        log: threading.Thread,
    ) -> None:
        self.number = number
        self.address = address
        self.serving_since: float | None = None
        self._process = process
        self._words = words
        self._line = line
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def serves(self) -> bool:
        """It is past its start, and has not ended."""
        return self.serving_since is not None and self.runs

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    def go(self) -> None:
        self._say(GO)

    async def serving(self) -> bool:
        """Waits until it serves; False: it never did."""
        with suppress(OSError):
            return await self._words.readline() == SERVING
        return False

    def drain(self) -> None:
        """What runs may finish; where nothing has begun, it ends at once."""
        if self.serving_since is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
        else:
            self._say(DRAIN)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Its exit code, or below 0 the number of a signal; all that it has logged is written."""
        try:
            code = await self._process.wait()
            await asyncio.to_thread(self._log.join, LOG_SECONDS)
        finally:
            self._line.close()
        return code

    def _say(self, word: bytes) -> None:
        if not self._line.is_closing():
            self._line.write(word)


async def begun(number: int, command: Sequence[str], stderr: int, *, terminal: bool) -> Process:
    """A new process, in which Python begins anew: nothing of this one is copied.

    Args:
        number: of the worker.
        command: what Python is told to run.
        stderr: this process' own.
        terminal: whether that is one.

    Raises:
        OSError: the system has no process or file descriptor left.
        RuntimeError: it has no thread left. A process that has begun meanwhile ends by itself.
    """
    with ExitStack() as given, ExitStack() as kept:
        line, far_end = socket.socketpair()
        kept.callback(line.close)
        given.callback(far_end.close)
        logged, log = os.pipe()
        lines = kept.enter_context(os.fdopen(logged, "rb"))
        given.callback(os.close, log)
        # Of this machine alone, and in no folder that may be full, or may not be written.
        listener = given.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        there = Place(number, far_end.fileno(), listener.fileno(), stderr, terminal)
        process = await asyncio.create_subprocess_exec(
            # As the command `penstock` does, and unlike `-m`, it imports nothing from this folder.
            *(sys.executable, "-P", *command, OPTION, there.told()),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=log,
            pass_fds=(there.line, there.listener, there.stderr),
            # Ctrl-C in a terminal reaches the whole foreground group: the supervisor tells us.
            start_new_session=True,
        )
        passing = threading.Thread(
            target=_pass_on, args=(lines,), name=f"log of worker {number}", daemon=True
        )
        passing.start()
        words, writer = await asyncio.open_unix_connection(sock=line)
        kept.pop_all()
    return Process(number, process, address, words, writer, passing)


def _pass_on(lines: BinaryIO) -> None:
    """To the end, whole lines each."""
    with lines:
        while line := lines.readline(LONGEST_LINE):
            text = line.decode(errors="backslashreplace")
            logs.pass_on(text if text.endswith("\n") else f"{text}\n")
