"""Topics as the service leaves them, also on brokers that create topics by themselves."""

import pytest

from penstock.errors import ConfigurationError
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
