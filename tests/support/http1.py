"""Just enough HTTP/1.1 for a server that writes half a million small chunks a minute.

A framework's response object costs more per chunk than everything else the model server does, so
this one hands out the transport.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, cast

_HEAD_END = b"\r\n\r\n"
_MAX_HEAD = 64 * 1024

REQUEST_ID = "req-test"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"x-request-id: req-test\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


class Application(Protocol):
    def met(self, connection: "Connection") -> None:
        """A client has connected."""

    def requested(self, connection: "Connection", request: Request) -> None:
        """Answer by writing to `connection.transport`, then `connection.answered()`."""

    def lost(self, connection: "Connection") -> None:
        """The client is gone, or we closed the connection."""


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def response(
    status: int,
    body: bytes = b"",
    *,
    content_type: str = "application/json",
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode() + _HEAD_END + body


def reset(transport: asyncio.Transport) -> None:
    """Closed without the usual goodbye."""
    at_once = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    transport.abort()


class Connection(asyncio.Protocol):
    """One client. Requests on it are answered one after the other."""

    transport: asyncio.Transport

    def __init__(self, application: Application) -> None:
        self._application = application
        self._received = bytearray()
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transport says what it is to nobody.
        self.transport = cast("asyncio.Transport", transport)
        self._application.met(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # how it went is all the same
        self._application.lost(self)

    def answered(self) -> None:
        """The answer is written to its end: the connection is free for the next request."""
        self._answering = False
        self._next()

    def _next(self) -> None:
        if self._answering or self.transport.is_closing():
            return
        head, separator, rest = self._received.partition(_HEAD_END)
        if not separator:
            if len(head) > _MAX_HEAD:
                self._refuse(431)
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            self._refuse(411)
            return
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            if headers.get("expect") == "100-continue" and not rest:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        method, target, _ = first.split(" ", 2)
        self._received = rest[length:]
        self._answering = True
        self._application.requested(self, Request(method, target, headers, bytes(rest[:length])))

    def _refuse(self, status: int) -> None:
        self.transport.write(response(status, headers=(("Connection", "close"),)))
        self.transport.close()


async def serve(application: Application, host: str, port: int) -> tuple[asyncio.Server, int]:
    """Listen, and say on which port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(application), host, port, backlog=1024)
    bound: int = server.sockets[0].getsockname()[1]
    return server, bound
