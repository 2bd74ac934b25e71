"""Exceptions that no model raises, and those a program hides; the others are in `test_clients`."""

import asyncio
from typing import Any

import dspy
import pytest
from dspy.utils import exceptions as raised

from penstock.core.failure import Kind
from penstock.program.classify import classify
from tests.support.asking import ask
from tests.support.model_server import model_server


class Own(dspy.Module):  # type: ignore[misc] # DSPy ships no types
    """Does with its predictor as it is told."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")
        self.does = does

    async def aforward(self, question: str) -> Any:
        return await self.does(lambda: self.predict.acall(question=question))


async def failure(model: str, does: Any) -> Any:
    async with model_server() as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever a program raises
            await ask(server, model, program=Own(does))
    return classify(caught.value)


async def fails(_: Any) -> None:
    raise OSError("the question was: where is my money?")


async def renames(predict: Any) -> None:
    try:
        await predict()
    except raised.DSPyError as error:
        raise RuntimeError("no luck") from error


async def at_once(predict: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(predict())


async def never(_: Any) -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


@pytest.mark.parametrize("does", [fails, never])
async def test_what_a_program_raises_is_its_own_and_is_not_quoted(does: Any) -> None:
    seen = await failure("ok", does)
    assert (seen.kind, seen.code) == (Kind.ANSWER, "program_error")
    assert "the program raised" in seen.message
    assert "money" not in seen.message


@pytest.mark.parametrize("does", [renames, at_once])
@pytest.mark.parametrize(
    ("model", "kind", "code", "retry_after"),
    [
        ("429?retry_after=7", Kind.UPSTREAM, "rate_limited", 7.0),
        ("401", Kind.OPERATOR, "model_auth", None),
        ("unparsable", Kind.ANSWER, "unparsable_answer", None),
    ],
)
async def test_a_model_that_failed_inside_a_program(
    model: str, kind: Kind, code: str, retry_after: float | None, does: Any
) -> None:
    seen = await failure(model, does)
    assert (seen.kind, seen.code, seen.retry_after) == (kind, code, retry_after)
