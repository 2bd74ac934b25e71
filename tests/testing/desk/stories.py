"""A user's tests, as they write them."""

import math
from typing import Any

import pytest

from penstock.errors import UnansweredError
from penstock.testing import Request, Stage


def test_it_answers(penstock: Stage) -> None:
    penstock.model.says(draft="Scattering.")
    penstock.model.says(reasoning="Rayleigh.", answer="Short waves scatter more.")
    asked = penstock.ask("Why is the sky blue?")
    assert asked.status == "completed"
    assert asked.answer == "Short waves scatter more."
    assert asked.outputs == {"reasoning": "Rayleigh.", "answer": "Short waves scatter more."}
    assert asked.text("draft") == "Scattering."
    assert asked.text("reasoning") == "Rayleigh."
    assert asked.text() == "Short waves scatter more."
    assert [event.sequence for event in asked.tokens] == list(range(len(asked.tokens)))
    first, second = penstock.model.requests
    assert "Why is the sky blue?" in first.prompt
    assert (first.outputs, second.inputs["draft"]) == (("draft",), "Scattering.")
    assert second.model == "large"


def test_a_busy_model_is_asked_again(penstock: Stage) -> None:
    penstock.model.fails(429, retry_after_s=20)
    penstock.model.says(answer="Blue.")
    asked = penstock.ask("Why is the sky blue?")
    assert (asked.answer, asked.attempts) == ("Blue.", 2)
    assert penstock.elapsed_s == 20


def test_what_was_said_before_is_taken_back(penstock: Stage) -> None:
    penstock.model.breaks_off(reasoning="Rayleigh.", answer="Short waves")
    penstock.model.says(answer="Blue.")
    asked = penstock.ask("Why is the sky blue?")
    kinds = [event.type for event in asked.tokens]
    told = kinds.index("restart")
    assert kinds[told:] == ["restart", *["token"] * (len(kinds) - told - 2), "end"]
    assert asked.text() == asked.answer == "Blue."
    assert asked.completion.usage.estimated


def test_too_late(penstock: Stage) -> None:
    penstock.model.says(answer="Blue.", after_s=300)
    asked = penstock.ask("Why is the sky blue?", timeout_ms=30_000)
    assert asked.status == "expired"
    assert asked.dead_letter is not None
    assert asked.dead_letter.code == "deadline_exceeded"
    assert penstock.elapsed_s == 30


def test_what_was_said_until_then(penstock: Stage) -> None:
    penstock.model.hangs(reasoning="Rayleigh.", answer="Short waves")
    asked = penstock.ask("Why is the sky blue?", timeout_ms=3_000)
    assert asked.completion.partial
    assert asked.outputs == {"reasoning": "Rayleigh.", "answer": "Short waves"}


def test_silence_is_a_failure_of_the_model(penstock: Stage) -> None:
    penstock.model.hangs(draft="Well")
    asked = penstock.ask("Why is the sky blue?")
    assert (asked.status, asked.attempts) == ("completed", 2)
    assert penstock.elapsed_s > 30, "IDLE_MS"


def test_reject(penstock: Stage) -> None:
    asked = penstock.ask("Where is customer 7?", metadata={"tenant": "acme"})
    assert asked.status == "failed"
    letter = asked.dead_letter
    assert letter is not None
    assert (letter.kind, letter.code, letter.message) == ("RECORD", "rejected", "no customer 7")
    assert letter.value == b'{"question":"Where is customer 7?","metadata":{"tenant":"acme"}}'
    assert asked.completion.metadata == {"tenant": "acme"}
    assert not penstock.model.requests


def test_a_record_as_large_as_may_be_is_kept_too(penstock: Stage) -> None:
    asked = penstock.ask("Where is customer 7?" + "!" * 1_048_000)
    assert asked.dead_letter is not None
    assert asked.dead_letter.code == "rejected"


def test_retry_later(penstock: Stage) -> None:
    asked = penstock.ask("Look it up in the index")
    assert (asked.status, asked.attempts) == ("completed", 2)
    assert penstock.elapsed_s == 30


def test_a_bug_is_told_by_its_place(penstock: Stage) -> None:
    asked = penstock.ask("Where is the bug?")
    assert asked.error is not None
    assert asked.error.message.startswith("the program raised IndexError at desk.py:")
    assert asked.attempts == 3


def test_an_outage_makes_no_dead_letters(penstock: Stage) -> None:
    penstock.model.fails(503, when_asked="Why", times=9)
    asked = [penstock.send(f"Why {n}?") for n in range(4)]
    penstock.run()
    assert {one.status for one in asked} == {"completed"}


def test_the_attempts_end(penstock: Stage) -> None:
    penstock.model.says_text("I would rather not fill in a form.")
    penstock.model.says_text("Really.")
    penstock.model.says_text("No.")
    asked = penstock.ask("Why is the sky blue?")
    assert asked.error is not None
    assert (asked.error.code, asked.attempts) == ("unparsable_answer", 3)


@pytest.mark.penstock(retry={"answer_attempts": 1})
def test_a_setting(penstock: Stage) -> None:
    penstock.model.says_text("No.")
    assert penstock.ask("Why is the sky blue?").attempts == 1


def test_cancel(penstock: Stage) -> None:
    penstock.model.hangs(draft="Well, I")
    asked = penstock.send("Why is the sky blue?")
    penstock.sleep(5)
    assert asked.text("draft") == "Well, I"
    assert not asked.ended
    penstock.cancel(asked)
    penstock.run()
    assert asked.status == "cancelled"
    assert penstock.elapsed_s == 5


def test_questions_of_one_key_wait_for_each_other(penstock: Stage) -> None:
    penstock.model.says(draft="slow", after_s=10, when_asked="first")
    first, second = (penstock.send(text, key="acme") for text in ("the first", "the second"))
    other = penstock.send("another", key="globex")
    penstock.sleep(5)
    assert (first.ended, second.ended, other.ended) == (False, False, True)
    penstock.run()
    prompts = [request.prompt for request in penstock.model.requests]
    assert ["the second" in prompt for prompt in prompts] == [False] * 4 + [True] * 2


def test_the_same_id_twice(penstock: Stage) -> None:
    first = penstock.ask("Why is the sky blue?", key="acme", question_id="mine")
    again = penstock.ask("Why is the sky blue?", key="acme", question_id="mine")
    assert (first.status, again.status) == ("completed", "duplicate")
    assert len(penstock.model.requests) == 2
    assert first.tokens
    assert not again.tokens


def test_a_program_in_a_thread(penstock: Stage) -> None:
    penstock.model.says(total=5, words="five", after_s=2)
    asked = penstock.ask({"numbers": [2, 3]}, program="sums")
    assert asked.outputs == {"total": 5, "words": "five"}
    assert asked.text("words") == "five"
    assert asked.completion.timing.duration_ms == 2_000


def test_a_thread_in_time(penstock: Stage) -> None:
    penstock.model.hangs(total=5)
    asked = penstock.ask({"numbers": [2, 3]}, program="sums")
    assert asked.status == "expired"
    assert penstock.elapsed_s == 5, "timeout_ms of the program"


def test_a_missing_input(penstock: Stage) -> None:
    asked = penstock.ask("2 + 3", program="sums")
    assert asked.dead_letter is not None
    assert asked.dead_letter.code == "missing_input"


def test_an_answer_made_of_the_question(penstock: Stage) -> None:
    def answers(request: Request) -> dict[str, Any] | None:
        return {"answer": request.inputs["question"].upper()} if "draft" in request.inputs else None

    penstock.model.answers(answers)
    asked = [penstock.send(text) for text in ("one", "two", "three")]
    penstock.run()
    assert [one.answer for one in asked] == ["ONE", "TWO", "THREE"]


def test_a_bad_key_stops_the_service(penstock: Stage) -> None:
    penstock.model.fails(401)
    with pytest.raises(UnansweredError) as stopped:
        penstock.ask("Why is the sky blue?")
    assert stopped.value.code == "model_auth"


@pytest.mark.penstock(gate={"run": 2})
def test_too_many_dead_letters(penstock: Stage) -> None:
    assert penstock.ask("Where is the bug?").status == "failed"
    with pytest.raises(UnansweredError) as kept:
        penstock.ask("Where is the bug?")
    assert kept.value.code == "too_many_dead_letters"
    assert penstock.elapsed_s < 60, "it is known at once"


def test_no_tokens_are_wanted(penstock: Stage) -> None:
    penstock.model.says(answer="Blue.")
    asked = penstock.ask("Why is the sky blue?", stream=False)
    assert asked.answer == "Blue."
    assert asked.tokens == []


@pytest.mark.penstock(models={"large": {"name": "openai/gpt-4o", "adapter": "json"}})
def test_another_adapter(penstock: Stage) -> None:
    penstock.model.says(draft="Scattering.")
    penstock.model.says(answer='Short "waves".')
    asked = penstock.ask("Why is the sky blue?")
    assert asked.answer == asked.text() == 'Short "waves".'
    assert asked.completion.model == "openai/gpt-4o"


@pytest.mark.penstock(program="question -> answer")
def test_a_model_that_never_answers(penstock: Stage) -> None:
    penstock.model.fails(503, times=math.inf)
    asked = penstock.ask("Why is the sky blue?", timeout_ms=60_000)
    assert asked.status == "expired"
