"""How does a client reach the brokers? librdkafka's names, turned into aiokafka's arguments."""

import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)

from penstock.errors import ConfigurationError

FORBIDDEN = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
"""What a client raises that has not the right."""

_SASL = {
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
}
_TLS = {
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
}


def client_arguments(bootstrap_servers: str, client: Mapping[str, str]) -> dict[str, Any]:
    """What every aiokafka client is built with.

    Raises:
        ConfigurationError: an unknown name, or a certificate that cannot be read.
    """
    known = {"security.protocol", *_SASL, *_TLS}
    if unknown := sorted(set(client) - known):
        raise ConfigurationError(
            f"setting KAFKA__CLIENT: unknown name {unknown[0]!r} "
            f"(known: {', '.join(sorted(known))})"
        )
    protocol = client.get("security.protocol", "PLAINTEXT").upper()
    for family, fits in (("sasl.", "SASL_"), ("ssl.", "SSL")):
        given = sorted(name for name in client if name.startswith(family))
        if given and fits not in protocol:
            raise ConfigurationError(
                f"setting KAFKA__CLIENT: {given[0]} says nothing without a security.protocol of "
                f"{fits.strip('_')} (it is {protocol})"
            )
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers,
        "security_protocol": protocol,
        **{_SASL[name]: value for name, value in client.items() if name in _SASL},
    }
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(client)
    return arguments


def _ssl_context(client: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=client.get("ssl.ca.location"))
        if (certificate := client.get("ssl.certificate.location")) is not None:
            context.load_cert_chain(
                certificate, client.get("ssl.key.location"), client.get("ssl.key.password")
            )
    except OSError as error:
        raise ConfigurationError(f"setting KAFKA__CLIENT: {error}") from error
    return context
