"""The end of the line in a worker: what it hears, and what it does about it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock import settings
from penstock.workers.place import DRAIN, SERVING, Place, place
from penstock.workers.worker import Worker


@pytest.fixture
def line() -> Iterator[tuple[Worker, socket.socket]]:
    """A worker, and the supervisor's end of its line."""
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    there = Place(3, theirs.detach(), listener.detach(), 2, terminal=False)
    worker = Worker(place(there.told()))
    os.set_inheritable(2, True)
    with ours, worker.line, worker.listener:
        yield worker, ours


def test_one_whose_supervisor_has_died_does_not_begin(line: tuple[Worker, socket.socket]) -> None:
    worker, supervisor = line
    supervisor.close()
    with pytest.raises(SystemExit):
        worker.wait_for_go()


def test_a_static_member_has_a_name_of_its_own(line: tuple[Worker, socket.socket]) -> None:
    worker, _ = line
    static = settings.load(kafka={"group_instance_id": "answers-0"})
    assert worker.settings(static).kafka.group_instance_id == "answers-0-3"
    dynamic = settings.load()
    assert worker.settings(dynamic) == dynamic


STUCK = """
import asyncio, sys
from penstock.workers import worker
from penstock.workers.place import place

worker.LAST_WORDS = 0.2

class Stuck:
    draining = False

    def drain(self):
        self.draining = True
        print("told to drain", flush=True)

async def main():
    async with worker.Worker(place(sys.argv[1])).beside(0)(Stuck()):
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def _stuck() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A worker that never ends by itself, and the supervisor's end of its line."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        there = Place(0, theirs.fileno(), listener.fileno(), 2, terminal=False)
        with subprocess.Popen(
            [sys.executable, "-c", STUCK, there.told()],
            pass_fds=(there.line, there.listener),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            theirs.close()
            try:
                yield process, ours
            finally:
                process.kill()


def test_it_drains_once_and_does_not_outlive_its_supervisor_for_ever() -> None:
    with _stuck() as (process, ours):
        assert ours.recv(100) == SERVING
        ours.sendall(DRAIN + DRAIN)
        ours.close()
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 1
    # Between the words of its log.
    assert said.count(b"told to drain") == 1


def test_one_whose_supervisor_died_before_it_heard_that_it_serves_ends_as_well() -> None:
    with _stuck() as (process, ours):
        # It is there, and nobody has read it: what the kernel then says of the end is an error.
        assert ours.recv(100, socket.MSG_PEEK) == SERVING
        ours.close()
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 1
    assert said.count(b"told to drain") == 1
