"""All of it, or nothing; and then the next."""

import pytest
from aiokafka import TopicPartition

from penstock.errors import KafkaError
from penstock.kafka.admin import admin
from penstock.kafka.group_offsets import commits
from penstock.kafka.security import client_arguments
from penstock.kafka.transactions import Said, transactions
from tests.support.kafka import Topics


async def test_what_is_too_large_undoes_the_rest_and_says_what_to_do(
    bootstrap_servers: str, topics: Topics
) -> None:
    place = TopicPartition(topics.create("questions", 1, {"max.message.bytes": "3000"}), 0)
    client, name = client_arguments(bootstrap_servers, {}), topics.name("redrive")
    small, large = (Said(place, None, b"?" * size, ()) for size in (10, 4000))
    async with admin(client) as connection:
        async with transactions(client, name, name, 2**20) as kafka:
            with pytest.raises(KafkaError, match="DescribeConfigs"):
                await kafka.say([small, large], {place: 7})
        assert (await commits(connection, name, [place]))[place].offset == -1
        async with transactions(client, name, name, 2**20) as kafka:
            await kafka.say([small], {place: 1})
        # Who begins anew waits for the markers of the one before, which come after its answer.
        async with transactions(client, name, name, 2**20):
            assert (await commits(connection, name, [place]))[place].offset == 1
