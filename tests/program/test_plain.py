"""A model that can follow no format is asked plainly and answers plainly."""

from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from penstock.errors import ConfigurationError
from penstock.program.plain import PlainAdapter, only_text_output

ASK = dspy.Signature("question -> answer", "Answer in one sentence.")
LOOK_UP = dspy.Signature("context, question -> answer", "Answer from the context.")

INCOMPLETE = "This is an example of the task, though some input or output fields are not supplied."


def messages(signature: Any, inputs: dict[str, Any], demos: list[dict[str, Any]]) -> Any:
    return [
        (message["role"], message["content"])
        for message in PlainAdapter().format(signature, demos, inputs)
    ]


def test_a_lone_input_is_sent_bare() -> None:
    assert messages(ASK, {"question": "Why?"}, []) == [
        ("system", "Answer in one sentence."),
        ("user", "Why?"),
    ]


def test_several_inputs_are_named() -> None:
    inputs = {"context": "It rains.", "question": "Why?"}
    assert messages(LOOK_UP, inputs, [])[-1] == ("user", "context: It rains.\nquestion: Why?")


def test_demos_are_pairs_of_messages() -> None:
    demos = [
        {"context": "c", "question": "q", "answer": "a"},
        {"question": "only this", "answer": "b"},
    ]
    assert messages(LOOK_UP, {"context": "x", "question": "y"}, demos)[1:] == [
        (
            "user",
            f"{INCOMPLETE}\n\nquestion: only this",
        ),
        ("assistant", "b"),
        ("user", "context: c\nquestion: q"),
        ("assistant", "a"),
        ("user", "context: x\nquestion: y"),
    ]


def test_a_conversation_comes_before_the_question() -> None:
    signature = dspy.Signature(
        {
            "question": (str, dspy.InputField()),
            "history": (dspy.History, dspy.InputField()),
            "answer": (str, dspy.OutputField()),
        }
    )
    history = dspy.History(messages=[{"question": "one?", "answer": "1"}])
    assert messages(signature, {"question": "two?", "history": history}, [])[1:] == [
        ("user", "one?"),
        ("assistant", "1"),
        ("user", "two?"),
    ]


def test_the_whole_text_is_the_answer() -> None:
    text = "\n [[ ## no ## ]] {format} \n"
    assert PlainAdapter().parse(ASK, text) == {"answer": "[[ ## no ## ]] {format}"}


def test_an_empty_answer_is_none() -> None:
    with pytest.raises(AdapterParseError, match="said nothing"):
        PlainAdapter().parse(ASK, " \n")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (
            dspy.ChainOfThought(ASK).predict.signature,
            "has 2: set ADAPTER of its model to chat or json",
        ),
        (
            dspy.Signature("question -> answer: int"),
            "'answer' .* not a str: set ADAPTER of its model",
        ),
        (
            dspy.Signature("question -> answer: list[str]"),
            "'answer' .* not a str: set ADAPTER of its model",
        ),
    ],
)
def test_other_signatures_need_a_format(signature: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        only_text_output(signature)
    with pytest.raises(ConfigurationError, match=reason):
        PlainAdapter().format(signature, [], {"question": "Why?"})


def test_a_program_runs_with_it() -> None:
    model = dspy.utils.DummyLM([{"answer": "Because."}])
    with dspy.context(lm=model, adapter=PlainAdapter()):
        assert "Because." in dspy.Predict(ASK)(question="Why?").answer
        with pytest.raises(ConfigurationError):
            dspy.ChainOfThought(ASK)(question="Why?")
