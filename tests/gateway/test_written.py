"""What the service would not take is refused before it is sent, and by what the service says."""

from typing import Any

import pytest

from penstock.events.question import Question
from penstock.gateway.problem import ProblemError
from penstock.gateway.written import written
from penstock.kafka.codec import Codec

CODEC = Codec(
    programs={},
    default_program="qa",
    ordering="key",
    max_timeout=60.0,
    id_characters=10,
    metadata_bytes=100,
    value_bytes=1000,
    forward=frozenset(),
)


def nested(levels: int) -> Any:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def test_what_it_takes_is_written_as_short_as_it_gets() -> None:
    asked = Question(id="a", inputs={"question": "Ü?", "n": 10**30})
    assert written(asked, None, CODEC).value == (
        '{"id":"a","inputs":{"question":"Ü?","n":1000000000000000000000000000000}}'.encode()
    )


def test_the_same_question_has_the_same_fingerprint() -> None:
    def fingerprint(key: str | None = None, question_id: str = "a", **more: Any) -> str:
        asked = {"id": question_id, "inputs": {"a": 1, "b": [{"c": 2, "d": 3}]}} | more
        return written(Question.model_validate(asked), key, CODEC).fingerprint

    same = fingerprint()
    assert fingerprint(inputs={"b": [{"d": 3, "c": 2}], "a": 1}) == same
    assert fingerprint(question_id="b", stream=True) == same
    until = {"expires_at": "2030-01-01T00:00:00Z"}
    others = [fingerprint("key"), fingerprint(stream=False), fingerprint(**until)]
    assert len({same, *others}) == 4


@pytest.mark.parametrize(
    ("question", "status", "code"),
    [
        ({"question": "x" * 1000}, 413, "value_too_large"),
        ({"question": "x", "id": "i" * 11}, 422, "invalid_field"),
        ({"question": "x", "metadata": {"m": "x" * 100}}, 422, "metadata_too_large"),
        ({"question": "x", "expires_at": "2030-01-01T00:00:00"}, 422, "invalid_field"),
        ({"inputs": {"x": float("nan")}}, 422, "not_json"),
        ({"inputs": {"x": [float("-inf")]}}, 422, "not_json"),
        ({"inputs": {"x": 10**400}}, 422, "not_json"),
        ({"inputs": {"x": "\ud800"}}, 422, "not_writable"),
        ({"inputs": {"\udfff": 1}}, 422, "not_writable"),
        ({"inputs": {"x": nested(3000)}}, 422, "not_writable"),
        ({"metadata": {"x": nested(300)}, "question": "x"}, 422, "too_deep"),
    ],
)
def test_what_it_does_not_take_is_a_problem(
    question: dict[str, Any], status: int, code: str
) -> None:
    with pytest.raises(ProblemError) as problem:
        written(Question.model_validate({"id": "a", **question}), None, CODEC)
    assert (problem.value.status, problem.value.code) == (status, code)
