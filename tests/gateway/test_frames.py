"""Frames as they travel are those of the published schemas."""

from typing import Any

import orjson
import pytest

from penstock.events import token
from penstock.events.question import Question
from penstock.gateway import frames
from penstock.gateway.index import Entry, Place
from penstock.gateway.problem import ProblemError
from penstock.gateway.stream import Said

COMPLETION = {
    "type": "completion",
    "question_id": "q",
    "status": "failed",
    "timing": {"queued_ms": 1.0},
    "source": {"topic": "t", "partition": 0, "offset": 4, "timestamp": 5, "group": "g"},
    "from_a_later_version": True,
}


def told(frame: str) -> Any:
    """By its model."""
    return frames.ServerFrame.model_validate_json(frame).root


def test_what_is_said_is_what_the_models_read() -> None:
    value = token.encode("status", 'q"', 3, 1, text="It thinks.\u2028")
    event = told(frames.event('q"', Said(1, 77, 3, "status", value)))
    assert isinstance(event, frames.EventFrame)
    assert (event.id, event.event_id, event.event.root.sequence) == ('q"', "1-77-3", 3)

    whole = orjson.loads(frames.completion("q", orjson.dumps(COMPLETION)))
    assert whole == {"type": "completion", "id": "q", "completion": COMPLETION}
    assert isinstance(told(orjson.dumps(whole).decode()), frames.CompletionFrame)

    asked = told(frames.asked("a", Entry("q", Place(0, 1), 0)))
    assert asked == frames.AskedFrame(ref="a", id="q", status="queued")
    assert "ref" not in orjson.loads(frames.asked(None, Entry("q", Place(0, 1), 0)))

    busy = ProblemError(429, "backlog", "Not now.", headers={"Retry-After": "7"})
    problem = told(frames.problem(busy, "a"))
    assert (problem.ref, problem.id) == ("a", None)
    assert (problem.problem.status, problem.problem.retry_after_s) == (429, 7)


def test_an_ask_is_a_question_and_two_words_more() -> None:
    ask = frames.read(
        '{"type": "ask", "ref": "a", "key": "k", "id": "q", "inputs": {"n": 1}, "program": "p", '
        '"expires_at": "2030-01-01T00:00:00Z", "metadata": {"m": 1}, "unknown": 1}'
    )
    assert isinstance(ask, frames.Ask)
    assert (ask.ref, ask.key) == ("a", "k")
    written = ask.asked.model_dump_json(exclude_defaults=True)
    assert type(ask.asked) is Question
    assert orjson.loads(written) == {
        "id": "q",
        "inputs": {"n": 1},
        "program": "p",
        "expires_at": "2030-01-01T00:00:00Z",
        "metadata": {"m": 1},
    }


@pytest.mark.parametrize(
    ("message", "told", "ref"),
    [
        (None, "a frame is a text message", None),
        ("{", "Invalid JSON", None),
        ('["ask"]', "Input should be an object", None),
        ('{"type": "tell", "ref": "a"}', "'ask', 'cancel', 'resume'", "a"),
        ('{"type": "ask", "ref": "a"}', "neither question nor inputs is given", "a"),
        ('{"type": "ask", "ref": 1, "question": "?"}', "ref: Input should be a valid", None),
        ('{"type": "cancel"}', "id: Field required", None),
        ('{"type": "resume", "id": "q", "starting_after": -1}', "starting_after: ", None),
        (
            '{"type": "resume", "id": "q", "starting_after": 1, "last_event_id": "0-1-1"}',
            "write one of them",
            None,
        ),
    ],
)
def test_what_is_no_frame_is_said(message: str | None, told: str, ref: str | None) -> None:
    with pytest.raises(ProblemError) as refused:
        frames.read(message)
    assert (refused.value.status, refused.value.code) == (400, "invalid_frame")
    assert told in refused.value.detail
    assert frames.ref(message) == ref
