"""Readers of server-sent events that cost next to nothing: what arrives, where it stands in the
topic, and when it was here.

In this process by `begin`; many in a process of their own by

    python -m tests.support.events --address=http://127.0.0.1:8080 --into=FILE --prefix=q \
        --questions=1000

which says `reading 1000` when all have their response, and `read 1000` when all have ended and a
line of JSON for each stands in the file, as `Reading.told` gives it.
"""

import argparse
import asyncio
import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

_EVENT = re.compile(rb"(?:^|\n)id: (\S+)\nevent: (\w+)\n(?:data: .*)", re.DOTALL)
_TOKEN = re.compile(rb"\d+-(\d+)-\d+")
_BETWEEN = b"\n\n"
"""Two events, and nowhere else: what JSON there is has one line."""


class Reading(asyncio.Protocol):
    """One response.

    Args:
        question_id: whose events.
        request: is sent as it is.
    """

    def __init__(self, question_id: str, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.question_id = question_id
        self.begun: asyncio.Future[None] = loop.create_future()
        """Its head is there."""
        self.over: asyncio.Future[None] = loop.create_future()
        """Its last byte was read, or its connection was lost."""
        self.offsets: list[int] = []
        self.arrived: list[float] = []
        """Unix seconds, of each of these."""
        self.last_id: str | None = None
        self.completed = False
        self.why: str | None = None
        """It broke."""
        self.transport: asyncio.Transport
        self._request = request
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        *events, self._rest = (self._rest + data).split(_BETWEEN)
        if not self.begun.done():
            self._begin(events)
        for event in events:
            self._take(event, now)
        if self.completed and self._rest.endswith(b"\r\n0\r\n\r\n"):
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.completed:
            self.why = self.why or f"cut after {len(self.offsets)} events"
        for waited in (self.begun, self.over):
            if not waited.done():
                waited.set_result(None)

    @property
    def told(self) -> dict[str, Any]:
        return {
            "question_id": self.question_id,
            "offsets": self.offsets,
            "arrived": self.arrived,
            "last_id": self.last_id,
            "why": self.why,
        }

    def _begin(self, events: list[bytes]) -> None:
        if b"\r\n\r\n" not in self._rest and not events:
            return
        first = events[0] if events else self._rest
        if not first.startswith(b"HTTP/1.1 200 "):
            self.why = first.decode(errors="replace")[:200]
            self.transport.close()
        if events:
            events[0] = first.partition(b"\r\n\r\n")[2]
        self.begun.set_result(None)

    def _take(self, event: bytes, now: float) -> None:
        found = _EVENT.search(event)
        if found is None:
            if b": nothing new" not in event:
                self.why = f"no event: {event[:100]!r}"
            return
        self.last_id = found[1].decode()
        if found[2] == b"completion":
            self.completed = True
        elif place := _TOKEN.fullmatch(found[1]):
            self.offsets.append(int(place[1]))
            self.arrived.append(now)


async def begin(
    address: str,
    question_id: str,
    *,
    after: str | None = None,
    receive_bytes: int | None = None,
    stopped: bool = False,
) -> Reading:
    """Connects and asks.

    Args:
        address: of the gateway.
        question_id: whose events.
        after: the Last-Event-ID.
        receive_bytes: that the kernel keeps for it.
        stopped: it reads nothing, until its transport is told to.
    """
    where = urlsplit(address)
    lines = [f"GET /v1/questions/{question_id}/events HTTP/1.1", f"Host: {where.netloc}"]
    if after is not None:
        lines.append(f"Last-Event-ID: {after}")
    reading = Reading(question_id, "".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    connection = socket.socket()
    connection.setblocking(False)
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (where.hostname, where.port))
    transport, _ = await loop.create_connection(lambda: reading, sock=connection)
    if stopped:
        transport.pause_reading()
    return reading


async def read_all(address: str, question_ids: Iterable[str]) -> list[Reading]:
    readings = [await begin(address, question_id) for question_id in question_ids]
    await asyncio.gather(*(reading.begun for reading in readings))
    print(f"reading {len(readings)}", flush=True)
    await asyncio.gather(*(reading.over for reading in readings))
    return readings


def ids(prefix: str, questions: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(questions)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.support.events", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--into", required=True, type=Path)
    parser.add_argument("--prefix", required=True, help="of the questions' ids")
    parser.add_argument("--questions", required=True, type=int, help="the ids end in 0, 1, ...")
    wanted = parser.parse_args()
    read = uvloop.run(read_all(wanted.address, ids(wanted.prefix, wanted.questions)))
    wanted.into.write_bytes(b"".join(orjson.dumps(one.told) + b"\n" for one in read))
    print(f"read {len(read)}", flush=True)
