"""The model server misbehaves as it says, seen through the client the service really uses."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from dspy.utils import exceptions as raised

from penstock.program.reading import Timeouts
from tests.support.asking import QUESTION, Sink, ask
from tests.support.behaviours import bench_text
from tests.support.model_server import model_server

streamed_or_not = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])


@pytest.mark.parametrize("model", ["cut", "malformed", "error-frame", "hang-during"])
async def test_chunks_before_the_fault_have_arrived(model: str) -> None:
    async with model_server() as server:
        sink = Sink()
        with pytest.raises(raised.LMError):
            await ask(server, f"{model}?at=7&token_ms=1", sink=sink, timeouts=Timeouts(idle=0.2))
    assert "".join(sink.pieces) == "[[ ## answer ## ]]\nYou said"


async def test_tokens_are_not_written_before_they_are_due() -> None:
    async with model_server() as server:
        await ask(server, "ok?first_ms=30&token_ms=2&tokens=20", sink=Sink())
        (call,) = server.calls.latest
    assert call.ended is not None
    assert call.ended - call.started >= 0.030 + 0.002 * (call.chunks - 1) - 0.001


async def test_a_script_decides_what_each_request_gets() -> None:
    async with model_server() as server:
        server.script["flaky"] = lambda number, _: "500" if number == 1 else "ok"
        with pytest.raises(raised.LMServerError):
            await ask(server, "flaky")
        assert (await ask(server, "flaky")).answer == f"You said {QUESTION}"
        assert [call.behaviour for call in server.calls.latest] == ["500", "ok"]


async def test_many_streams_at_once_are_each_told_to_their_end() -> None:
    async with model_server() as server:
        models = [f"bench?token_ms={ms}" for ms in (0, 1, 3)] * 5
        answers = await asyncio.gather(*(ask(server, model, sink=Sink()) for model in models))
        assert {answer.answer for answer in answers} == {bench_text()}
        await server.idle()
        assert server.calls.peak_in_flight > 1
        assert server.calls.disconnects == 0


async def test_who_comes_when_a_model_serves_as_many_as_it_can_waits_in_line() -> None:
    async with model_server() as server:
        sinks = [Sink() for _ in range(4)]
        asks = []
        for number, sink in enumerate(sinks, start=1):
            asks.append(asyncio.create_task(ask(server, "held?serves=2", sink=sink)))
            await server.called(number)
        await asyncio.gather(*(sink.first.wait() for sink in sinks[:2]))
        assert [call.chunks > 0 for call in server.calls.latest] == [True, True, False, False]
        # Who goes away, served or in line, leaves a place.
        for gone in (2, 0):
            asks[gone].cancel()
            await server.disconnected(1 if gone else 2)
        await sinks[3].first.wait()
        assert server.calls[2].chunks == 0
        server.let_end()
        await asyncio.gather(asks[1], asks[3])


async def test_a_revoked_key_is_refused() -> None:
    async with model_server() as server:
        server.revoked.add("old")
        with pytest.raises(raised.LMAuthError):
            await ask(server, "ok", api_key="old")
        await ask(server, "ok", api_key="new")


async def test_calls_can_be_read_and_forgotten_from_outside() -> None:
    async with model_server() as server, aiohttp.ClientSession() as http:
        await ask(server, "ok")
        await server.called(1, "ok")
        calls = server.api_base.removesuffix("/v1") + "/calls"
        async with http.get(calls) as response:
            told = await response.json()
        assert (told["count"], told["per_model"]) == (1, {"ok": 1})
        assert QUESTION in told["calls"][0]["user_message"]
        async with http.delete(calls) as response:
            assert response.status == 204
        async with http.get(calls, params={"last": 0}) as response:
            assert (await response.json())["count"] == 0
        async with http.get(server.api_base + "/models") as response:
            assert "ok" in {model["id"] for model in (await response.json())["data"]}


@asynccontextmanager
async def in_a_process(*arguments: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.model_server", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_it_runs_in_a_process_of_its_own(tmp_path: Any) -> None:
    port = tmp_path / "port"
    async with in_a_process("--tokens", "3", "--port-file", str(port)) as api_base:
        assert port.read_text() in api_base
        body = {"model": "bench", "messages": [{"role": "user", "content": QUESTION}]}
        async with aiohttp.ClientSession() as http:
            # Twice on one connection: it is kept.
            for _ in range(2):
                async with http.post(f"{api_base}/chat/completions", json=body) as response:
                    told = await response.json()
                assert bench_text(3) in told["choices"][0]["message"]["content"]
