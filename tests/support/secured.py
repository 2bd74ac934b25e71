"""One Kafka with a listener for each way in, and for each way to be refused; one per session.

client = secured.client("SCRAM_SHA_512")  # as `KAFKA__CLIENT`, by librdkafka's names
servers = secured.servers("SCRAM_SHA_512")
"""

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from penstock.local.authority import Authority
from penstock.local.broker import Kafka, broker
from penstock.local.listeners import Listener, Mechanism
from penstock.local.properties import HOST
from tests.support.kafka import Call, Topics, admin_of, entered, topics_of

USER, PASSWORD = "ann", "p@ss = 5%; no?"

MECHANISMS: tuple[Mechanism, ...] = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@dataclass(frozen=True)
class Secured:
    """`folder` has `ca.pem`, `client.pem`, `expired.pem` (a client's) and `stranger.pem`, which
    another authority has signed, `stranger-ca.pem`.
    """

    kafka: Kafka
    folder: Path
    listeners: dict[str, Listener]

    def servers(self, name: str) -> str:
        return self.kafka.secured[name]

    def client(self, name: str) -> dict[str, str]:
        """What is right for this listener."""
        listener = self.listeners[name]
        said: dict[str, str] = {"security.protocol": listener.protocol}
        if listener.certificate is not None:
            said["ssl.ca.location"] = str(self.folder / "ca.pem")
        if listener.clients is not None:
            said["ssl.certificate.location"] = str(self.folder / "client.pem")
        if listener.mechanism == "OAUTHBEARER":
            said["sasl.oauth.provider"] = "tests.support.secured:token"
        elif listener.mechanism is not None:
            said |= {"sasl.username": USER, "sasl.password": PASSWORD}
        if listener.mechanism is not None:
            said["sasl.mechanism"] = listener.mechanism
        return said


async def token() -> str:
    """Of no signature: enough for a broker that believes everyone."""
    return unsigned({"sub": USER, "iat": time.time() - 1, "exp": time.time() + 3600})


def stale() -> str:
    """As `token`, of yesterday."""
    return unsigned({"sub": USER, "iat": time.time() - 86_400, "exp": time.time() - 3_600})


def nobody() -> str:
    """As who has no token: whoever gives them is away."""
    raise LookupError("s3cret")


def unsigned(claims: dict[str, object]) -> str:
    parts = [{"alg": "none"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join(part.rstrip(b"=").decode() for part in encoded) + "."


def listeners_of(folder: Path) -> Iterator[Listener]:
    """With their certificates, and those of clients."""
    authority, stranger = Authority(), Authority()
    ca = authority.write(folder / "ca.pem")
    stranger.write(folder / "stranger-ca.pem")
    authority.issue(folder / "client.pem", "client.example", common_name="client")
    authority.issue(folder / "expired.pem", "client.example", not_after=YESTERDAY)
    stranger.issue(folder / "stranger.pem", "client.example")
    right = authority.issue(folder / "broker.pem", HOST)
    yield Listener("TLS", "SSL", certificate=right)
    yield Listener("MTLS", "SSL", certificate=right, clients=ca)
    users = {USER: PASSWORD}
    ways: tuple[tuple[Literal["SASL_PLAINTEXT", "SASL_SSL"], Path | None, str], ...] = (
        ("SASL_SSL", right, ""),
        ("SASL_PLAINTEXT", None, "_IN_CLEAR"),
    )
    for mechanism in MECHANISMS:
        for protocol, certificate, name in ways:
            named = mechanism.replace("-", "_") + name
            yield Listener(named, protocol, mechanism, users, certificate)
    past = authority.issue(folder / "past.pem", HOST, not_after=YESTERDAY)
    yield Listener("EXPIRED", "SSL", certificate=past)
    elsewhere = authority.issue(folder / "elsewhere.pem", "kafka.example")
    yield Listener("ELSEWHERE", "SSL", certificate=elsewhere)


@asynccontextmanager
async def _secured(folder: Path) -> AsyncIterator[Secured]:
    listeners = list(listeners_of(folder))
    # One is enough for each, and with the three of the default there would be 40.
    threads = {"num.network.threads": "1"}
    async with broker(listeners=listeners, settings=threads) as kafka:
        yield Secured(kafka, folder, {each.name: each for each in listeners})


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory, session_loop: Call) -> Iterator[Secured]:
    with entered(_secured(tmp_path_factory.mktemp("secured")), session_loop) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def inside(secured: Secured, session_loop: Call) -> Iterator[AIOKafkaAdminClient]:
    """Who looks after the topics: on the session's loop, by the door that asks nothing."""
    with entered(admin_of(secured.kafka.bootstrap_servers), session_loop) as admin:
        yield admin


@pytest.fixture
def topics(
    request: pytest.FixtureRequest, inside: AIOKafkaAdminClient, session_loop: Call
) -> Iterator[Topics]:
    """In place of the fixture of this name, whose topics are in another Kafka."""
    with topics_of(request, inside, session_loop) as fresh:
        yield fresh
