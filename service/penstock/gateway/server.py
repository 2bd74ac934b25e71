"""How is the gateway served? By uvicorn, beside whatever else this process does."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from penstock.errors import ConfigurationError
from penstock.gateway.app import application, gateway
from penstock.gateway.limits import HEADER_BYTES
from penstock.gateway.parts import Parts
from penstock.settings import Settings

log = structlog.get_logger("penstock.gateway")

UNREAD_SECONDS = 60
"""After which a client is given up that takes nothing of what was sent to it. A ping would not do:
what is under way to it stands before the close.
"""

TELLING_SECONDS = 1.0
"""At the end, in which those who have waited in vain are told so."""


class _Server(uvicorn.Server):
    """Signals are the process's, which may do other things as well."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """A gateway that serves. `address`: such as `http://127.0.0.1:8080`; `failed`: is done when
    the topics cannot be read any more, and says why.
    """

    def __init__(
        self,
        parts: Parts,
        server: uvicorn.Server,
        task: "asyncio.Task[None]",
        address: str,
        grace: int,
    ) -> None:
        self.parts = parts
        self._grace = grace
        self.failed = parts.questions.fan_out.failed
        self.address = address
        self._server = server
        self._task = task

    def stop(self) -> None:
        """Streams end, so that their clients come back elsewhere; answers that are waited for
        have their grace.
        """
        if not self.parts.stopping.done():
            self.parts.stopping.set_result(None)
            seconds = max(0.0, self._grace - TELLING_SECONDS)
            asyncio.get_running_loop().call_later(seconds, self._close)
        self._server.should_exit = True

    def end(self) -> None:
        """Now: whoever waits is told so, and who does not listen is not waited for."""
        self.stop()
        self._close()
        asyncio.get_running_loop().call_later(TELLING_SECONDS, self._task.cancel)

    def _close(self) -> None:
        if not self.parts.closing.done():
            self.parts.closing.set_result(None)

    async def stopped(self) -> None:
        """Waits for it. Raises KafkaError: the topics cannot be read any more."""
        await asyncio.wait({self._task, self.failed}, return_when=asyncio.FIRST_COMPLETED)
        if self.failed.done():
            self.failed.result()


def _told(record: logging.LogRecord) -> bool:
    """For uvicorn a WebSocket that is refused with a status is one that was forgotten."""
    return record.msg != "ASGI callable returned without completing handshake."


@asynccontextmanager
async def serving(
    settings: Settings, grace: int | None = None, registry: CollectorRegistry | None = None
) -> AsyncIterator[Serving]:
    """Serves until the block ends, and then for those who wait for an answer.

    Args:
        settings: of this process.
        grace: seconds for them at most. Default: the drain.
        registry: that serves what is measured. Default: none does.

    Raises:
        ConfigurationError: the port is taken; or see `penstock.gateway.app.gateway`.
    """
    ours = settings.gateway
    grace = settings.drain_ms // 1000 if grace is None else grace
    async with gateway(settings, registry or CollectorRegistry()) as parts:
        with _listening(ours.host, ours.port) as listener:
            config = uvicorn.Config(
                application(parts),
                http="h11",
                ws="websockets-sansio",
                ws_max_size=settings.bounds.value_bytes,
                h11_max_incomplete_event_size=HEADER_BYTES,
                lifespan="off",
                log_config=None,
                # What it does we say ourselves; and at `debug` it would write down the headers of
                # every handshake, with their tokens.
                log_level="error" if settings.log_level == "error" else "warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=grace,
            )
            server = _Server(config)
            logging.getLogger("uvicorn.error").addFilter(_told)
            task = asyncio.create_task(server.serve(sockets=[listener]))
            running = Serving(parts, server, task, _address(listener), grace)
            if parts.access.operator_token is not None:
                log.info("operator token for the console", token=parts.access.operator_token)
            try:
                yield running
            finally:
                running.stop()
                await asyncio.wait({task})


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _why(error: OSError) -> str:
    """`socket` tells the address once more."""
    if error.errno == errno.EADDRINUSE:
        return "something else listens there"
    return error.strerror or str(error)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"the gateway cannot listen on {host}:{port}: {_why(error)}; take another by "
            "GATEWAY__HOST and GATEWAY__PORT (`penstock gateway --port 0`: any that is free)"
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Of Linux; connections take it over.
        milliseconds = UNREAD_SECONDS * 1000
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    with listener:
        yield listener
