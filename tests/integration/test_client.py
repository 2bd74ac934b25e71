"""One client over Kafka and over HTTP: the same questions, the same answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import pytest

from penstock.client import Client, Event, HttpClient, KafkaClient, connect
from penstock.errors import RecordError
from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.events.texts import Texts
from penstock.events.token import End
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.service import running_service

Way = Literal["kafka", "http"]

MODEL = "openai/echo"
FLAGS: dict[str, Any] = {
    "models": {"stuck": {"name": "openai/hang-before"}},
    "programs": {
        "echo": "question -> answer",
        "stuck": {"entry": "question -> answer", "model": "stuck"},
    },
    "default_program": "echo",
}


@asynccontextmanager
async def asking(
    way: Way, bootstrap_servers: str, topics: Topics
) -> AsyncIterator[tuple[Client, ModelServer]]:
    """With all that is behind it."""
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(model_server())
        flags = {**FLAGS, "models": {"stuck": {**FLAGS["models"]["stuck"], **of(models)}}}
        await stack.enter_async_context(
            running_service(bootstrap_servers, topics, MODEL, models.api_base, **flags)
        )
        if way == "http":
            gateway = await stack.enter_async_context(
                running_gateway(bootstrap_servers, topics, **flags)
            )
            yield await stack.enter_async_context(connect(gateway.address)), models
            return
        names = {
            name: topics.name(name) for name in ("questions", "tokens", "completions", "control")
        }
        yield await stack.enter_async_context(connect(bootstrap_servers, **names)), models


def of(models: ModelServer) -> dict[str, str]:
    return {"api_base": models.api_base, "api_key": "none"}


@pytest.mark.parametrize("way", ["kafka", "http"])
async def test_whatever_the_way_is_it_is_asked_the_same(
    way: Way, bootstrap_servers: str, topics: Topics
) -> None:
    async with asking(way, bootstrap_servers, topics) as (client, models):
        assert isinstance(client, KafkaClient if way == "kafka" else HttpClient)
        await streamed(client)
        await asked(client)
        await many(client)
        await cancelled(client, models)


async def streamed(client: Client) -> None:
    events: list[Event] = [event async for event in client.stream("one two three", key="k")]
    *said, end, completion = events
    texts = Texts()
    for event in said:
        texts.add(event)
    assert isinstance(end, End)
    assert isinstance(completion, Completion)
    assert texts.fields() == completion.outputs == {"answer": "one two three"}
    sequences = [event.sequence for event in (*said, end) if not isinstance(event, Completion)]
    assert sequences == list(range(len(sequences)))
    assert completion.last_sequence == sequences[-1]


async def asked(client: Client) -> None:
    name = "a/b c?#%ü"
    own, expired, failed = await asyncio.gather(
        client.ask({"question": "mine"}, question_id=name, metadata={"a": 1}),
        client.ask("too late", program="stuck", timeout_ms=300),
        client.ask("to whom?", program="none"),
    )
    assert (own.question_id, own.answer, own.metadata) == (name, "mine", {"a": 1})
    assert own.last_sequence is None, "no token events were wanted"
    assert expired.status == "expired"
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "unknown_program"


async def many(client: Client) -> None:
    texts = [f"question {number}" for number in range(40)]
    wrong: list[Any] = ["", Question(question="x", program="none")]
    found = {
        asked.index: outcome
        async for asked, outcome in client.batch([*texts, *wrong], concurrency=16)
    }
    answers = [found[index] for index in range(len(texts))]
    assert [getattr(answer, "answer", answer) for answer in answers] == texts
    assert isinstance(found[len(texts)], RecordError)
    failed = found[len(texts) + 1]
    assert isinstance(failed, Completion)
    assert failed.status == "failed"


async def cancelled(client: Client, models: ModelServer) -> None:
    before = len(models.calls)
    asking = asyncio.create_task(client.ask("?", program="stuck", question_id="no/more"))
    await models.called(before + 1)
    await client.cancel("no/more")
    assert (await asking).status == "cancelled"
