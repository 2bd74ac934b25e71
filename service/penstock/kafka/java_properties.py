"""The file with which Kafka's own tools connect (`--command-config`): Java's names, in our own.

Java's names are translated to librdkafka's, which settings have. Stores other than PEM are for Java
alone: the message has the command that turns one into PEM.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from penstock.errors import ConfigurationError
from penstock.kafka.security import nearest

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_LINE = re.compile(r"((?:\\.|[^\\:= \t\f])*)[ \t\f]*[:=]?[ \t\f]*(.*)", re.DOTALL)
_OPTION = r"""[\w.-]+\s*=\s*(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s;"']+)"""
_JAAS = re.compile(rf"\s*([\w.$]+)\s+(?:required|requisite)((?:\s+{_OPTION})*)\s*;\s*")
_MODULES = {
    "org.apache.kafka.common.security.plain.PlainLoginModule",
    "org.apache.kafka.common.security.scram.ScramLoginModule",
}
_OAUTH_MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"

_DIRECT = {
    "security.protocol": "security.protocol",
    "sasl.mechanism": "sasl.mechanism",
    "ssl.key.password": "ssl.key.password",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}
_OTHERS = (
    "bootstrap.servers",
    "group.id",
    "sasl.jaas.config",
    "ssl.endpoint.identification.algorithm",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.password",
)
_NAMES = frozenset({*_DIRECT, *_OTHERS})
_OF_OTHER_THINGS = frozenset(
    [
        "acks",
        "allow.auto.create.topics",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "batch.size",
        "bootstrap.controllers",
        "bootstrap.resolve.timeout.ms",
        "buffer.memory",
        "buffer.memory.allocation.strategy",
        "check.crcs",
        "client.dns.lookup",
        "client.id",
        "client.rack",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "config.providers",
        "connections.max.idle.ms",
        "default.api.timeout.ms",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.idempotence",
        "enable.metrics.push",
        "exclude.internal.topics",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.min.bytes",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "interceptor.classes",
        "isolation.level",
        "key.deserializer",
        "key.serializer",
        "linger.ms",
        "max.block.ms",
        "max.in.flight.requests.per.connection",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "max.poll.records",
        "max.request.size",
        "metadata.cluster.check.enable",
        "metadata.max.age.ms",
        "metadata.max.idle.ms",
        "metadata.recovery.rebootstrap.trigger.ms",
        "metadata.recovery.strategy",
        "metric.reporters",
        "metrics.num.samples",
        "metrics.recording.level",
        "metrics.sample.window.ms",
        "partition.assignment.strategy",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.availability.timeout.ms",
        "partitioner.class",
        "partitioner.ignore.keys",
        "partitioner.rack.aware",
        "receive.buffer.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "request.timeout.ms",
        "retries",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "send.buffer.bytes",
        "session.timeout.ms",
        "share.acknowledgement.mode",
        "share.acquire.mode",
        "socket.connection.setup.timeout.max.ms",
        "socket.connection.setup.timeout.ms",
        "transaction.timeout.ms",
        "transaction.two.phase.commit.enable",
        "transactional.id",
        "value.deserializer",
        "value.serializer",
    ]
)
"""What else the clients of Kafka 4.4 know: one file may be that of a whole application."""
_OF_THE_REGISTRY = ("schema.registry.", "basic.auth.", "bearer.auth.")


class Connection(NamedTuple):
    """What such a file says. `client`: by librdkafka's names; `left_out`: what is not about it."""

    bootstrap_servers: str | None
    group_id: str | None
    client: dict[str, str]
    left_out: list[str]


def read(path: Path) -> Connection:
    """Raises ConfigurationError: the file cannot be read, or has something that is not known."""
    try:
        # As Java reads it, whatever the machine's own encoding is.
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise ConfigurationError(f"--command-config {path}: {error.strerror}") from error
    try:
        # Java's clients take no notice of blanks at the end of a line either.
        return _translated({name: value.strip() for name, value in parse(text).items()})
    except ConfigurationError as error:
        raise ConfigurationError(f"--command-config {path}: {error}") from error


def parse(text: str) -> dict[str, str]:
    """By `java.util.Properties`: `=`, `:` or a blank, `#` and `!`, continued lines, escapes."""
    properties = {}
    for line in _logical_lines(text):
        found = _LINE.fullmatch(line)
        assert found is not None, "whatever there is, is a value"
        name, value = found.groups()
        properties[_unescaped(name)] = _unescaped(value)
    return properties


def _logical_lines(text: str) -> Iterator[str]:
    begun = ""
    for natural in re.split(r"\r\n|\r|\n", text):
        line = natural.lstrip(" \t\f")
        if not begun and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            begun += line[:-1]
        else:
            yield begun + line
            begun = ""
    if begun:
        yield begun


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        number, letter = found.groups()
        return chr(int(number, 16)) if number else _ESCAPES.get(letter, letter)

    return _ESCAPE.sub(one, text)


def _translated(java: Mapping[str, str]) -> Connection:
    left_out = sorted(n for n in java if n in _OF_OTHER_THINGS or n.startswith(_OF_THE_REGISTRY))
    if unknown := sorted(java.keys() - _NAMES - set(left_out)):
        raise ConfigurationError(
            f"{nearest(unknown[0], _NAMES)} (only what is needed to connect is read)"
        )
    client = {ours: java[name] for name, ours in _DIRECT.items() if name in java}
    if (jaas := java.get("sasl.jaas.config")) is not None:
        client |= _login(jaas)
    if (algorithm := java.get("ssl.endpoint.identification.algorithm")) is not None:
        client["ssl.endpoint.identification.algorithm"] = algorithm or "none"
    if location := _store(java, "ssl.truststore", _truststore_as_pem):
        client["ssl.ca.location"] = location
    if location := _store(java, "ssl.keystore", _keystore_as_pem):
        client |= {"ssl.certificate.location": location, "ssl.key.location": location}
    return Connection(java.get("bootstrap.servers"), java.get("group.id"), client, left_out)


def _login(jaas: str) -> dict[str, str]:
    """Of a login module with a user and a password."""
    if (found := _JAAS.fullmatch(jaas)) is None:
        raise ConfigurationError(
            "sasl.jaas.config is not a login module, `required`, and options such as "
            'username="...", with a semicolon at the end'
        )
    module, said = found.groups()
    if module == _OAUTH_MODULE:
        raise ConfigurationError(
            "Java's OAUTHBEARER login is for Java alone: take sasl.jaas.config out, and set "
            "sasl.oauth.provider in KAFKA__CLIENT"
        )
    if module not in _MODULES:
        raise ConfigurationError(
            f"sasl.jaas.config: {module} is none of {', '.join(sorted(_MODULES))}"
        )
    options = {}
    for option in re.findall(_OPTION, said):
        name, _, value = option.partition("=")
        value = value.strip()
        options[name.strip()] = _unescaped(value[1:-1]) if value[0] in "\"'" else value
    if unknown := sorted(options.keys() - {"username", "password"}):
        raise ConfigurationError(
            f"sasl.jaas.config: {nearest(unknown[0], {'username', 'password'})}"
        )
    return {f"sasl.{name}": value for name, value in options.items()}


def _store(java: Mapping[str, str], name: str, as_pem: Callable[[str], str]) -> str | None:
    """The location of a PEM file."""
    given = sorted(key for key in java if key.startswith(f"{name}."))
    if not given:
        return None
    kind = java.get(f"{name}.type", "JKS").upper()
    location = java.get(f"{name}.location")
    if kind != "PEM":
        default = "" if f"{name}.type" in java else ", Java's default"
        raise ConfigurationError(
            f"{name}.type {kind}{default}: only PEM can be read here. To convert it: "
            f"{as_pem(location or 'FILE')}; then set {name}.type=PEM, and {name}.location to the "
            "new file"
        )
    if f"{name}.password" in java:
        raise ConfigurationError(f"{name}.password: a PEM file has none; take it out")
    return location


def _truststore_as_pem(location: str) -> str:
    return f"keytool -list -rfc -keystore {shlex.quote(location)} > ca.pem"


def _keystore_as_pem(location: str) -> str:
    return (
        f"keytool -importkeystore -srckeystore {shlex.quote(location)} -destkeystore client.p12 "
        "-deststoretype PKCS12 && openssl pkcs12 -in client.p12 -out client.pem, whose pass "
        "phrase is ssl.key.password"
    )
