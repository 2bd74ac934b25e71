"""Why has a connection to a broker failed? On one line, with what to do."""

import ssl
from collections.abc import Iterable, Mapping
from socket import gaierror
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from penstock.kafka.listening import Address, shown, spoken
from penstock.kafka.oauth import NoTokenError

if TYPE_CHECKING:
    from cryptography import x509

_TOO_EARLY, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
"""OpenSSL's numbers for what is wrong with a certificate."""


class Refusal(NamedTuple):
    """`is_there`: something answers there at all."""

    reason: str
    is_there: bool = True


async def refusal(address: Address, client: Mapping[str, Any], error: BaseException) -> Refusal:
    """`client`: aiokafka's arguments, with which the connection failed."""
    cause = _cause(error)
    if (absent := _absent(address, cause)) is not None:
        return Refusal(absent, is_there=False)
    match cause:
        case NoTokenError():
            reason = f"sasl.oauth.provider {cause.args[0]}"
        case SaslAuthenticationFailed():
            reason = _unknown(address, client, str(cause.args[0]))
        case ssl.SSLCertVerificationError():
            reason = await _their_certificate(address, client, cause)
        case ssl.SSLError() if "CERTIFICATE" in (cause.reason or ""):
            reason = _our_certificate(address, client)
        case OSError() | EOFError() | IllegalSaslStateError() | UnsupportedSaslMechanismError():
            reason = await _protocol(address, client, cause)
        case _:
            reason = f"Kafka at {address} cannot be asked: {type(cause).__name__}: {cause}"
    return Refusal(reason)


def _absent(address: Address, cause: BaseException) -> str | None:
    match cause:
        case gaierror():
            return f"there is no host {address.host!r}"
        case ConnectionRefusedError():
            return f"nothing listens at {address}"
        case TimeoutError():
            return f"{address} does not answer"
        case ssl.SSLError() | ConnectionResetError() | BrokenPipeError():
            return None
        case OSError():
            return f"{address}: {cause.strerror or cause}"
    return None


def _cause(error: BaseException) -> BaseException:
    while type(error) is KafkaConnectionError and error.__cause__ is not None:
        error = error.__cause__
    return error


def _unknown(address: Address, client: Mapping[str, Any], told: str) -> str:
    if (tokens := client.get("sasl_oauth_token_provider")) is not None:
        return f"Kafka at {address} refuses the token of sasl.oauth.provider {tokens}: {told}"
    return (
        f"Kafka at {address} does not let user {client['sasl_plain_username']!r} in with this "
        f"password; look at sasl.username and sasl.password ({client['sasl_mechanism']}: {told})"
    )


async def _protocol(address: Address, client: Mapping[str, Any], cause: BaseException) -> str:
    ours, mechanism = client["security_protocol"], client.get("sasl_mechanism")
    there = await spoken(address)
    if there is not None and there.protocol != ours:
        takes = f" ({there.takes})" if there.takes else ""
        return (
            f"Kafka at {address} speaks {there.protocol}{takes}, not {ours}; "
            "set security.protocol in KAFKA__CLIENT, or take another port"
        )
    if there is not None and there.mechanisms and mechanism not in there.mechanisms:
        return f"Kafka at {address} takes {there.takes}, not {mechanism}; set sasl.mechanism"
    whose = "Kafka" if there is not None else "whatever listens"
    return f"{whose} at {address} ends the connection: {_short(cause)}"


def _our_certificate(address: Address, client: Mapping[str, Any]) -> str:
    if (ours := _said(client, "ssl.certificate")) is None:
        return (
            f"Kafka at {address} wants a certificate of ours; "
            "set ssl.certificate.location and ssl.key.location"
        )
    return (
        f"Kafka at {address} does not accept our certificate, {ours}; "
        "it must be signed by a CA that the brokers trust, and still be valid"
    )


async def _their_certificate(
    address: Address, client: Mapping[str, Any], error: ssl.SSLCertVerificationError
) -> str:
    begin = f"Kafka at {address} shows a certificate"
    if (der := await shown(address)) is None:
        return f"{begin} that cannot be trusted: {error.verify_message}"
    # As `penstock.kafka.tls`, which is not imported without need.
    from cryptography import x509  # noqa: PLC0415

    try:
        theirs = x509.load_der_x509_certificate(der)
    except ValueError:
        return f"{begin} that cannot be trusted: {error.verify_message}"
    match error.verify_code:
        case code if code == _EXPIRED:
            return f"{begin} that expired at {theirs.not_valid_after_utc:%F %T} UTC; renew it there"
        case code if code == _TOO_EARLY:
            since = f"{theirs.not_valid_before_utc:%F %T} UTC"
            return f"{begin} that is not valid before {since}; whose clock is wrong?"
        case code if code in {_OTHER_NAME, _OTHER_ADDRESS}:
            return (
                f"{begin} for {_whose(theirs)}, not for {address.host}; "
                "name it so in KAFKA__BOOTSTRAP_SERVERS, or in its advertised.listeners"
            )
    trusted = _said(client, "ssl.ca") or "the system"
    return (
        f"{begin} that {trusted} does not vouch for ({error.verify_message}); set ssl.ca.location "
        "(of Java's file: ssl.truststore.location) "
        f"to the certificate of {theirs.issuer.rfc4514_string()}"
    )


def _whose(certificate: "x509.Certificate") -> str:
    """Its names; one without any is of whoever its subject says."""
    from cryptography import x509  # noqa: PLC0415

    names: Iterable[x509.GeneralName]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        names = ()
    return ", ".join(str(name.value) for name in names) or certificate.subject.rfc4514_string()


def _said(client: Mapping[str, Any], name: str) -> str | None:
    """Where a certificate of ours stands."""
    said: Mapping[str, str] = getattr(client.get("ssl_context"), "said", {})
    if (location := said.get(f"{name}.location")) is not None:
        return f"{name}.location {location}"
    return f"{name}.pem" if f"{name}.pem" in said else None


def _short(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.lower().replace("_", " ")
    return type(cause).__name__
