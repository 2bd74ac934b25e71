"""The gateway in front of a real Kafka and a real service."""

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from penstock.gateway import fan_out
from tests.support.gateway import answered, running_gateway
from tests.support.kafka import Topics
from tests.support.operating import operating


async def test_a_question_over_http_is_answered(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        answered(bootstrap_servers, topics, "openai/ok") as gateway,
        httpx.AsyncClient(base_url=gateway.address) as client,
    ):
        response = await client.post("/predict", json={"question": "Why?"})
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "completed"


async def test_its_tokens_are_read_by_its_id(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        answered(bootstrap_servers, topics, "openai/ok") as gateway,
        httpx.AsyncClient(base_url=gateway.address) as client,
    ):
        response = await client.post("/v1/questions", json={"question": "Why?"})
        assert response.status_code == 202
        events = response.headers["location"] + "/events"
        live = (await client.get(events)).text
        again = (await client.get(events)).text
        middle = live.partition("id: ")[2].partition("\n")[0]
        rest = (await client.get(events, headers={"Last-Event-ID": middle})).text
    assert live.count("event: completion\n") == 1
    assert again == live
    assert rest.removeprefix("retry: 1000\n") == live.partition("\n\n")[2]


async def test_partitions_that_are_added_are_read(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "GROWTH_SECONDS", 0.1)
    for topic in ("questions", "tokens", "completions", "control", "dead-letters"):
        topics.create(topic, 1)
    async with (
        operating(bootstrap_servers, topics) as operator,
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer,
        running_gateway(bootstrap_servers, topics) as gateway,
        httpx.AsyncClient(base_url=gateway.address) as client,
    ):
        for topic in ("questions", "tokens", "completions"):
            await operator.add_partitions(topic, 2)
        for partition in (0, 1):
            value = b'{"id": "q%d", "question": "Why?"}' % partition
            await producer.send_and_wait(topics.name("questions"), value, partition=partition)
        for partition in (0, 1):
            while (found := await client.get(f"/v1/questions/q{partition}")).status_code == 404:
                pass
            assert found.json()["partition"] == partition
