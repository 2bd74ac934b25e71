"""Tools of agents: off the loop unless they await, told about, and ended with their question."""

import asyncio
import threading

import pytest

from tests.support import thread_programs as programs
from tests.support.running import runner

HERE = "tests.support.thread_programs"


async def _where(entry: str) -> int:
    programs.RAN_IN.clear()
    async with runner(f"{HERE}:{entry}", "react") as run:
        ran = await run(question="?")
        assert (ran.failure, ran.answer) == (None, "You said ?")
        assert "ran ?" in run.models.calls[1].user_message or (
            "awaited ?" in run.models.calls[1].user_message
        )
        told = [event["text"] for event in ran.events if event["type"] == "status"]
        assert [text.split()[0] for text in told] == ["tool", "tool"]
        assert told[1] == "tool finish"
    [where] = programs.RAN_IN
    return where


async def test_a_tool_that_does_not_await_runs_off_the_loop() -> None:
    assert await _where("sync_tool") != threading.get_ident()


@pytest.mark.parametrize("entry", ["async_tool", "Agent"], ids=["awaited", "from a thread"])
async def test_a_tool_that_awaits_runs_on_the_loop(entry: str) -> None:
    assert await _where(entry) == threading.get_ident()


async def test_a_run_ends_no_sooner_than_its_tool() -> None:
    gate = programs.new_gate()
    async with runner(f"{HERE}:slow_tool", "react") as run:
        asked = asyncio.ensure_future(run(question="?"))
        await gate.reached()
        asked.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
        gate.let_pass()
        with pytest.raises(asyncio.CancelledError):
            await asked

        assert len(run.models.calls) == 1


async def test_a_tool_may_ask_a_model() -> None:
    async with runner(f"{HERE}:asking_tool", "react") as run:
        ran = await run(question="?")

        assert (ran.failure, ran.answer) == (None, "You said ?")
        assert ran.said()["predict", 0, "answer"] == "You said ?"
        assert len(run.models.calls) == 4
