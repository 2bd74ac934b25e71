"""What the model server says when it behaves, seen through the client the service really uses."""

from typing import Any, Literal

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from tests.support.asking import QUESTION, Sink, ask, sink_if
from tests.support.behaviours import bench_text
from tests.support.model_server import model_server

streamed_or_not = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])


class Typed(dspy.Signature):  # type: ignore[misc] # DSPy ships no types
    """Answer in every type."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
    count: int = dspy.OutputField()
    share: float = dspy.OutputField()
    sure: bool = dspy.OutputField()
    tags: list[str] = dspy.OutputField()
    mood: Literal["calm", "wild"] = dspy.OutputField()
    maybe: int | None = dspy.OutputField()
    scores: dict[str, int] = dspy.OutputField()


@streamed_or_not
async def test_ok_answers_from_the_question_and_tells_its_usage(streamed: bool) -> None:
    async with model_server() as server:
        sink = sink_if(streamed)
        answer = await ask(server, "ok", sink=sink)
    assert answer.answer == f"You said {QUESTION}"
    (usage,) = answer.get_lm_usage().values()
    assert usage["prompt_tokens"] > usage["completion_tokens"] > 0
    if sink is not None:
        assert "".join(sink.pieces).startswith("[[ ## answer ## ]]\nYou said")
        assert len(sink.pieces) == usage["completion_tokens"] == server.calls[0].chunks


async def test_echo_says_exactly_the_question() -> None:
    async with model_server() as server:
        assert (await ask(server, "echo", sink=Sink())).answer == QUESTION


@streamed_or_not
@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter])
async def test_every_field_asked_for_gets_a_value_of_its_type(adapter: Any, streamed: bool) -> None:
    async with model_server() as server:
        answer = await ask(
            server,
            "ok",
            program=dspy.Predict(Typed),
            adapter=adapter(),
            sink=sink_if(streamed),
        )
    values = answer.toDict()
    assert {name: type(value) for name, value in values.items()} == {
        "answer": str,
        "count": int,
        "share": float,
        "sure": bool,
        "tags": list,
        "mood": str,
        "maybe": int,
        "scores": dict,
    }


async def test_json_answers_a_json_object_whatever_was_asked() -> None:
    async with model_server() as server:
        answer = await ask(server, "json", adapter=dspy.JSONAdapter(), sink=Sink())
        assert answer.answer == f"You said {QUESTION}"
        with pytest.raises(AdapterParseError):
            await ask(server, "json", sink=Sink())


async def test_bench_says_a_fixed_number_of_words_a_chunk_each() -> None:
    async with model_server() as server:
        sink = Sink()
        answer = await ask(server, "bench?tokens=20", sink=sink)
    assert answer.answer == bench_text(20)
    assert "".join(sink.pieces).count(" ") >= 20
    assert [piece.strip() for piece in sink.pieces[6:24]] == bench_text(20).split()[1:19]


async def test_react_calls_the_first_tool_finishes_and_answers() -> None:
    looked_up = []

    def look_up(topic: str, depth: int) -> str:
        """Find out."""
        looked_up.append((topic, depth))
        return "a pipe"

    async with model_server() as server:
        answer = await ask(
            server,
            "react",
            program=dspy.ReAct("question -> answer", tools=[look_up]),
            sink=Sink(),
        )
        assert len(server.calls) == 3
    assert looked_up == [(QUESTION, 7)]
    assert answer.trajectory["observation_0"] == "a pipe"
    assert answer.trajectory["tool_name_1"] == "finish"
    assert answer.answer == f"You said {QUESTION}"
