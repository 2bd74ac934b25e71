"""Over what else than PLAINTEXT may clients come in, and as whom?

in_clear = Listener("sasl", "SASL_PLAINTEXT", "PLAIN", {"ann": "secret"})
async with broker(listeners=[in_clear]) as kafka:
    kafka.secured["sasl"]  # host:port
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]

_SECURITY = "org.apache.kafka.common.security"
_LOGIN = {
    "PLAIN": f"{_SECURITY}.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{_SECURITY}.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{_SECURITY}.scram.ScramLoginModule",
    "OAUTHBEARER": f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule",
}


@dataclass(frozen=True)
class Listener:
    """A door of its own, on a port of its own, at every node.

    Args:
        name: letters, digits and `_`; it is what `Kafka.secured` calls it.
        protocol: as clients' `security.protocol`.
        mechanism: with SASL, how they say who they are. OAUTHBEARER believes every unsigned token
            that has not expired: it is for trying out, as Kafka's own default is.
        users: name to password, for PLAIN and SCRAM; without commas, quotes and backslashes, for
            which Kafka's own tool has no escape.
        certificate: with SSL, a PEM file: the broker's key in PKCS#8, its certificate, its chain.
        clients: a PEM file of those who sign clients' certificates; with it, a client must show
            one, and is `User:` and the distinguished name in it.
    """

    name: str
    protocol: Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    mechanism: Mechanism | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: Path | None = None
    clients: Path | None = None

    def properties(self) -> dict[str, str]:
        """Its lines of `server.properties`."""
        lines: dict[str, str] = {}
        if self.mechanism is not None:
            # Who comes by PLAIN is known by these lines, by SCRAM from the metadata.
            known = self.users if self.mechanism == "PLAIN" else {}
            words = [_LOGIN[self.mechanism], "required"]
            words += [f'user_{name}="{password}"' for name, password in known.items()]
            lines["sasl.enabled.mechanisms"] = self.mechanism
            lines[f"{self.mechanism.lower()}.sasl.jaas.config"] = f"{' '.join(words)};"
        if self.certificate is not None:
            lines |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(self.certificate)}
        if self.clients is not None:
            lines |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(self.clients)}
            lines["ssl.client.auth"] = "required"
        return {f"listener.name.{self.name.lower()}.{name}": value for name, value in lines.items()}


def scram_users(listeners: Iterable[Listener]) -> Iterator[str]:
    """Those who come by SCRAM, as the format of a node's storage wants them told."""
    for listener in listeners:
        if listener.mechanism is not None and listener.mechanism.startswith("SCRAM"):
            for name, password in listener.users.items():
                yield f"{listener.mechanism}=[name={name},password={password}]"
