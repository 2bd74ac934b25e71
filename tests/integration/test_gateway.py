"""The gateway in front of a real Kafka and a real service."""

import httpx

from tests.support.gateway import answered
from tests.support.kafka import Topics


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
