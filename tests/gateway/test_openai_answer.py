"""What is told of an answer: every piece once, and nothing that contradicts another."""

from typing import Any

import pytest

from penstock.events.completion import Completion
from penstock.events.token import encode
from penstock.gateway.openai.answer import Answer, Delta, reasoning, text
from penstock.gateway.problem import ProblemError


def token(text: str, field: str = "answer", step: str = "predict", call: int = 0) -> bytes:
    return encode("token", "q", 0, 1, field=field, text=text, step=step, call=call, output=True)


def restart() -> bytes:
    return encode("restart", "q", 0, 1, reason="")


def completion(answer: str | None = None, **outputs: Any) -> Completion:
    return Completion.model_validate(
        {
            "question_id": "q",
            "status": "completed",
            "answer": answer,
            "outputs": {"answer": answer} | outputs if answer is not None else outputs,
            "timing": {"queued_ms": 0},
            "source": {"topic": "q", "partition": 0, "offset": 0, "timestamp": 0, "group": "g"},
        }
    )


def told(events: list[bytes], end: Completion, field: str | None = "answer") -> list[Delta]:
    answer = Answer("q", field)
    heard = [delta for event in events if (delta := answer.hear(event)) is not None]
    return [*heard, *answer.settle(end)]


def texts(deltas: list[Delta], field: str = "answer") -> list[str]:
    return [delta.text for delta in deltas if delta.field == field]


def test_every_piece_is_told_as_it_comes_and_the_rest_at_the_end() -> None:
    deltas = told([token("one"), token(" two")], completion("one two three"))
    assert texts(deltas) == ["one", " two", " three"]
    assert texts(told([], completion("one"))) == ["one"]


@pytest.mark.parametrize(
    ("again", "then"),
    [
        (["one two"], [" two"]),
        (["o", "n", "e"], [" two"]),
        (["one", " two"], [" two"]),
        (["on", "e tw", "o"], [" tw", "o"]),
        ([], [" two"]),
    ],
)
def test_what_is_said_again_is_told_once(again: list[str], then: list[str]) -> None:
    events = [token("one"), restart(), *map(token, again)]
    assert texts(told(events, completion("one two"))) == ["one", *then]


def test_another_text_after_a_restart_ends_it_at_once() -> None:
    answer = Answer("q", "answer")
    for event in (token("one"), restart(), token("o")):
        answer.hear(event)
    with pytest.raises(ProblemError) as contradiction:
        answer.hear(token("ther"))
    assert contradiction.value.code == "restarted"
    assert "/v1/questions/q" in contradiction.value.detail


def test_an_end_that_contradicts_is_an_error() -> None:
    with pytest.raises(ProblemError, match="says something else"):
        told([token("one")], completion("two"))


def test_of_several_calls_the_last_that_began_has_the_word() -> None:
    first, second = token("wrong", call=0), token("wrong or right", call=1)
    assert texts(told([first, second, first], completion("wrong or right"))) == [
        "wrong",
        " or right",
    ]
    # Which of them the program takes is seen at the end.
    events = [token("one"), token("other", call=1), restart(), token("one")]
    assert texts(told(events, completion("one"))) == ["one"]


def test_the_answer_is_the_field_that_the_program_names() -> None:
    events = [token("long", "notes"), token("short", "summary")]
    end = completion(None, notes="long", summary="short").model_copy(update={"answer": "short"})
    assert texts(told(events, end, "summary")) == ["short"]
    # Where that is not known, nothing wrong is told.
    assert texts(told(events, end, None)) == ["short"]


def test_what_the_program_thinks_is_told_beside_its_answer() -> None:
    events = [token("hm", "reasoning"), token("ok")]
    end = completion("ok", reasoning="hm, so")
    deltas = told(events, end)
    assert texts(deltas) == ["ok"]
    assert texts(deltas, "reasoning") == ["hm", ", so"]
    # Another thought the second time does no harm.
    events = [token("hm", "reasoning"), restart(), token("ha", "reasoning"), token("ok")]
    deltas = told(events, completion("ok", reasoning="ha"))
    assert (texts(deltas), texts(deltas, "reasoning")) == (["ok"], ["hm"])


def test_outputs_that_are_no_text_are_json() -> None:
    assert text(completion(None, facts=["a", "b"])) == '{"facts":["a","b"]}'
    assert text(completion("a", facts=[])) == "a"
    assert reasoning(completion(None, reasoning="the only output")) == ""
