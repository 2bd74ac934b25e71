"""A small process that outlives this one by a moment, to end what this one leaves behind.

A Python process that is killed with SIGKILL cannot stop its JVMs. The lifeline reads a pipe
whose other end only this process holds: when the pipe closes, for whatever reason, it kills the
processes and removes the folders it was told about. It works on every platform, without
`preexec_fn`, and so without its trouble with threads.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


class Lifeline:
    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (this file, by this interpreter)
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            # Ctrl-C in a terminal reaches the whole foreground group; this one must survive it.
            start_new_session=True,
        )

    def hold(self, pid: int) -> None:
        self._tell(f"hold {pid}")

    def release(self, pid: int) -> None:
        self._tell(f"release {pid}")

    def remove(self, folder: Path) -> None:
        self._tell(f"remove {folder}")

    def close(self) -> None:
        self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        # Were the lifeline itself killed, only the safety net is gone, not what hangs over it.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def watch() -> None:
    held: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        word, _, what = line.rstrip("\n").partition(" ")
        if word == "hold":
            held.add(int(what))
        elif word == "release":
            held.discard(int(what))
        else:
            folders.append(what)
    for pid in held:
        with contextlib.suppress(OSError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    watch()
