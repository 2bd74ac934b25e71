"""`penstock broker --secure`: TLS and a password, as a cluster has them, for one person's machine.

A folder has what a client needs: `ca.pem`, and `client.properties` for Java's tools and for
`--command-config`. The authority's own key is nowhere; a folder that is kept has the same CA and
password at the next start.
"""

import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from penstock.errors import ConfigurationError
from penstock.kafka import java_properties
from penstock.local.authority import Authority
from penstock.local.listeners import Listener, Mechanism
from penstock.local.properties import as_text

USER = "penstock"
NAME = "SASL_SSL"
MECHANISM: Mechanism = "SCRAM-SHA-512"


@dataclass(frozen=True)
class Secure:
    """`folder`: of what a client needs."""

    folder: Path
    password: str = field(repr=False)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def properties(self) -> Path:
        return self.folder / "client.properties"

    @property
    def listener(self) -> Listener:
        certificate = self.folder / "broker.pem"
        return Listener(NAME, "SASL_SSL", MECHANISM, {USER: self.password}, certificate)

    def exports(self, servers: str) -> Iterator[str]:
        """Lines for a shell."""
        said = {
            "BOOTSTRAP_SERVERS": servers,
            "CLIENT__SECURITY_PROTOCOL": "SASL_SSL",
            "CLIENT__SASL_MECHANISM": MECHANISM,
            "CLIENT__SASL_USERNAME": USER,
            "CLIENT__SASL_PASSWORD": self.password,
            "CLIENT__SSL_CA_LOCATION": str(self.ca),
        }
        for name, value in said.items():
            yield f"export PENSTOCK_KAFKA__{name}={shlex.quote(value)}"

    def write_properties(self, servers: str) -> None:
        """Nobody else may read the file."""
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        lines = {
            "bootstrap.servers": servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.jaas.config": f'{module} required username="{USER}" password="{self.password}";',
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
        }
        self.properties.touch(mode=0o600)
        self.properties.write_text(as_text(lines), encoding="ascii")


def secure(folder: Path) -> Secure:
    """With what the folder has already, else with a CA and a password of its own.

    Raises:
        ConfigurationError: there is a Kafka in the folder that knows no user.
    """
    folder = folder.resolve()
    kept = Secure(folder, "")
    if kept.properties.exists():
        said = java_properties.read(kept.properties)
        return Secure(folder, said.client["sasl.password"])
    if any(folder.glob("node-*/data")):
        raise ConfigurationError(
            f"--secure: the Kafka in {folder} was made without it and has no user; "
            "name another folder with --data-dir"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Letters and digits: it goes through shells and files of several kinds.
    made = Secure(folder, secrets.token_hex(16))
    authority = Authority()
    authority.write(made.ca)
    authority.issue(folder / "broker.pem", "127.0.0.1", "localhost")
    # Now, for what is made in this folder knows this password.
    made.write_properties("")
    return made
