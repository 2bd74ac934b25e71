"""The simple door in front of a real Kafka and a real service: what a tutorial's client sees."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from penstock.gateway import simple
from penstock.gateway.server import Serving
from penstock.local.prompt import ChatRequest
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.service import running_service

MODEL = "openai/moody"


def as_told(_: int, request: ChatRequest) -> str:
    """A question says what the model does with it."""
    return request.question


@asynccontextmanager
async def moody(
    bootstrap_servers: str, topics: Topics, **flags: Any
) -> AsyncIterator[tuple[ModelServer, Serving, httpx.AsyncClient]]:
    """A model that does what it is asked, behind a gateway with a client."""
    of_service = {name: value for name, value in flags.items() if name != "gateway"}
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, MODEL, models.api_base, **of_service),
        running_gateway(bootstrap_servers, topics, **flags) as gateway,
        httpx.AsyncClient(base_url=gateway.address, timeout=30) as client,
    ):
        models.script["moody"] = as_told
        yield models, gateway, client


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """The name and what is said of each; as of a browser's EventSource."""
    name = "message"
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value if value == "[DONE]" else json.loads(value)
        elif not line:
            name = "message"


async def test_a_question_and_its_answer(bootstrap_servers: str, topics: Topics) -> None:
    once = {"max_attempts": 1}
    async with moody(bootstrap_servers, topics, retry=once) as (_, gateway, client):
        asked = {"question": "ok", "metadata": {"user": 7}, "id": "mine"}
        response = await client.post("/predict", json=asked)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert (answer["id"], answer["status"]) == ("mine", "completed")
        assert answer["answer"] == "You said ok"
        assert answer["outputs"] == {"answer": "You said ok"}
        assert answer["program"]["name"] == "qa"
        assert answer["model"] == MODEL
        assert answer["usage"]["total_tokens"] > 0
        assert answer["metadata"] == {"user": 7}
        assert answer["duration_ms"] > answer["queued_ms"] > 0

        # It is not asked again.
        again = (await client.post("/predict", json=asked)).json()
        assert again | {"duration_ms": 0} == answer | {"duration_ms": 0}

        # Nor is what goes by an `Idempotency-Key`, told or streamed.
        by_key = {"Idempotency-Key": "once"}
        first = (await client.post("/predict", json={"question": "ok"}, headers=by_key)).json()
        again = (await client.post("/predict", json={"question": "ok"}, headers=by_key)).json()
        assert again["id"] == first["id"]
        response = await client.post("/predict/stream", json={"question": "ok"}, headers=by_key)
        assert response.headers["content-location"] == f"/v1/questions/{first['id']}"
        response = await client.post("/predict", json={"question": "500"}, headers=by_key)
        assert (response.status_code, response.json()["code"]) == (422, "name_taken")
        response = await client.post("/predict", json=asked, headers=by_key)
        assert (response.status_code, response.json()["code"]) == (400, "two_names")

        async def problem(**question: Any) -> tuple[int, str, str]:
            response = await client.post("/predict", json=question)
            assert response.headers["content-type"] == "application/problem+json"
            told = response.json()
            assert told["id"]
            assert told["detail"]
            return response.status_code, told["code"], told["kind"]

        unknown = await problem(question="?", program="nobody")
        assert unknown == (422, "unknown_program", "RECORD")
        assert await problem(inputs={"letter": "?"}) == (422, "missing_input", "RECORD")
        assert await problem(question="unparsable") == (502, "unparsable_answer", "ANSWER")
        assert await problem(question="500") == (502, "model_error", "UPSTREAM")
        late = await problem(question="hang-before", timeout_ms=200)
        assert late == (504, "deadline_exceeded", "DEADLINE")

        hanging = asyncio.create_task(problem(id="unwanted", question="hang-before"))
        await _running(gateway, "unwanted")
        await gateway.parts.questions.cancel("unwanted")
        assert await hanging == (409, "cancelled", "CANCELLED")


async def test_an_answer_while_it_is_said(bootstrap_servers: str, topics: Topics) -> None:
    at_once = {"base_ms": 1}
    async with moody(bootstrap_servers, topics, retry=at_once) as (models, _, client):
        models.script["moody"] = lambda number, request: (
            "cut?at=9&token_ms=30" if number == 1 else request.question
        )
        seen = []
        async with client.stream("POST", "/predict/stream", json={"question": "held"}) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            asked_at = response.headers["content-location"]
            heard = events(response)
            async for event in heard:
                seen.append(event)
                if "restart" in dict(seen) and event[0] == "message":
                    # What is held comes after what was seen already.
                    models.let_end()
        names = [name for name, _ in seen]
        restart = names.index("restart")
        assert seen[restart][1] == {"reason": "attempt 1 failed: connection_lost"}
        assert set(names[:restart]) == {"message"}
        pieces = [said["token"] for name, said in seen[restart:-1] if name == "message"]
        assert "".join(pieces) == "You said held"
        name, completion = seen[-2]
        assert name == "completion"
        assert completion["answer"] == "You said held"
        assert completion["attempts"] == 2
        assert asked_at == f"/v1/questions/{completion['id']}"
        assert seen[-1] == ("message", "[DONE]")

        # What is wrong before anything was said has a status.
        unknown = {"question": "?", "program": "nobody"}
        response = await client.post("/predict/stream", json=unknown)
        assert response.status_code == 422
        assert response.json()["code"] == "unknown_program"

        # What goes wrong afterwards is an event.
        late = {"question": "hang-during?at=9", "timeout_ms": 1000}
        async with client.stream("POST", "/predict/stream", json=late) as response:
            assert response.status_code == 200
            seen = [event async for event in events(response)]
        assert [name for name, _ in seen[-2:]] == ["problem", "message"]
        assert seen[-2][1]["status"] == 504
        assert seen[-1][1] == "[DONE]"

        # Who wants no tokens gets the answer in one.
        whole = {"question": "ok", "stream": False}
        async with client.stream("POST", "/predict/stream", json=whole) as response:
            seen = [event async for event in events(response)]
        assert [name for name, _ in seen] == ["message", "completion", "message"]
        assert seen[0][1] == {"token": "You said ok"}


async def test_a_client_that_goes_away_cancels_where_that_is_wanted(
    bootstrap_servers: str, topics: Topics
) -> None:
    flags = {"gateway": {"cancel_on_disconnect": True}}
    async with moody(bootstrap_servers, topics, **flags) as (models, gateway, client):
        for path, question_id in ("/predict", "waits"), ("/predict/stream", "streams"):
            body = {"id": question_id, "question": "hang-before"}
            leaving = asyncio.create_task(client.post(path, json=body))
            await _running(gateway, question_id)
            leaving.cancel()
            entry = gateway.parts.questions.index.get(question_id)
            assert entry is not None
            async with asyncio.timeout(20):
                found = await gateway.parts.questions.completion(entry, None)
            assert found is not None
            assert json.loads(found)["status"] == "cancelled"
        await models.disconnected(2)


async def test_without_a_service_it_ends_all_the_same(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simple, "GRACE_SECONDS", 0.1)
    for topic in ("questions", "tokens", "completions", "control"):
        topics.create(topic)
    at_most = {"default_ms": 100}
    async with (
        running_gateway(bootstrap_servers, topics, deadline=at_most) as gateway,
        httpx.AsyncClient(base_url=gateway.address) as client,
    ):
        for path in "/predict", "/predict/stream":
            response = await client.post(path, json={"question": "Is anybody there?"})
            assert response.status_code == 504
            told = response.json()
            assert told["code"] == "no_completion"
            assert gateway.parts.questions.index.get(told["id"]) is not None


async def _running(gateway: Serving, question_id: str) -> None:
    """Until it has been asked."""
    async with asyncio.timeout(20):
        # Polled, as there is no sign of it: nothing is said of it.
        while gateway.parts.questions.index.get(question_id) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
