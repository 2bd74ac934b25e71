"""What does a listener speak, and what does it show to strangers? Asked only when we are refused.

Nothing is said here that is secret, so nobody has to prove who he is.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.admin import SaslHandShakeRequest

from penstock.kafka.stopping import cancelled

LOOK_MS = 3_000
CLOSE_SECONDS = 1.0

_NO_SASL = 34


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@asynccontextmanager
async def connected(address: Address, **arguments: Any) -> AsyncIterator[AIOKafkaConnection]:
    """A connection as clients make it. At the end nothing is left of it, also where it failed: the
    client itself leaves that to later.
    """
    made = AIOKafkaConnection(*address, client_id="penstock", **arguments)
    try:
        await made.connect()
        yield made
    finally:
        writer = made._writer  # noqa: SLF001 - there is no public way
        closed = made.close()
        if made._protocol is not None:  # noqa: SLF001 - as above
            await asyncio.wait({closed}, timeout=CLOSE_SECONDS)
            if writer is not None:
                writer.transport.abort()


class Spoken(NamedTuple):
    """`mechanisms`: None without SASL."""

    tls: bool
    mechanisms: tuple[str, ...] | None

    @property
    def protocol(self) -> str:
        if self.mechanisms is None:
            return "SSL" if self.tls else "PLAINTEXT"
        return "SASL_SSL" if self.tls else "SASL_PLAINTEXT"

    @property
    def takes(self) -> str:
        return ", ".join(self.mechanisms or ())


async def spoken(address: Address) -> Spoken | None:
    """None where it cannot be told."""
    for tls in (False, True):
        try:
            async with connected(
                address,
                request_timeout_ms=LOOK_MS,
                security_protocol="SSL" if tls else "PLAINTEXT",
                ssl_context=_believing() if tls else None,
            ) as connection:
                answer = await connection.send(SaslHandShakeRequest(""))
        except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
            if cancelled():
                raise
            if isinstance(error.__cause__, ssl.SSLError):
                # It speaks TLS, and wants to know first who we are.
                return Spoken(tls=True, mechanisms=None)
            continue
        without = answer.error_code == _NO_SASL
        return Spoken(tls, None if without else tuple(answer.enabled_mechanisms))
    return None


async def shown(address: Address) -> bytes | None:
    """Its certificate (DER)."""
    try:
        async with asyncio.timeout(LOOK_MS / 1000):
            _, writer = await asyncio.open_connection(*address, ssl=_believing())
    except (OSError, TimeoutError):
        return None
    certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.transport.abort()
    return certificate


def _believing() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
