"""What a client hears that wants the answer's text alone, and how it is told that there is none."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest

from penstock.clock import Clock
from penstock.events.completion import Completion
from penstock.events.member import Served
from penstock.events.question import Question
from penstock.gateway import simple
from penstock.gateway.index import Entry, Place
from penstock.gateway.outcomes import unless_completed
from penstock.gateway.parts import Parts
from penstock.gateway.problem import ProblemError
from penstock.gateway.questions import Asked
from penstock.gateway.stream import Said
from penstock.settings import Settings

QUESTION = Question(question="?")
ASKED = Asked(Entry("q", Place(0, 0), 0, program="qa"), None)


@dataclass
class Gateway:
    """Of which as much is there as is looked at. `said`: None: nothing more, for ever."""

    said: Sequence[Said | bytes | None] = ()
    answer: str | None = "answer"
    settings: Settings = field(default_factory=Settings)
    clock: Clock = field(default_factory=lambda: Clock(wall=lambda: 1000.0))
    index: dict[str, object] = field(default_factory=dict)

    @property
    def questions(self) -> "Gateway":
        return self

    @property
    def overview(self) -> "Gateway":
        return self

    @property
    def programs(self) -> dict[str, Served]:
        known = {"version": "1", "model": "m", "inputs": [], "accepts": []}
        return {"qa": Served.model_validate({**known, "answer": self.answer})}

    async def events(self, _: Asked) -> AsyncGenerator[Said | bytes, None]:
        for event in self.said:
            if event is None:
                await asyncio.get_running_loop().create_future()
            else:
                yield event


def completion(status: str = "completed", kind: str | None = None, **more: Any) -> bytes:
    """As on its topic."""
    error = None if kind is None else {"kind": kind, "code": "why", "message": "It says why."}
    source = {"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "group": "g"}
    known = {"question_id": "q", "timing": {"queued_ms": 1.0}, "source": source}
    return orjson.dumps({**known, "status": status, "error": error, **more})


def said(kind: str, **body: Any) -> Said:
    return Said(0, 0, 0, kind, orjson.dumps({"type": kind, **body}))


def piece(text: str, of: str = "answer", *, output: bool = True) -> Said:
    return said("token", text=text, field=of, output=output)


async def heard(gateway: Gateway, question: Question = QUESTION) -> list[Any]:
    """But for the completion, which is last."""
    all_of_it = [one async for one in simple.heard(ASKED, question, cast("Parts", gateway))]
    assert isinstance(all_of_it.pop(), Completion)
    return all_of_it


async def test_the_answer_is_heard_and_the_steps_and_nothing_beside() -> None:
    whole: list[Said | bytes | None] = [
        piece("First", "draft", output=False),
        said("status", text="It looks."),
        piece("I think", "reasoning"),
        piece("Be", "answer"),
        piece(""),
        said("restart", reason="broken"),
        said("news_of_a_later_version", text="?"),
        piece("Because."),
        said("end", status="completed"),
        completion(answer="Because."),
    ]
    assert await heard(Gateway(whole)) == [
        ("status", "It looks."),
        ("token", "Be"),
        ("restart", "broken"),
        ("token", "Because."),
    ]
    # Where nobody says which field it is, it may be each that is an output.
    texts = [text for kind, text in await heard(Gateway(whole, answer=None)) if kind == "token"]
    assert texts == ["I think", "Be", "Because."]


async def test_an_answer_that_was_not_said_in_pieces_is_one_piece() -> None:
    assert await heard(Gateway([completion(answer="42")])) == [("token", "42")]
    assert await heard(Gateway([completion(answer=None)])) == []
    lost: list[Said | bytes | None] = [
        piece("4"),
        said("restart", reason="broken"),
        completion(answer="42"),
    ]
    assert (await heard(Gateway(lost)))[-1] == ("token", "42")


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simple, "GRACE_SECONDS", 0.01)
    with pytest.raises(ProblemError) as late:
        await heard(Gateway([piece("4"), None]), Question(question="?", timeout_ms=1))
    assert (late.value.status, late.value.document["id"]) == (504, "q")


def test_who_names_no_time_gets_one() -> None:
    gateway = cast("Parts", Gateway(settings=Settings(deadline={"default_ms": 7, "max_ms": 9000})))

    def patience(**deadline: Any) -> Any:
        body = {"question": "?", **deadline}
        question = simple.in_time(Question.model_validate(body), gateway)
        return question.timeout_ms, simple.patience(question, gateway) - simple.GRACE_SECONDS

    assert patience() == (7, pytest.approx(0.007))
    assert patience(timeout_ms=50) == (50, pytest.approx(0.05))
    assert patience(timeout_ms=10_000) == (10_000, pytest.approx(9))
    assert patience(expires_at="1970-01-01T00:16:42Z") == (None, pytest.approx(2))


def test_what_has_expired_is_asked_by_nobody() -> None:
    gateway = Gateway(index={"asked": object()})

    def in_time(**more: Any) -> Question:
        late = {"question": "?", "expires_at": "1970-01-01T00:16:40Z", **more}
        return simple.in_time(Question.model_validate(late), cast("Parts", gateway))

    for name in ({}, {"id": "new"}):
        with pytest.raises(ProblemError) as refused:
            in_time(**name)
        assert (refused.value.status, refused.value.code) == (422, "expired")
    # It may have been answered in time, and the answer been lost on its way.
    assert in_time(id="asked").timeout_ms is None


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        ("failed", "RECORD", 422),
        ("failed", "ANSWER", 502),
        ("failed", "UPSTREAM", 502),
        ("failed", "OPERATOR", 502),
        ("failed", "OF_A_LATER_VERSION", 502),
        ("failed", None, 502),
        ("expired", "DEADLINE", 504),
        ("cancelled", "CANCELLED", 409),
        ("duplicate", None, 409),
    ],
)
def test_what_did_not_complete_is_a_problem(status: str, kind: str | None, expected: int) -> None:
    with pytest.raises(ProblemError) as problem:
        unless_completed(Completion.model_validate_json(completion(status, kind)))
    document = problem.value.document
    assert (document["status"], document["id"], document["kind"]) == (expected, "q", kind)
    assert document["code"] == ("why" if kind else status)
    assert document["detail"]


def test_what_completed_is_none() -> None:
    unless_completed(Completion.model_validate_json(completion()))
