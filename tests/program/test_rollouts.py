"""Modules that run copies of a module several times: what is streamed of it, and what stays."""

import itertools
from typing import Any

import pytest

from penstock.local.prompt import ChatRequest
from tests.support.running import Running, runner

HERE = "tests.support.thread_programs"


def _counting(run: Running) -> None:
    """The first call says `answer 1`, the second `answer 2` ..."""
    numbers = itertools.count(1)

    def script(_: int, __: ChatRequest) -> str:
        return f"ok?text=answer {next(numbers)}"

    run.models.script["ok"] = script


async def test_the_best_of_several_is_what_readers_are_left_with() -> None:
    async with runner(f"{HERE}:best_of_3") as run:
        _counting(run)
        ran = await run(question="?")

    assert ran.report.outputs == {"reasoning": "answer 2", "answer": "answer 2"}
    assert {field: ran.heard(field) for field in ran.report.outputs} == ran.report.outputs
    assert len([event for event in ran.events if event["type"] == "restart"]) == 1
    steps = {(event["step"], event["call"]) for event in ran.events if event["type"] == "token"}
    assert steps == {("module.predict", n) for n in range(3)} | {("", 0)}


async def test_a_last_attempt_that_is_the_best_is_not_said_again() -> None:
    async with runner(f"{HERE}:refined") as run:
        ran = await run(question="?")
        prompts = [call.user_message for call in run.models.calls.latest]

    assert not [event for event in ran.events if event["type"] == "restart"]
    assert ran.said()["module.predict", 1, "answer"] == ran.answer == "You said ?"
    # What advises the second attempt has to know what the first one did.
    assert '"module_name": "predict"' in prompts[1]


@pytest.mark.parametrize("model", ["429", "500"])
async def test_swallowed_trouble_with_the_model_is_trouble_with_the_model(model: str) -> None:
    """Its two attempts have failed, and it returns nothing at all."""
    async with runner(f"{HERE}:best_of_2", model) as run:
        ran = await run(question="?")

    assert ran.failure is not None
    assert ran.failure.kind == "UPSTREAM"


async def test_calls_at_once_are_told_apart() -> None:
    """Their pieces come in turns, and the server gives no call an id."""
    async with runner("tests.support.programs:AtOnce", "ok?token_ms=5") as run:
        ran = await run(question="?")

    said: dict[tuple[str, int, str], Any] = {
        ("predict", n, "answer"): f"You said ?{n + 1}" for n in range(3)
    }
    taken_back = next(n for n, event in enumerate(ran.events) if event["type"] == "restart")
    ran_before = type(ran)(None, ran.report, ran.events[:taken_back])
    assert ran_before.said() == said
    assert ran.heard("answer") == ran.answer == "You said ?2"
