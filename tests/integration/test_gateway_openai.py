"""OpenAI's own client, and what stands on the wire, in front of a real Kafka and a real service."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from penstock.gateway.openai import exchange
from penstock.gateway.server import Serving
from penstock.gateway.sse import EventStream
from tests.integration.test_retries import in_turn
from tests.support.command import penstock
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.service import running_service

PROGRAMS = {
    "qa": "question -> answer",
    "thinks": "question -> reasoning, answer",
    "facts": "text -> facts: list[str]",
    "with-context": "question, context -> answer",
}
WHY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why?"}]
JSON = {"content-type": "application/json"}
TRIES = "x-stainless-retry-count"
EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


@asynccontextmanager
async def serving(
    bootstrap_servers: str,
    topics: Topics,
    model: str = "openai/ok",
    gateway: dict[str, Any] | None = None,
    **retry: int,
) -> AsyncIterator[tuple[Serving, ModelServer]]:
    """A gateway, a service, and a model that is at hand."""
    flags: dict[str, Any] = {"programs": PROGRAMS, "retry": {"base_ms": 1} | retry}
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, model, models.api_base, **flags),
        running_gateway(
            bootstrap_servers, topics, programs=PROGRAMS, gateway=gateway or {}
        ) as running,
    ):
        overview = running.parts.overview
        while not overview.programs:
            await overview.looked.wait()
        yield running, models


def client_of(gateway: Serving, retries: int = 0, **more: Any) -> AsyncOpenAI:
    address = f"{gateway.address}/v1"
    return AsyncOpenAI(base_url=address, api_key="none", max_retries=retries, **more)


class LosingTheFirst(httpx.AsyncHTTPTransport):
    """Its connection breaks when the model is called; at the next request the model may end."""

    def __init__(self, models: ModelServer) -> None:
        super().__init__()
        self._models = models
        self._requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._requests += 1
        if self._requests > 1:
            self._models.let_end()
            return await super().handle_async_request(request)
        sending = asyncio.create_task(super().handle_async_request(request))
        await self._models.called()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        raise httpx.ReadError("lost", request=request)


async def streamed(client: AsyncOpenAI, model: str = "qa", **more: Any) -> list[Any]:
    asked: dict[str, Any] = {"model": model, "messages": WHY} | more
    return [chunk async for chunk in await client.chat.completions.create(**asked, stream=True)]


async def all_of(stream: AsyncIterator[Any], chunks: list[Any]) -> None:
    async for chunk in stream:
        chunks.append(chunk)  # noqa: PERF401 - kept, too, where it breaks off


def said(chunks: list[Any], name: str = "content") -> str:
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    return "".join(getattr(delta, name, None) or "" for delta in deltas)


async def test_programs_are_models_and_answer_conversations(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        serving(bootstrap_servers, topics, "openai/echo") as (gateway, _),
        client_of(gateway) as client,
    ):
        listed = [model.id async for model in client.models.list()]
        assert listed == sorted(PROGRAMS)
        assert (await client.models.retrieve("qa")).owned_by == "penstock"
        with pytest.raises(openai.NotFoundError, match="gpt-4o"):
            await client.models.retrieve("gpt-4o")

        whole = await client.chat.completions.create(
            model="qa", messages=WHY, metadata={"from": "me"}, temperature=1, tools=[]
        )
        [choice] = whole.choices
        assert choice.message.content == "Why?"
        assert choice.finish_reason == "stop"
        assert whole.id.startswith("chatcmpl-")
        assert whole.system_fingerprint
        assert whole.usage is not None
        assert whole.usage.total_tokens > 0

        chunks = await streamed(client, stream_options={"include_usage": True})
        assert chunks[0].choices[0].delta.role == "assistant"
        assert said(chunks) == "Why?"
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage.total_tokens > 0
        assert {chunk.usage for chunk in chunks[:-1]} == {None}
        assert {(chunk.id, chunk.system_fingerprint) for chunk in chunks} == {
            (chunks[0].id, whole.system_fingerprint)
        }

        talk: list[Any] = [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "Hello."}]},
            choice.message,
            {"role": "user", "content": "And at night?"},
        ]
        again = await client.chat.completions.create(model="qa", messages=talk)
        assert again.choices[0].message.content == (
            "system: Be short.\n\nuser: Hello.\n\nassistant: Why?\n\nuser: And at night?"
        )

        thought = await streamed(client, "thinks")
        assert said(thought, "reasoning_content")
        assert said(thought) == "Why?"
        whole = await client.chat.completions.create(model="thinks", messages=WHY)
        reasoning = (whole.choices[0].message.model_extra or {})["reasoning_content"]
        assert reasoning == said(thought, "reasoning_content")
        facts = json.loads(said(await streamed(client, "facts")))
        assert list(facts) == ["facts"]
        whole = await client.chat.completions.create(model="facts", messages=WHY)
        assert json.loads(whole.choices[0].message.content or "") == facts


async def test_what_a_chat_cannot_ask_is_said(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        serving(bootstrap_servers, topics) as (gateway, models),
        client_of(gateway) as client,
        httpx.AsyncClient(base_url=f"{gateway.address}/v1") as http,
    ):
        create = client.chat.completions.create
        with pytest.raises(openai.NotFoundError) as unknown:
            await create(model="gpt-4o", messages=WHY)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError, match=r"context.*/v1/questions"):
            await create(model="with-context", messages=WHY)
        with pytest.raises(openai.BadRequestError, match="seed, temperature") as unsupported:
            await create(model="qa", messages=WHY, seed=7, n=1, temperature=0.2)
        assert unsupported.value.code == "unsupported_parameter"
        assert unsupported.value.param == "seed"
        assert unsupported.value.type == "invalid_request_error"
        image: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
        with pytest.raises(openai.BadRequestError, match="'image_url' is not supported"):
            await create(model="qa", messages=[{"role": "user", "content": image}])
        refused = await http.post("/chat/completions", content=b'{"model"', headers=JSON)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"
        for name in ("previous_response_id", "background", "conversation"):
            response = await http.post("/responses", json={"model": "qa", "input": "", name: True})
            assert response.status_code == 400
            assert response.json()["error"]["param"] == name
        for name in ("%0A%5B", "a%2Fb", "%ED%A0%80"):
            unknown_name = await http.get(f"/models/{name}")
            assert unknown_name.status_code == 404
            assert unknown_name.json()["error"]["code"] == "model_not_found"
        assert not models.calls.per_model


async def test_a_token_asks_its_programs(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    made = await penstock("token", "ana", "--program", "thinks", "--requests-per-minute", "1")
    file.write_text(made.stdout)
    async with (
        serving(bootstrap_servers, topics, gateway={"tokens": file}) as (gateway, _),
        client_of(gateway) as client,
        client_of(gateway).with_options(api_key=made.stderr.strip()) as ana,
    ):
        with pytest.raises(openai.AuthenticationError) as stranger:
            await client.models.list()
        assert stranger.value.type == "authentication_error"
        assert [model.id async for model in ana.models.list()] == ["thinks"]
        with pytest.raises(openai.PermissionDeniedError) as forbidden:
            await ana.chat.completions.create(model="qa", messages=WHY)
        assert forbidden.value.code == "program_not_allowed"
        assert said(await streamed(ana, "thinks"))
        with pytest.raises(openai.RateLimitError) as often:
            await streamed(ana, "thinks")
        assert often.value.type == "rate_limit_error"
        assert int(often.value.response.headers["retry-after"]) > 0


async def test_an_answer_that_begins_again_is_never_doubled(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        serving(bootstrap_servers, topics) as (gateway, models),
        client_of(gateway) as client,
    ):
        models.script["ok"] = in_turn(
            "cut?at=9&token_ms=30&text=one two three", "ok?text=one two three"
        )
        assert said(await streamed(client)) == "one two three"

        models.script["ok"] = in_turn(
            "cut?at=9&token_ms=30&text=one two three", "ok?text=other words"
        )
        chunks: list[Any] = []
        stream = await client.chat.completions.create(model="qa", messages=WHY, stream=True)
        with pytest.raises(openai.APIError, match="/v1/questions/") as restarted:
            await all_of(stream, chunks)
        assert restarted.value.code == "restarted"
        assert "one two three".startswith(said(chunks))
        assert said(chunks)


async def test_failures_are_openais_errors(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serving(bootstrap_servers, topics, max_attempts=1, answer_attempts=1) as (gateway, models),
        client_of(gateway, retries=2) as client,
    ):
        create = client.chat.completions.create
        for behaviour, error, code in (
            ("context", openai.BadRequestError, "context_length_exceeded"),
            ("unparsable", openai.InternalServerError, "unparsable_answer"),
            ("500", openai.InternalServerError, "model_error"),
        ):
            models.script["ok"] = in_turn(behaviour)
            called = models.calls.per_model["ok"]
            with pytest.raises(error) as failed:
                await create(model="qa", messages=WHY)
            assert failed.value.code == code
            # It is not tried again by whoever does not know that it has been.
            assert models.calls.per_model["ok"] == called + 1
            with pytest.raises(openai.APIError) as broken:
                await streamed(client)
            assert broken.value.code == code
        models.script["ok"] = in_turn("hang-before")
        with pytest.raises(openai.InternalServerError) as late:
            await create(model="qa", messages=WHY, extra_body={"timeout_ms": 300})
        assert late.value.status_code == 504
        assert late.value.code == "deadline_exceeded"
        with pytest.raises(openai.APIError) as late_stream:
            await streamed(client, extra_body={"timeout_ms": 300})
        assert late_stream.value.code == "deadline_exceeded"
        # Nobody says that it has expired: the service has died, or was never there.
        monkeypatch.setattr(exchange, "GRACE_SECONDS", -0.25)
        soon = {"timeout_ms": 300}
        with pytest.raises(openai.APIError) as silence:
            await create(model="qa", messages=WHY, extra_body=soon)
        assert silence.value.code == "no_answer"
        with pytest.raises(openai.APIError) as silent_stream:
            await streamed(client, extra_body=soon)
        assert silent_stream.value.code == "no_answer"


async def test_a_retry_is_the_same_question(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serving(bootstrap_servers, topics) as (gateway, models),
        httpx.AsyncClient(transport=LosingTheFirst(models)) as losing,
        client_of(gateway, retries=1, http_client=losing) as client,
        httpx.AsyncClient(base_url=f"{gateway.address}/v1") as http,
    ):
        models.script["ok"] = lambda *_: "held"
        create = client.chat.completions.create
        whole = await create(model="qa", messages=WHY)
        assert whole.choices[0].message.content == "You said Why?"
        assert models.calls.per_model["ok"] == 1

        models.script["ok"] = lambda *_: "ok"
        # What is no retry is another question.
        await create(model="qa", messages=WHY)
        assert models.calls.per_model["ok"] == 2
        named = {"Idempotency-Key": "mine"}
        asked = [
            await create(model="qa", messages=WHY, extra_headers=named, stream=True)
            for _ in range(2)
        ]
        one, other = [[chunk async for chunk in stream] for stream in asked]
        assert said(one) == said(other) == "You said Why?"
        assert one[0].id == other[0].id
        assert models.calls.per_model["ok"] == 3
        body = {"model": "qa", "messages": [{"role": "user", "content": "Else?"}]}
        taken = await http.post("/chat/completions", json=body, headers=named)
        assert taken.status_code == 422
        assert taken.json()["error"]["code"] == "name_taken"

        # Kafka may take later what it does not acknowledge: by the same id that is a duplicate.
        sent: list[bytes] = []

        async def silent(_: str, value: bytes, *__: Any, **___: Any) -> None:
            sent.append(value)
            raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(gateway.parts.questions._producer, "send_and_wait", silent)
            first = await http.post("/chat/completions", json=body, headers={TRIES: "0"})
        assert (first.status_code, first.json()["error"]["code"]) == (503, "kafka_away")
        again = await http.post("/chat/completions", json=body, headers={TRIES: "1"})
        assert again.json()["id"] == f"chatcmpl-{json.loads(sent[0])['id']}", again.text


async def test_responses(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        serving(bootstrap_servers, topics, "openai/echo") as (gateway, models),
        client_of(gateway) as client,
        httpx.AsyncClient(base_url=f"{gateway.address}/v1") as http,
    ):
        whole = await client.responses.create(model="qa", input="Why?", store=False)
        assert whole.output_text == "Why?"
        assert whole.status == "completed"
        assert whole.usage is not None
        assert whole.usage.total_tokens > 0
        talk: Any = [
            {"role": "user", "content": [{"type": "input_text", "text": "Hello."}]},
            *whole.output,
            {"role": "user", "content": "And at night?"},
        ]
        again = await client.responses.create(model="qa", instructions="Be short.", input=talk)
        assert again.instructions == "Be short."
        assert again.output_text == (
            "system: Be short.\n\nuser: Hello.\n\nassistant: Why?\n\nuser: And at night?"
        )

        asked = await client.responses.create(model="qa", input="Why, of all?", stream=True)
        events = [event async for event in asked]
        kinds = [event.type for event in events]
        deltas = kinds.count("response.output_text.delta")
        assert deltas
        assert kinds == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            *["response.output_text.delta"] * deltas,
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        last: Any = events[-1]
        assert last.response.output_text == "Why, of all?"

        # The client takes what it gets; these are what OpenAI says that they are.
        body = {"model": "qa", "input": "Why?", "stream": True}
        async with http.stream("POST", "/responses", json=body) as response:
            lines = [line async for line in response.aiter_lines() if line]
        for name, data in zip(lines[::2], lines[1::2], strict=True):
            event = EVENTS.validate_json(data.removeprefix("data: "), strict=True)
            assert name == f"event: {event.type}"
        models.script["echo"] = in_turn("context")
        asked = await client.responses.create(model="qa", input="Why?", stream=True)
        *_, failed = [event async for event in asked]
        assert failed.type == "response.failed"
        assert failed.response.error is not None
        assert failed.response.error.code == "invalid_prompt"


async def test_on_the_wire(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        serving(bootstrap_servers, topics) as (gateway, models),
        httpx.AsyncClient(base_url=f"{gateway.address}/v1") as http,
    ):
        body = {"model": "qa", "messages": WHY, "stream": True}
        response = await http.post("/chat/completions", json=body)
        assert response.headers["content-type"].startswith("text/event-stream")
        frames = response.text.removesuffix("\n\n").split("\n\n")
        assert frames[-1] == "data: [DONE]"
        assert all(frame.startswith("data: {") for frame in frames[:-1])
        assert not any("\n" in frame for frame in frames)
        first = json.loads(frames[0].removeprefix("data: "))
        assert first["object"] == "chat.completion.chunk"
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert "usage" not in first
        silence = EventStream.silence.decode()
        kept_alive = "".join(f"{silence}{frame}\n\n{silence}" for frame in frames)
        kind = {"content-type": "text/event-stream"}
        reading = httpx.MockTransport(lambda _: httpx.Response(200, headers=kind, text=kept_alive))
        async with (
            httpx.AsyncClient(transport=reading) as replayed,
            client_of(gateway, http_client=replayed) as client,
        ):
            assert said(await streamed(client)) == "You said Why?"

        models.script["ok"] = lambda *_: "held"
        async with http.stream("POST", "/chat/completions", json=body) as response:
            lines = response.aiter_lines()
            while "You" not in await anext(lines):
                pass
            gateway.stop()
            rest = [line async for line in lines if line]
        # A client takes a stream that just ends for a whole answer.
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "stopping"
        models.let_end()


@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_cancels_where_that_is_set(
    bootstrap_servers: str, topics: Topics, *, stream: bool
) -> None:
    leaving = {"cancel_on_disconnect": True}
    async with (
        serving(bootstrap_servers, topics, "openai/held", leaving) as (gateway, models),
        client_of(gateway) as client,
    ):
        create = client.chat.completions.create
        asking = asyncio.create_task(
            streamed(client) if stream else create(model="qa", messages=WHY)
        )
        await models.called()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await models.disconnected()
