"""Every way into a Kafka: who is let in is answered, who is not is told why, on one line."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from structlog.testing import capture_logs

from penstock import app, running
from penstock.client import KafkaClient
from penstock.errors import ConfigurationError
from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from tests.support.command import environment, member_environment, penstock
from tests.support.kafka import Topics
from tests.support.kafka_tools import kafka_tool
from tests.support.model_server import model_server
from tests.support.secured import MECHANISMS, PASSWORD, Secured, inside, secured, topics
from tests.support.service import running_service, settings_for

__all__ = ["inside", "secured", "topics"]

WAYS = [
    "TLS",
    "MTLS",
    *(name.replace("-", "_") + way for name in MECHANISMS for way in ("", "_IN_CLEAR")),
]


def asking(way: Secured, name: str, topics: Topics) -> KafkaClient:
    return KafkaClient(
        way.servers(name),
        way.client(name),
        questions=topics.name("questions"),
        tokens=topics.name("tokens"),
        completions=topics.name("completions"),
    )


@pytest.mark.parametrize("name", WAYS)
async def test_whoever_is_let_in_is_answered(name: str, secured: Secured, topics: Topics) -> None:
    kafka = {"client": secured.client(name)}
    async with (
        model_server() as models,
        running_service(secured.servers(name), topics, "openai/echo", models.api_base, kafka=kafka),
        asking(secured, name, topics) as client,
    ):
        completion = await client.ask("one two")
    assert (completion.status, completion.answer) == ("completed", "one two")


WRONG_PASSWORD = {"sasl.password": "wr0ng"}
WHY = "why Kafka does not answer"
REFUSED: list[tuple[str, str, dict[str, str], str]] = [
    # At the door of this name; as for that one; but for this; it says
    *(
        (
            name,
            name,
            WRONG_PASSWORD,
            rf"does not let user 'ann' in with this password; .*{mechanism}",
        )
        for mechanism in MECHANISMS[:3]
        for name in (mechanism.replace("-", "_"), f"{mechanism.replace('-', '_')}_IN_CLEAR")
    ),
    ("PLAIN", "PLAIN", {"sasl.username": "bob"}, "does not let user 'bob' in"),
    (
        "OAUTHBEARER",
        "OAUTHBEARER",
        {"sasl.oauth.provider": "tests.support.secured:stale"},
        r"refuses the token of sasl\.oauth\.provider tests\.support\.secured:stale: .*\binvalid_",
    ),
    (
        "OAUTHBEARER_IN_CLEAR",
        "OAUTHBEARER_IN_CLEAR",
        {"sasl.oauth.provider": "tests.support.secured:nobody"},
        r"sasl\.oauth\.provider tests\.support\.secured:nobody raised LookupError \(secured\.py:",
    ),
    ("MTLS", "TLS", {}, r"wants a certificate of ours; set ssl\.certificate\.location"),
    (
        "MTLS",
        "MTLS",
        {"ssl.certificate.location": "stranger.pem"},
        r"does not accept our certificate, ssl\.certificate\.location \S+stranger\.pem",
    ),
    ("MTLS", "MTLS", {"ssl.certificate.location": "expired.pem"}, r"expired\.pem: expired at 2"),
    (
        "TLS",
        "TLS",
        {"ssl.ca.location": "stranger-ca.pem"},
        r"that ssl\.ca\.location \S+ does not vouch for .*; set ssl\.ca\.location",
    ),
    ("EXPIRED", "TLS", {}, r"shows a certificate that expired at 2\S+ \S+ UTC; renew it there"),
    ("ELSEWHERE", "TLS", {}, r"shows a certificate for kafka\.example, not for 127\.0\.0\.1"),
    ("TLS", "", {}, "speaks SSL, not PLAINTEXT; set security"),
    ("MTLS", "", {}, "speaks SSL, not PLAINTEXT; set security"),
    ("PLAIN", "", {}, r"speaks SASL_SSL \(PLAIN\), not PLAINTEXT; set security"),
    ("PLAIN_IN_CLEAR", "", {}, r"speaks SASL_PLAINTEXT \(PLAIN\), not PLAINTEXT; set security"),
    ("", "TLS", {}, "speaks PLAINTEXT, not SSL; set security"),
    ("", "SCRAM_SHA_512_IN_CLEAR", {}, "speaks PLAINTEXT, not SASL_PLAINTEXT; set security"),
    ("PLAIN", "TLS", {}, r"speaks SASL_SSL \(PLAIN\), not SSL; set security"),
    ("TLS", "PLAIN", {}, "speaks SSL, not SASL_SSL; set security"),
    ("PLAIN_IN_CLEAR", "PLAIN", {}, r"speaks SASL_PLAINTEXT \(PLAIN\), not SASL_SSL"),
    ("SCRAM_SHA_256", "SCRAM_SHA_512", {}, r"takes SCRAM-SHA-256, not SCRAM-SHA-512; set sasl"),
]


@pytest.mark.parametrize(
    ("door", "as_for", "but", "says"),
    REFUSED,
    ids=[f"{door or 'PLAINTEXT'}-{number}" for number, (door, *_) in enumerate(REFUSED)],
)
async def test_whoever_is_not_let_in_is_told_why(
    door: str, as_for: str, but: dict[str, str], says: str, secured: Secured
) -> None:
    servers = secured.servers(door) if door else secured.kafka.bootstrap_servers
    client = {**(secured.client(as_for) if as_for else {}), **but}
    client |= {
        name: str(secured.folder / value)
        for name, value in client.items()
        if name.endswith(".location")
    }
    with pytest.raises(ConfigurationError, match=says) as caught:
        async with admin(client_arguments(servers, client)):
            pass
    said = str(caught.value)
    assert "\n" not in said
    assert PASSWORD not in said
    assert "wr0ng" not in said


async def test_a_broker_that_names_an_address_of_another_network_is_told_apart(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a port that is forwarded: the address works, and those it tells do not."""
    told = secured.kafka.bootstrap_servers
    connect = AIOKafkaConnection.connect

    async def detoured(connection: Any) -> Any:
        host, port = (connection._host, connection._port)
        forwarded = (host, port) == ("localhost", 1)
        connection._port = int(told.rpartition(":")[2]) if forwarded else 1
        return await connect(connection)

    monkeypatch.setattr(AIOKafkaConnection, "connect", detoured)
    says = rf"Kafka at localhost:1 says that its broker 1 is at {told} \(advertised\.listeners\)"
    with pytest.raises(ConfigurationError, match=says):
        async with admin(client_arguments("localhost:1", {})):
            pass


@pytest.mark.parametrize("servers", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "no-such.invalid:1"])
async def test_where_nobody_is_the_address_is_what_is_wrong(servers: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^no Kafka answers at {servers} \(.*BOOTSTRAP"):
        async with admin(client_arguments(servers, {})):
            pass


async def test_one_of_several_addresses_is_enough(secured: Secured) -> None:
    servers = f"127.0.0.1:1,{secured.servers('TLS')}"
    async with admin(client_arguments(servers, secured.client("TLS"))) as connection:
        assert await connection.list_topics()


def variables(client: dict[str, str]) -> dict[str, str]:
    """As a Kubernetes Secret gives them."""
    return {
        f"PENSTOCK_KAFKA__CLIENT__{name.replace('.', '_').upper()}": value
        for name, value in client.items()
    }


async def test_the_commands_end_at_once_with_one_line(secured: Secured, topics: Topics) -> None:
    name = "SCRAM_SHA_512"
    settings = settings_for(secured.servers(name), topics, "openai/ok", "http://127.0.0.1:1/v1")
    env = {**member_environment(settings), **variables({**secured.client(name), **WRONG_PASSWORD})}
    ended = await asyncio.gather(
        penstock("serve", env=env),
        penstock("ask", "Why?", env=env),
        penstock("cancel", "x", env=env),
    )
    for one in ended:
        assert one.code == 2
        [line] = one.stderr.splitlines()
        assert line.startswith(
            f"penstock: Kafka at {settings.kafka.bootstrap_servers} does not let"
        )
        assert one.stdout == ""


async def test_a_file_of_java_tools_serves_both(
    secured: Secured, topics: Topics, tmp_path: Path
) -> None:
    """What Java's own producer connects with, ours does."""
    name = "SCRAM_SHA_512"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    file = tmp_path / "client.properties"
    file.write_text(
        f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={module} \\\n"
        f'  required username="ann" password="{PASSWORD}";\n'
        f"ssl.truststore.type=PEM\nssl.truststore.location={secured.folder / 'ca.pem'}\n"
    )
    servers = secured.servers(name)
    kafka = {"client": secured.client(name)}
    async with (
        model_server() as models,
        running_service(servers, topics, "openai/echo", models.api_base, kafka=kafka),
        asking(secured, name, topics) as client,
    ):
        to = ("--bootstrap-server", servers, "--topic", topics.name("questions"))
        with client._answers.listen("from java") as inbox:
            produced = await kafka_tool(
                "kafka-console-producer",
                *(*to, "--command-config", str(file)),
                stdin='{"id": "from java", "question": "one two"}\n',
            )
            assert (produced.code, produced.stderr) == (0, "")
            event: Any = None
            while getattr(event, "status", None) != "completed" or event.type != "completion":
                _, event = await inbox.get()
        assert event.answer == "one two"
        settings = settings_for(servers, topics, "openai/ok")
        env = environment(settings)
        ended = await penstock("cancel", "x", "--command-config", str(file), env=env)
        assert (ended.code, ended.stderr) == (0, "")
        ended = await penstock("ask", "three", "--command-config", str(file), env=env)
        assert (ended.code, ended.stdout) == (0, "three\n")


def cut_connections() -> None:
    """All of this process that clients have."""
    for found in connections():
        found._writer.transport.abort()


def connections() -> Iterator[Any]:
    for found in gc.get_objects():
        if type(found) is AIOKafkaConnection and found._writer is not None:
            yield found


async def until(service: app.Service, *, reachable: bool) -> None:
    # Polled, as it is a look at Kafka every two seconds that finds out.
    while service.reachable != reachable:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@asynccontextmanager
async def with_a_certificate(
    secured: Secured, topics: Topics, folder: Path
) -> AsyncIterator[tuple[app.Service, KafkaClient, Callable[[str], None]]]:
    """A service, who asks it, and what puts another certificate in the place of its own."""
    mine = folder / "mine.pem"

    def become(name: str) -> None:
        """As cert-manager does: another file by this name."""
        new = folder / "new.pem"
        new.write_bytes((secured.folder / name).read_bytes())
        new.replace(mine)

    become("client.pem")
    way = {**secured.client("MTLS"), "ssl.certificate.location": str(mine)}
    servers = secured.servers("MTLS")
    async with (
        model_server() as models,
        running_service(
            servers, topics, "openai/echo", models.api_base, kafka={"client": way}
        ) as service,
        asking(secured, "MTLS", topics) as client,
    ):
        yield service, client, become


async def test_a_new_certificate_is_taken_up_by_the_running_service(
    secured: Secured, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WATCH", 0.1)
    with capture_logs() as logs:
        async with with_a_certificate(secured, topics, tmp_path) as (service, client, become):
            assert (await client.ask("before")).answer == "before"
            become("stranger.pem")
            cut_connections()
            await until(service, reachable=False)
            assert service.ready() == "Kafka does not answer"
            before = service.source.pulse()
            # Polled, as the client tells nobody that it tries again and again.
            while service.source.pulse() == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert service.live() is None
            # Polled, as why it is so is asked of the broker first.
            while not any(line["event"] == WHY for line in logs):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            become("client.pem")
            await until(service, reachable=True)
            assert (await client.ask("after")).answer == "after"
    [away] = [line for line in logs if line["event"] == WHY]
    assert "does not accept our certificate" in away["reason"]


async def says_nothing() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise LookupError("nobody foresaw it")


@pytest.mark.parametrize("why", [says_nothing, fails])
async def test_why_kafka_is_away_holds_up_nothing(
    secured: Secured,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    why: Callable[[], Awaitable[None]],
) -> None:
    monkeypatch.setattr(running, "WATCH", 0.1)
    async with with_a_certificate(secured, topics, tmp_path) as (service, client, become):
        monkeypatch.setattr(service.sink, "refused", why)
        become("stranger.pem")
        cut_connections()
        await until(service, reachable=False)
        become("client.pem")
        await until(service, reachable=True)
        assert (await client.ask("after")).answer == "after"
