"""The model of the demo can be followed by DSPy in both of its formats, and typed."""

from datetime import date
from typing import Any, Literal

import aiohttp
import dspy
import orjson
import pytest
from pydantic import BaseModel, Field

from penstock.local import scripted
from penstock.local.prompt import ChatRequest
from tests.support.asking import QUESTION, ask, sink_if

SIGNATURE = "question: str -> answer: str, count: int, sure: bool, tags: list[str]"
SHAPE = {"reasoning": str, "answer": str, "count": int, "sure": bool, "tags": list}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter])
async def test_the_canned_answer_is_in_the_form_asked_for(adapter: Any, streamed: bool) -> None:
    sink = sink_if(streamed)
    async with scripted.model(first_token_s=0, token_s=0) as served:
        program = dspy.ChainOfThought(SIGNATURE)
        answer = await ask(served, served.name, program=program, adapter=adapter(), sink=sink)
    assert {name: type(value) for name, value in answer.toDict().items()} == SHAPE
    assert QUESTION in answer.answer
    assert sink is None or len(sink.pieces) > 20


class Part(BaseModel):
    name: str = Field(description='"quoted", \\ and\nin two lines')
    made: date
    count: int = Field(gt=10)
    weight: float = Field(le=0.25)
    kind: Literal["pump", "pipe"]
    parts: list["Part"]


class Inventory(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """What there is."""

    text: str = dspy.InputField()
    first: Part = dspy.OutputField()
    others: list[Part] | None = dspy.OutputField()
    place: tuple[int, str] = dspy.OutputField()
    prices: dict[str, int] = dspy.OutputField()


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()])
def test_types_that_have_parts_are_fitted_too(adapter: Any) -> None:
    messages = adapter.format(Inventory, [], {"text": "?"})
    request = ChatRequest.read(orjson.dumps({"model": "any", "messages": messages}))

    said = adapter.parse(Inventory, scripted.canned(request))

    part = said["first"]
    assert (part.count, part.weight, part.kind, type(part.made)) == (11, 0.25, "pump", date)
    assert type(said["others"][0]) is type(part.parts[0]) is Part
    assert type(said["place"]) is tuple
    assert said["prices"] == {}


async def test_an_agent_does_not_call_its_tools_for_ever() -> None:
    agent = dspy.ReAct("question -> answer", tools=[str.upper])
    async with scripted.model(first_token_s=0, token_s=0, chunk_chars=64) as served:
        answer = await ask(served, served.name, program=agent)
    assert answer.trajectory["tool_name_0"] == "finish"


async def test_the_answer_may_be_any_function_of_the_request() -> None:
    def loudly(request: ChatRequest) -> str:
        return request.question.upper()

    async with (
        scripted.model(loudly, first_token_s=0, token_s=0) as served,
        aiohttp.ClientSession() as http,
    ):
        body = {"model": "any", "messages": [{"role": "user", "content": "hello"}]}
        async with http.post(f"{served.api_base}/chat/completions", json=body) as response:
            told = await response.json()
            assert told["choices"][0]["message"]["content"] == "HELLO"
        async with http.post(f"{served.api_base}/chat/completions", data=b"{") as response:
            assert response.status == 400
        async with http.get(f"{served.api_base}/models") as response:
            assert [m["id"] for m in (await response.json())["data"]] == [served.name]


async def test_a_client_that_leaves_disturbs_nobody() -> None:
    async with scripted.model(first_token_s=0, token_s=0.01) as served:
        body = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{served.api_base}/chat/completions", json=body) as response,
        ):
            await response.content.readline()
        answer = await ask(served, served.name)
    assert answer.answer
