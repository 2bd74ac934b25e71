"""How does a client reach the brokers? librdkafka's names, turned into aiokafka's arguments."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)

from penstock.errors import ConfigurationError
from penstock.kafka.oauth import Tokens
from penstock.settings.client import NAMES

FORBIDDEN = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
"""What a client raises that has not the right."""

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
OAUTHBEARER = "OAUTHBEARER"
MECHANISMS = (*WITH_PASSWORD, OAUTHBEARER)

_PROTOCOL = "security.protocol"
_MECHANISM = "sasl.mechanism"
_PROVIDER = "sasl.oauth.provider"
_PASSWORD = {"sasl.username": "sasl_plain_username", "sasl.password": "sasl_plain_password"}


def client_arguments(bootstrap_servers: str, client: Mapping[str, str]) -> dict[str, Any]:
    """What every aiokafka client is built with.

    Args:
        bootstrap_servers: host:port, separated by commas.
        client: by the names of `penstock.settings.client`.

    Raises:
        ConfigurationError: an unknown name or value, names that do not fit together, a file that
            cannot be read or has expired, a token provider that cannot be imported. No message
            has a password or a key in it.
    """
    try:
        return {"bootstrap_servers": bootstrap_servers, **_arguments(client)}
    except ConfigurationError as error:
        raise ConfigurationError(f"setting KAFKA__CLIENT: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown name {name!r}; {hint}"


def _arguments(client: Mapping[str, str]) -> dict[str, Any]:
    if unknown := sorted(client.keys() - NAMES):
        raise ConfigurationError(nearest(unknown[0], NAMES))
    protocol = _one_of(PROTOCOLS, _PROTOCOL, client.get(_PROTOCOL, "PLAINTEXT"))
    for family, fits in (("sasl.", "SASL_"), ("ssl.", "SSL")):
        given = sorted(name for name in client if name.startswith(family))
        if given and fits not in protocol:
            raise ConfigurationError(
                f"{given[0]} says nothing without a {_PROTOCOL} of {fits.strip('_')} "
                f"(it is {protocol})"
            )
    arguments: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL_"):
        arguments |= _sasl(client)
    if protocol.endswith("SSL"):
        # What reads certificates takes a while to import, and most connections on a laptop have
        # none.
        from penstock.kafka import tls  # noqa: PLC0415

        arguments["ssl_context"] = tls.context(client)
    return arguments


def _sasl(client: Mapping[str, str]) -> dict[str, Any]:
    said = {client[name].upper() for name in (_MECHANISM, "sasl.mechanisms") if name in client}
    if len(said) != 1:
        what = "is set twice, and differs" if said else f"is missing: {', '.join(MECHANISMS)}"
        raise ConfigurationError(f"{_MECHANISM} {what}")
    mechanism = _one_of(MECHANISMS, _MECHANISM, said.pop())
    wanted = {_PROVIDER} if mechanism == OAUTHBEARER else set(_PASSWORD)
    if missing := sorted(name for name in wanted if not client.get(name)):
        raise ConfigurationError(f"{mechanism} needs {missing[0]}")
    if idle := sorted((client.keys() & {*_PASSWORD, _PROVIDER}) - wanted):
        raise ConfigurationError(f"{idle[0]} says nothing with {mechanism}")
    arguments: dict[str, Any] = {"sasl_mechanism": mechanism}
    if mechanism == OAUTHBEARER:
        return {**arguments, "sasl_oauth_token_provider": Tokens(_PROVIDER, client[_PROVIDER])}
    return {**arguments, **{ours: client[name] for name, ours in _PASSWORD.items()}}


def _one_of(known: tuple[str, ...], name: str, given: str) -> str:
    value = given.upper()
    if value not in known:
        near = difflib.get_close_matches(value, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"{name} {given!r} is none of {', '.join(known)}{hint}")
    return value
