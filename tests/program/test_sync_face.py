"""Programs that run in a thread ask on the loop's connections."""

import asyncio
from typing import Any

import pytest
from dspy.lm15 import ConfigurationError, Message, Request
from dspy.lm15 import TimeoutError as LateError

from penstock.program.reading import Timeouts
from tests.support.clients import OURS
from tests.support.model_server import model_server

ASKED = Request(model="openai/ok", messages=(Message.user("[[ ## answer ## ]]"),))


async def test_a_thread_asks_over_the_loops_connections() -> None:
    async with model_server() as server, OURS.built(server, "ok") as built:
        face, engine = built.lm.engine, built.lm._async_engine_spec
        whole = await asyncio.to_thread(face.complete, ASKED)
        assert whole == await engine.complete(ASKED)
        events = await asyncio.to_thread(lambda: list(face.stream(ASKED)))
        assert events == [event async for event in engine.stream(ASKED)]
        assert server.connections == 1


async def test_what_goes_wrong_is_raised_in_the_thread() -> None:
    timeouts = Timeouts(first_token=0.05)
    async with model_server() as server, OURS.built(server, "hang-before", timeouts) as built:
        for call in (built.lm.engine.complete, lambda asked: list(built.lm.engine.stream(asked))):
            with pytest.raises(LateError, match="FIRST_TOKEN_MS"):
                await asyncio.to_thread(call, ASKED)


async def test_closing_the_iterator_closes_the_connection() -> None:
    def leave(face: Any) -> None:
        events = face.stream(ASKED)
        next(events)
        next(events)
        events.close()

    async with (
        model_server() as server,
        OURS.built(server, "ok?token_ms=5&tokens=500") as built,
    ):
        await asyncio.to_thread(leave, built.lm.engine)
        await server.disconnected()


async def test_the_loops_own_thread_is_told_that_it_would_wait_for_itself() -> None:
    async with model_server() as server, OURS.built(server, "ok") as built:
        for call in (built.lm.engine.complete, lambda asked: list(built.lm.engine.stream(asked))):
            with pytest.raises(ConfigurationError, match=r"await predictor\.acall"):
                call(ASKED)
        assert len(server.calls) == 0


def test_without_a_loop_there_is_nothing_to_ask_on() -> None:
    class Nowhere:
        api_base = "http://127.0.0.1:1/v1"

    face = OURS.build(Nowhere(), "ok").lm.engine
    with pytest.raises(ConfigurationError, match="no event loop"):
        face.complete(ASKED)


async def test_it_says_what_the_model_can_do() -> None:
    class Nowhere:
        api_base = "http://127.0.0.1:1/v1"

    lm = OURS.build(Nowhere(), "gpt-4o-mini").lm
    assert lm.supports_function_calling
    assert lm.supports_response_schema
    assert not lm.supports_reasoning
    assert {"temperature", "response_format", "tools"} <= lm.supported_params
