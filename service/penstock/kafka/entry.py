"""Does Kafka let us in? And if not, what is there to do about it?

The client says only that it could not connect. So one connection is made as it would make them, up
to the first answer, and what goes wrong with that is what is wrong.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import collect_hosts
from aiokafka.protocol.metadata import MetadataRequest

from penstock.errors import ConfigurationError
from penstock.kafka.listening import Address, connected
from penstock.kafka.refusal import Refusal, refusal
from penstock.kafka.stopping import cancelled

CONNECT_MS = 5_000
"""For a connection, and for each answer on it."""

_CONNECTION = (
    "ssl_context",
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
)


async def enter(client: Mapping[str, Any]) -> Address:
    """Returns who has let us in, the first of the bootstrap servers that does.

    Raises:
        ConfigurationError: none does. It says why, and what to do, on one line.
    """
    if isinstance(found := await _entered(client), str):
        raise ConfigurationError(found)
    return found


async def refused(client: Mapping[str, Any]) -> str | None:
    """Why no broker lets us in; None: one does."""
    found = await _entered(client)
    return found if isinstance(found, str) else None


async def _entered(client: Mapping[str, Any]) -> Address | str:
    servers = client["bootstrap_servers"]
    try:
        hosts = collect_hosts(servers, randomize=False)
    except ValueError:
        return f"setting KAFKA__BOOTSTRAP_SERVERS: {servers!r} is not host:port[,host:port]"
    refusals: list[Refusal] = []
    for host, port, _ in hosts:
        address = Address(host, port)
        answer = await _brokers(address, client)
        if not isinstance(answer, Refusal):
            return await _elsewhere(address, answer, client) or address
        refusals.append(answer)
    # Who is there and refuses us tells more than who is not there.
    told = next((one for one in refusals if one.is_there), None)
    if told is not None:
        return told.reason
    return (
        f"no Kafka answers at {servers} ({refusals[0].reason}); name another by "
        "--bootstrap-server or KAFKA__BOOTSTRAP_SERVERS, or start one with `penstock broker`"
    )


async def _elsewhere(
    told_by: Address, brokers: dict[int, Address], client: Mapping[str, Any]
) -> str | None:
    """A client goes on to the addresses that it is told, which may be none of this network's."""
    if not brokers or told_by in brokers.values():
        return None
    reason = ""
    for number, address in brokers.items():
        answer = await _brokers(address, client)
        if not isinstance(answer, Refusal):
            return None
        reason = reason or (
            f"Kafka at {told_by} says that its broker {number} is at {address} "
            f"(advertised.listeners), but: {answer.reason}"
        )
    return reason


async def _brokers(address: Address, client: Mapping[str, Any]) -> dict[int, Address] | Refusal:
    """Where it says that the brokers are."""
    try:
        arguments = {name: client[name] for name in _CONNECTION if name in client}
        async with connected(address, request_timeout_ms=CONNECT_MS, **arguments) as connection:
            answer = await connection.send(MetadataRequest([]))
    except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
        if cancelled():
            raise
        return await refusal(address, client, error)
    return {number: Address(host, port) for number, host, port, *_ in answer.brokers}
