"""The program as a service, with neither Kafka nor a model; time is simulated."""

from penstock.testing import Stage


def test_it_answers_while_the_model_speaks(penstock: Stage) -> None:
    penstock.model.says(answer="Short waves scatter more.")

    asked = penstock.ask("Why is the sky blue?")

    assert (asked.status, asked.answer) == ("completed", "Short waves scatter more.")
    assert asked.text("answer") == "Short waves scatter more."


def test_an_empty_question_is_a_dead_letter_and_costs_nothing(penstock: Stage) -> None:
    asked = penstock.ask(" ")

    assert asked.dead_letter is not None
    assert asked.dead_letter.message == "the question is empty"
    assert penstock.model.requests == []


def test_a_model_in_trouble_is_asked_again(penstock: Stage) -> None:
    penstock.model.fails(503, retry_after_s=20)
    penstock.model.says(answer="Short waves scatter more.")

    asked = penstock.ask("Why is the sky blue?", timeout_ms=60_000)

    assert (asked.status, asked.attempts) == ("completed", 2)
