"""Topics as the service leaves them, also on brokers that create topics by themselves."""

import socket
from typing import Any

import pytest

from penstock.errors import ConfigurationError
from penstock.kafka import admin as module
from penstock.kafka import entry
from penstock.kafka.admin import admin, prepare
from penstock.kafka.security import client_arguments
from penstock.local.broker import broker
from penstock.settings import TopicSettings
from tests.support.kafka import Topics
from tests.support.service import needing, settings_for


async def test_brokers_that_create_topics_by_themselves_create_none_of_ours() -> None:
    async with broker(settings={"auto.create.topics.enable": "true"}) as kafka:
        client = client_arguments(kafka.bootstrap_servers, {})
        with pytest.raises(ConfigurationError, match=r"'penstock\.questions' is missing"):
            await prepare(client, needing(TopicSettings(create=False)))
        async with admin(client) as connection:
            assert "penstock.questions" not in await connection.list_topics()
        topics = await prepare(client, needing(TopicSettings(partitions=5)))
        assert topics.tokens.partitions == topics.completions.partitions == 5
        assert topics.dead_letters.limit > topics.completions.limit
        again = await prepare(client, needing(TopicSettings()))
        assert again == topics


async def test_a_control_topic_of_several_partitions_is_refused(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("control", 2)
    wanted = settings_for(bootstrap_servers, topics, "openai/ok").topics
    client = client_arguments(bootstrap_servers, {})
    with pytest.raises(ConfigurationError, match=r"control' has 2 partitions; it must have 1"):
        await prepare(client, needing(wanted))
    topics.created += [wanted.questions, wanted.tokens, wanted.completions, wanted.dead_letters]


async def test_one_bootstrap_server_that_says_nothing_does_not_matter(
    bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine that is switched off."""
    monkeypatch.setattr(entry, "CONNECT_MS", 200)
    monkeypatch.setattr(module, "_CONNECT_TIMEOUT", 5.0)
    # Left to itself, the client would begin with the silent one in one start of two.
    monkeypatch.setattr("aiokafka.conn.random.shuffle", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]},{bootstrap_servers}"
        async with admin(client_arguments(servers, {})) as connection:
            assert (await connection.describe_cluster())["brokers"]


async def test_a_kafka_that_lets_us_in_and_then_says_nothing_is_one_line(
    bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(module, "look", silent)
    with pytest.raises(ConfigurationError, match=r"^topics: TimeoutError$"):
        await prepare(client_arguments(bootstrap_servers, {}), needing(TopicSettings()))
