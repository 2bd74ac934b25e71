"""Programs without an `aforward` run in threads, stream from there, and end with their question."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from penstock.errors import ConfigurationError
from tests.support import thread_programs as programs
from tests.support.running import NAME, Ran, runner

HERE = "tests.support.thread_programs"


async def _begun(asking: Coroutine[Any, Any, Ran]) -> "asyncio.Task[Ran]":
    task = asyncio.ensure_future(asking)
    await asyncio.sleep(0)
    return task


async def _turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_forward_answers(stream: bool) -> None:
    async with runner(f"{HERE}:Forward") as run:
        ran = await run(question="?", stream=stream)

        assert (ran.failure, ran.answer) == (None, "You said ?")
        assert ran.report.usage.total_tokens > 0
        assert not ran.report.usage.estimated
        assert run.runner.in_threads()[NAME] > 0
    assert not stream or ran.said() == {("predict", 0, "answer"): "You said ?"}


async def test_the_inputs_are_those_of_the_forward() -> None:
    async with runner(f"{HERE}:Toned") as run:
        assert run.program.inputs == {"question"}
        assert run.program.accepts == {"question", "tone"}
        assert (await run(question="?", tone="loud", left="out")).answer == "You said ?"

        assert "loud" in run.models.calls[0].user_message


async def test_a_thread_streams_while_the_model_speaks() -> None:
    async with runner(f"{HERE}:Forward", "held") as run:
        asked = await _begun(run(question="? " * 50))
        async with asyncio.timeout(programs.PATIENCE_S):
            await run.speaks.wait()
        # The model has not ended.
        assert run.models.calls.in_flight == 1
        run.models.let_end()
        ran = await asked

    assert ran.heard("answer") == ran.answer


async def test_where_there_is_an_aforward_it_is_served() -> None:
    async with runner(f"{HERE}:Both") as run:
        assert (await run(question="?")).answer == "You said awaited ?"


async def test_there_are_as_many_threads_as_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than DSPy's own limit of 8; each waits for all the others."""
    slots = 24
    monkeypatch.setattr(programs.Together, "barrier", threading.Barrier(slots))
    async with runner(f"{HERE}:Together", slots=slots) as run:
        ran = await asyncio.gather(*(run(question=str(n)) for n in range(slots)))

    assert [one.answer for one in ran] == [f"You said {n}" for n in range(slots)]


async def test_a_cancelled_run_ends_no_sooner_than_its_thread() -> None:
    gate = programs.new_gate()
    async with runner(f"{HERE}:Held") as run:
        asked = await _begun(run(question="?"))
        await gate.reached()
        for _ in range(3):
            asked.cancel()
            await _turns()
            assert not asked.done()
            assert run.runner.running() == {"mine": 1}
        gate.let_pass()
        with pytest.raises(asyncio.CancelledError):
            await asked

        assert gate.passed == 1
        assert len(run.models.calls) == 0, "what is given up asks nothing more"
        assert run.runner.running() == {}


async def test_what_a_given_up_program_answers_is_dropped() -> None:
    gate = programs.new_gate()
    async with runner(f"{HERE}:HeldAtTheEnd") as run:
        asked = await _begun(run(question="?"))
        await gate.reached()
        asked.cancel()
        gate.let_pass()
        with pytest.raises(asyncio.CancelledError):
            await asked


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_program_that_catches_everything_is_stopped_all_the_same(stream: bool) -> None:
    async with runner(f"{HERE}:AsksForEver") as run:
        asked = await _begun(run(question="?", stream=stream))
        await run.models.called(3)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        asked_until_then = len(run.models.calls)
        await run.models.idle()

        assert len(run.models.calls) == asked_until_then


async def test_a_program_that_nobody_hears_stops_paying() -> None:
    async with runner(f"{HERE}:AsksForEver") as run:
        ran = await run(question="?", deaf=True)

        assert ran.kind_and_code == ("UPSTREAM", "tokens_not_published")
        assert ran.failure is not None
        # At any other stage its model would be blamed for it.
        assert ran.failure.stage == "publishing"
        assert len(run.models.calls) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("model", ["hang-before", "hang-during"])
async def test_giving_up_closes_the_connection_of_a_thread(model: str, stream: bool) -> None:
    async with runner(f"{HERE}:AsksForEver", model) as run:
        asked = await _begun(run(question="?", stream=stream))
        await run.models.called(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await run.models.disconnected(1)

        assert len(run.models.calls) == 1


async def test_who_waits_for_a_thread_and_is_given_up_never_begins() -> None:
    gate = programs.new_gate()
    async with runner(f"{HERE}:Held", slots=1) as run:
        first = await _begun(run(question="first"))
        await gate.reached()
        second = await _begun(run(question="second"))
        await _turns()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.let_pass()
        assert (await first).answer == "You said first"

        assert gate.passed == 1


async def test_threads_of_the_programs_own_are_answered_and_paid() -> None:
    async with runner(f"{HERE}:InParallel") as run:
        ran = await run(question="?")

        assert ran.answer == "You said ?1, You said ?2, You said ?3"
        assert ran.heard("answer") == ran.answer
        alone = await run(question="?")
        assert ran.report.usage == alone.report.usage
        assert ran.report.usage.completion_tokens >= 3 * 3


async def test_a_call_that_is_not_awaited_is_refused_before_it_is_paid() -> None:
    """It would wait for the loop on the loop."""
    async with runner("tests.support.programs:NotAwaited") as run:
        ran = await run(question="?")

        assert ran.kind_and_code == ("ANSWER", "not_awaited")
        assert ran.failure is not None
        assert "acall" in ran.failure.message
        assert len(run.models.calls) == 0


async def test_a_program_that_returns_nothing_has_failed() -> None:
    async with runner(f"{HERE}:Nothing") as run:
        ran = await run(question="?")

    assert ran.kind_and_code == ("ANSWER", "program_error")
    assert ran.failure is not None
    assert "NoneType" in ran.failure.message


async def test_what_no_number_of_tokens_can_be_counts_as_none() -> None:
    async with runner(f"{HERE}:Miscounts") as run:
        ran = await run(question="?")

    usage = ran.report.usage
    assert ran.answer == "?"
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 3, 3)


async def test_a_module_that_cannot_be_called_is_named() -> None:
    with pytest.raises(ConfigurationError, match="Uncallable has neither `aforward` nor `forward`"):
        async with runner("tests.support.programs:Uncallable"):
            pass


async def test_comparing_takes_the_chains_it_compares() -> None:
    async with runner(f"{HERE}:compared") as run:
        assert run.program.inputs == {"completions"}
        chains = [{"reasoning": "so", "answer": "a"}, {"reasoning": "thus", "answer": "b"}]
        ran = await run(question="Why?", completions=chains)

        assert ran.answer == "You said Why?"
        assert "my prediction is b" in run.models.calls[0].user_message
        assert ran.said()["predict", 0, "answer"] == "You said Why?"
