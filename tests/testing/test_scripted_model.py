"""A model that says what it is told to, in every form that programs ask for."""

import math
import threading
from enum import Enum
from typing import Any

import dspy
import pydantic
import pytest

from penstock.errors import ConfigurationError, UnansweredError
from penstock.testing import Stage, stage

HERE = "tests.testing.test_scripted_model"
ADAPTERS = ["chat", "json"]


class Colour(Enum):
    BLUE = "blue"
    RED = "red"


class Place(pydantic.BaseModel):
    name: str
    height: float


class Typed(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    question: str = dspy.InputField()
    words: str = dspy.OutputField()
    number: int = dspy.OutputField()
    sure: bool = dspy.OutputField()
    tags: list[str] = dspy.OutputField()
    colour: Colour = dspy.OutputField()
    place: Place = dspy.OutputField()


def looks(what: str) -> str:
    """Looks it up."""
    return f"{what}: found"


agent = dspy.ReAct("question -> answer", tools=[looks])


def staged(program: str, adapter: str = "chat", **more: Any) -> Any:
    return stage(program=program, model={"name": "openai/any", "adapter": adapter}, **more)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_fields_of_every_type(adapter: str) -> None:
    with staged(f"{HERE}:Typed", adapter) as penstock:
        said: dict[str, Any] = {
            "words": 'It is "so":\n[[ ## here ## ]]',
            "number": 12,
            "sure": False,
            "tags": ["a", "b"],
            "colour": Colour.RED,
            "place": Place(name="Eyjafjöll", height=1651.5),
        }
        if adapter == "chat":
            said["words"] = 'It is "so"'
        penstock.model.says(**said)
        asked = penstock.ask("?")
    assert asked.outputs == {
        **said,
        "colour": "red",
        "place": {"name": "Eyjafjöll", "height": 1651.5},
    }
    assert asked.text("words") == said["words"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_nobody_says_is_of_the_right_type(adapter: str) -> None:
    program = "question -> words: str, number: int, sure: bool, tags: list[str]"
    with staged(program, adapter) as penstock:
        penstock.model.says(number=12)
        asked = penstock.ask("?")
    assert {name: type(value) for name, value in asked.outputs.items()} == {
        "words": str,
        "number": int,
        "sure": bool,
        "tags": list,
    }
    assert asked.outputs["number"] == 12


def test_a_plain_prompt_names_no_fields() -> None:
    with staged("question -> summary", "plain") as penstock:
        penstock.model.hangs(summary="In short")
        penstock.model.says(summary="In short.")
        asked = penstock.ask("Why?")
        assert penstock.model.requests[0].outputs == ()
    assert asked.outputs == {"summary": "In short."}
    assert asked.attempts == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_answer_that_ends_too_soon(adapter: str) -> None:
    program = "question -> reasoning, answer, sources"
    with staged(program, adapter, deadline={"partial": True}) as penstock:
        penstock.model.hangs(answer='Short "wav', reasoning="Rayleigh.")
        asked = penstock.ask("Why?", timeout_ms=1_000)
    assert asked.outputs["reasoning"] == "Rayleigh."
    assert asked.outputs["answer"] == 'Short "wav'
    assert not asked.outputs.get("sources")
    assert asked.text() == 'Short "wav'


@pytest.mark.parametrize(
    ("status", "code", "kind", "found"),
    [
        (503, None, "UPSTREAM", "model_error"),
        (429, None, "UPSTREAM", "rate_limited"),
        (400, None, "RECORD", "invalid_request"),
        (400, "context_length_exceeded", "RECORD", "context_window_exceeded"),
    ],
)
def test_refusals(status: int, code: str | None, kind: str, found: str) -> None:
    with staged("question -> answer", retry={"max_attempts": 1}) as penstock:
        penstock.model.fails(status, code=code, message="No.")
        asked = penstock.ask("?", timeout_ms=60_000)
        error = asked.error
    if status == 429:
        # No attempt, and asked again.
        assert asked.status == "completed"
    else:
        assert error is not None
        assert (error.kind, error.code) == (kind, found)
        assert "No." in error.message


@pytest.mark.parametrize(
    ("status", "code"), [(401, "model_auth"), (402, "model_unpaid"), (404, "unknown_model")]
)
def test_refusals_for_an_operator(status: int, code: str) -> None:
    with staged("question -> answer") as penstock:
        penstock.model.fails(status)
        with pytest.raises(UnansweredError, match="has stopped") as stopped:
            penstock.ask("?")
    assert stopped.value.code == code


def test_a_call_takes_what_it_asks_for() -> None:
    with staged("question -> answer") as penstock:
        penstock.model.says(answer="about the sea", when_asked="sea")
        penstock.model.fails(503, when_asked="sky", times=2)
        penstock.model.says(answer="about the sky", when_asked="sky")
        penstock.model.answers(lambda _: {"answer": "about all else"})
        sky, sea, else_ = (penstock.send(f"the {what}") for what in ("sky", "sea", "moon"))
        penstock.run()
    assert [one.answer for one in (sky, sea, else_)] == [
        "about the sky",
        "about the sea",
        "about all else",
    ]
    assert (sky.attempts, sea.attempts) == (3, 1)


def test_an_agent() -> None:
    with staged(f"{HERE}:agent") as penstock:
        penstock.model.says(next_tool_name="looks", next_tool_args={"what": "the sky"})
        penstock.model.says(next_tool_name="finish", next_tool_args={})
        penstock.model.says(answer="Blue.")
        asked = penstock.ask("Why?")
        assert "the sky: found" in penstock.model.requests[1].prompt
    assert asked.answer == "Blue."
    assert any(event.type == "status" for event in asked.tokens)


def test_what_nobody_asked_for_fails_the_test() -> None:
    def misspelt() -> None:
        with staged("question -> answer") as penstock:
            penstock.model.says(answr="Blue.")
            penstock.model.fails(503, when_asked="another", times=math.inf)
            assert penstock.ask("Why?").status == "completed"

    with pytest.raises(AssertionError, match=r"says\(answr='Blue.'\); it was asked for: answer"):
        misspelt()


def test_it_does_not_hide_why_a_test_failed() -> None:
    def fails() -> None:
        with staged("question -> answer") as penstock:
            penstock.model.says(answr="Blue.")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()


def test_every_run_is_the_same() -> None:
    def story(penstock: Stage) -> tuple[Any, ...]:
        penstock.model.fails(503, times=3)
        penstock.model.breaks_off(answer="one two three")
        penstock.model.says(answer="one two three four five six seven")
        asked = [penstock.send(f"{n}?") for n in range(3)]
        penstock.run()
        return penstock.elapsed_s, [[e.model_dump() for e in one.tokens] for one in asked]

    with staged("question -> answer") as first:
        told = story(first)
    with staged("question -> answer") as second:
        assert story(second) == told


@pytest.mark.parametrize("name", ["anthropic/claude-sonnet-4", "bedrock/anything", "mine"])
def test_a_model_of_any_provider(name: str) -> None:
    options = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    model = {"name": name, "api_base": "https://elsewhere.example", "options": options}
    with stage(program="question -> answer", model=model) as penstock:
        asked = penstock.ask("?")
    assert asked.completion.model == name


async def test_a_stage_wants_a_test_that_is_no_coroutine() -> None:
    with (
        pytest.raises(RuntimeError, match="a loop of its own"),
        staged("question -> answer"),
    ):
        pass


def test_dspy_is_as_it_was() -> None:
    before = dspy.settings.config
    with staged("question -> answer", pool={"slots": 3}) as penstock:
        penstock.ask("?")
        assert dspy.settings.async_max_workers == 3
    assert dspy.settings.config == before


nobody = dspy.LM("openai/nobody", api_base="http://127.0.0.1:9", api_key="-")
with_its_own_model = dspy.Predict("question -> answer")
with_its_own_model.lm = nobody


def test_a_step_with_a_model_of_its_own_asks_that_of_the_test() -> None:
    with staged(f"{HERE}:with_its_own_model") as penstock:
        penstock.model.says(answer="Blue.")
        assert penstock.ask("?").answer == "Blue."
    assert with_its_own_model.lm is nobody


class InAThread(dspy.Module):  # type: ignore[misc] # as above
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return self.answer(question=question)


def test_nothing_is_left() -> None:
    before = set(threading.enumerate())
    with staged(f"{HERE}:InAThread") as penstock:
        penstock.model.hangs(answer="I", when_asked="second")
        assert penstock.ask("first?").status == "completed"
        penstock.send("second?")
        penstock.sleep(1)
        assert set(threading.enumerate()) - before
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_program_that_is_none() -> None:
    with (
        pytest.raises(ConfigurationError, match="'nobody' is none of PROGRAMS"),
        stage(program="nobody"),
    ):
        pass
