"""What of a conversation becomes which input of a program, and which requests are refused."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from penstock.events.completion import Completion
from penstock.events.member import Served
from penstock.gateway.openai.chat import ChatRequest
from penstock.gateway.openai.errors import document, failure, unreadable
from penstock.gateway.openai.inputs import Turn, inputs
from penstock.gateway.openai.responses import ResponseRequest
from penstock.gateway.problem import ProblemError

ONE = [Turn("user", "Why?")]
TALK = [Turn("system", "Be short."), *ONE]
TEXT = "system: Be short.\n\nuser: Why?"
LIST = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]


def served(needs: list[str], accepts: list[str] | None = None) -> Served:
    return Served(version="1", model="m", inputs=needs, accepts=accepts or needs, answer="answer")


@pytest.mark.parametrize(
    ("program", "given"),
    [
        (None, {"question": TEXT}),
        (served(["question"]), {"question": TEXT}),
        (served(["text"], ["text", "language"]), {"text": TEXT}),
        (served(["messages"]), {"messages": LIST}),
        (served(["question"], ["question", "messages"]), {"question": TEXT, "messages": LIST}),
        (served([], ["text"]), {"text": TEXT}),
        (served(["messages"], ["messages", "question"]), {"question": TEXT, "messages": LIST}),
    ],
)
def test_a_conversation_becomes_inputs(program: Served | None, given: dict[str, Any]) -> None:
    assert inputs(TALK, "qa", program) == given


def test_one_message_of_a_user_is_the_question_as_it_is() -> None:
    assert inputs(ONE, "qa", None) == {"question": "Why?"}
    assert inputs([Turn("assistant", "Why?")], "qa", None) == {"question": "assistant: Why?"}


@pytest.mark.parametrize(
    ("program", "needs"),
    [
        (served(["question", "context"]), "(context)"),
        (served(["a", "b"]), "(a, b)"),
        (served([], ["a", "b"]), "(a, b)"),
    ],
)
def test_a_program_that_needs_more_is_asked_elsewhere(program: Served, needs: str) -> None:
    with pytest.raises(ProblemError) as refused:
        inputs(ONE, "qa", program)
    assert refused.value.status == 400
    assert needs in refused.value.detail
    assert "/v1/questions" in refused.value.detail


def refusal(model: type[ChatRequest | ResponseRequest], **body: Any) -> dict[str, Any]:
    """As whoever sends it is told."""
    with pytest.raises(ValidationError) as wrong:
        model.model_validate({"model": "qa"} | body)
    # As FastAPI has it.
    errors = RequestValidationError(
        [error | {"loc": ("body", *error["loc"])} for error in wrong.value.errors()]
    )
    found: dict[str, Any] = document(unreadable(errors.errors()))["error"]
    return found


def chat(**body: Any) -> dict[str, Any]:
    return refusal(ChatRequest, **{"messages": [{"role": "user", "content": "Why?"}]} | body)


def test_fields_that_would_change_the_answer_are_named() -> None:
    refused = chat(seed=7, temperature=0.5, unheard_of=None, tools=[], n=1)
    assert refused["message"].startswith("not supported: seed, temperature, unheard_of;")
    assert (refused["param"], refused["code"]) == ("seed", "unsupported_parameter")
    assert chat(n=True)["param"] == "n"
    for name in ("previous_response_id", "background", "conversation", "prompt"):
        assert refusal(ResponseRequest, input="", **{name: True})["param"] == name


def test_fields_that_say_what_is_so_anyway_are_taken() -> None:
    idle = {name: values for name, values in ChatRequest.idle.items() if values}
    body = {name: value for name, (value, *_) in idle.items()}
    message: dict[str, Any] = {"role": "user", "content": "Why?"}
    ChatRequest.model_validate({"model": "qa", "messages": [message], "stop": None} | body)
    message |= {"tool_calls": [], "refusal": None, "annotations": []}
    ChatRequest.model_validate({"model": "qa", "messages": [message], "top_p": 1.0})


@pytest.mark.parametrize(
    ("message", "param", "says"),
    [
        ({"role": "tool", "content": "x"}, "messages[0].role", "'tool' is not supported"),
        ({"role": "user"}, "messages[0].content", "Field required"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "messages[0].content[0].type",
            "'image_url' is not supported; write 'text'",
        ),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, "messages[0].tool_calls", ""),
    ],
)
def test_what_a_message_cannot_be_is_said(message: Any, param: str, says: str) -> None:
    refused = chat(messages=[message])
    assert refused["param"] == param
    assert says in refused["message"]


def test_what_is_no_text_is_replaced() -> None:
    message = {"role": "user", "content": "half \ud800"}
    asked = ChatRequest.model_validate({"model": "qa", "messages": [message]})
    assert asked.messages[0].content == "half \ufffd"
    assert "half \ufffd" in chat(**{"half \ud800": 1})["message"]
    for odd in ({"half \ud800": 1}, {"content": "", "role": "\ud800"}, {"name": {"\ud800": 1}}):
        chat(messages=[message | odd])["message"].encode()


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("RECORD", "invalid_request", 400),
        ("RECORD", "unknown_program", 404),
        ("ANSWER", "unparsable_answer", 502),
        ("UPSTREAM", "model_error", 502),
        ("OPERATOR", "model_auth", 503),
        ("DEADLINE", "deadline_exceeded", 504),
        ("CANCELLED", "cancelled", 409),
        ("LATER", "of a later release", 502),
    ],
)
def test_a_failure_has_a_status_and_is_not_tried_again(kind: str, code: str, status: int) -> None:
    completion = Completion.model_validate(
        {
            "question_id": "q",
            "status": "failed",
            "error": {"kind": kind, "code": code, "message": "no"},
            "timing": {"queued_ms": 0},
            "source": {"topic": "q", "partition": 0, "offset": 0, "timestamp": 0, "group": "g"},
        }
    )
    error = failure(completion)
    assert error is not None
    assert error.status == status
    assert error.headers == {"x-should-retry": "false"}
    assert document(error)["error"]["message"] == "no"
