"""The model of the demo can be followed by DSPy in both of its formats, and typed."""

from typing import Any

import aiohttp
import dspy
import pytest

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
