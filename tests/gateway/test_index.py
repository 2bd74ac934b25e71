"""Where questions, tokens and completions stand, by what is read of the topics in any order."""

from typing import Any

import pytest

from penstock.events.completion import CompletionStatus
from penstock.gateway.index import Ended, Entry, Index, Place

HOUR = 3_600_000
WINDOW = 600_000


def index(ids: int = 100) -> Index:
    return Index(HOUR, ids, WINDOW, token_partitions=2)


def ended(offset: int, status: CompletionStatus = "completed") -> Ended:
    return Ended(Place(0, offset), status, 0, 3, 10.0, 20.0, None)


def known(questions: Index, question_id: str = "q") -> Entry:
    entry = questions.get(question_id)
    assert entry is not None
    return entry


def test_a_question_is_queued_then_runs_then_has_ended() -> None:
    questions = index()
    questions.asked("q", Place(3, 7), 1_000, program="qa", fingerprint="f")
    assert known(questions).status == "queued"
    questions.said("q", Place(1, 40), 0, 1_200)
    questions.said("q", Place(1, 44), 1, 1_300)
    entry = known(questions)
    assert (entry.status, entry.tokens, entry.first_at, entry.heard_at) == (
        "running",
        40,
        1_200,
        1_300,
    )
    assert questions.ended("q", Place(3, 7), 1_000, "qa", ended(5)) is entry
    assert entry.status == "completed"
    assert questions.open == 0


@pytest.mark.parametrize("partition", [0, 2])
def test_tokens_of_another_partition_are_another_questions(partition: int) -> None:
    questions = index()
    questions.asked("q", Place(3, 7), 1_000)
    questions.said("q", Place(partition, 40), 0, 1_200)
    assert known(questions).status == "queued"


def test_tokens_whose_beginning_was_missed_have_no_place() -> None:
    questions = index()
    questions.asked("q", Place(0, 7), 1_000)
    questions.said("q", Place(0, 40), 5, 1_200)
    assert (known(questions).status, known(questions).tokens) == ("running", None)


def test_a_completion_may_be_read_before_its_question() -> None:
    questions = index()
    questions.ended("q", Place(0, 7), 1_000, "qa", ended(5, "failed"))
    questions.asked("q", Place(0, 7), 1_000, program="qa", fingerprint="f")
    assert (known(questions).status, known(questions).fingerprint) == ("failed", "f")
    assert questions.open == 0


def test_the_same_id_in_the_window_is_the_first_question() -> None:
    questions = index()
    questions.asked("q", Place(0, 7), 1_000, fingerprint="first")
    questions.asked("q", Place(0, 9), 2_000, fingerprint="second")
    assert questions.ended("q", Place(0, 9), 2_000, "qa", ended(4, "duplicate")) is None
    assert (known(questions).place, known(questions).status) == (Place(0, 7), "queued")
    assert questions.ended("q", Place(0, 7), 1_000, "qa", ended(5)) is known(questions)


@pytest.mark.parametrize(
    "again",
    [
        {"place": Place(0, 9), "timestamp": 1_000 + WINDOW + 1},
        {"place": Place(1, 3), "timestamp": 1_500},
        {"place": Place(0, 9), "timestamp": 1_500, "again": True},
    ],
    ids=["later", "in-another-partition", "redriven"],
)
def test_the_same_id_out_of_the_window_is_a_new_question(again: dict[str, Any]) -> None:
    questions = index()
    questions.asked("q", Place(0, 7), 1_000)
    questions.ended("q", Place(0, 7), 1_000, "qa", ended(5, "failed"))
    questions.asked("q", **again)
    assert (known(questions).place, known(questions).status) == (again["place"], "queued")
    assert (len(questions), questions.open) == (1, 1)


def test_what_is_read_of_an_older_question_by_that_id_changes_nothing() -> None:
    questions = index()
    questions.asked("q", Place(0, 9), WINDOW * 2)
    questions.asked("q", Place(0, 7), 1_000)
    assert questions.ended("q", Place(0, 7), 1_000, "qa", ended(5)) is None
    assert (known(questions).place, known(questions).status) == (Place(0, 9), "queued")


def test_the_first_completion_in_the_log_is_the_answer() -> None:
    questions = index()
    questions.asked("q", Place(0, 7), 1_000)
    questions.ended("q", Place(0, 7), 1_000, "qa", ended(5))
    assert questions.ended("q", Place(0, 7), 1_000, "qa", ended(6, "failed")) is None
    assert known(questions).status == "completed"
    assert questions.open == 0


@pytest.mark.parametrize("read_first", [True, False])
def test_who_repeats_what_was_asked_before_the_window_is_told_so(read_first: bool) -> None:
    questions = index()
    if read_first:
        questions.asked("q", Place(0, 9), 1_000, fingerprint="f")
    told = questions.ended("q", Place(0, 9), 1_000, "qa", ended(5, "duplicate"))
    questions.asked("q", Place(0, 9), 1_000, fingerprint="f")
    assert told is known(questions)
    assert (told.status, told.fingerprint, questions.open) == ("duplicate", "f", 0)
    # The first may not have ended by then.
    assert questions.ended("q", Place(0, 7), 900, "qa", ended(6)) is known(questions)
    assert (known(questions).place, known(questions).status) == (Place(0, 7), "completed")


def test_a_duplicate_that_ends_before_the_first_is_read_does_not_stand_in_its_way() -> None:
    questions = index()
    questions.ended("q", Place(0, 9), 1_000, "qa", ended(5, "duplicate"))
    questions.asked("q", Place(0, 7), 900)
    assert (known(questions).place, known(questions).status) == (Place(0, 7), "queued")
    questions.asked("q", Place(0, 9), 1_000)
    assert known(questions).place == Place(0, 7)


def test_what_was_said_before_a_redrive_is_not_said_of_the_redriven_one() -> None:
    questions = index()
    questions.asked("q", Place(0, 7), 1_000)
    questions.asked("q", Place(0, 9), 2_000, again=True)
    # As where it is built anew: the questions are read first.
    questions.said("q", Place(0, 40), 0, 1_200, Place(0, 7))
    assert (known(questions).status, known(questions).tokens) == ("queued", None)
    questions.said("q", Place(0, 50), 0, 2_200, Place(0, 9))
    assert (known(questions).status, known(questions).tokens) == ("running", 50)


def test_what_is_said_of_a_redriven_one_may_be_read_before_it() -> None:
    questions = index()
    questions.said("q", Place(0, 40), 0, 1_200, Place(0, 7))
    questions.said("q", Place(0, 50), 0, 2_200, Place(0, 9))
    questions.asked("q", Place(0, 9), 2_000, again=True)
    assert known(questions).tokens == 50
    questions.said("q", Place(0, 60), 0, 3_200, Place(0, 11))
    questions.asked("q", Place(0, 11), 3_000, again=True)
    assert (known(questions).tokens, known(questions).first_at) == (60, 3_200)


def test_what_is_too_old_or_too_much_is_forgotten_the_oldest_first() -> None:
    questions = index(ids=2)
    for number in range(4):
        questions.asked(f"q{number}", Place(0, number), number * 1_000)
    questions.forget(3_000)
    assert [entry.question_id for entry in questions] == ["q3", "q2"]
    questions.forget(2_500 + HOUR)
    assert [entry.question_id for entry in questions] == ["q3"]
    assert questions.open == 1


def test_the_newest_of_a_request_is_found_until_it_is_forgotten() -> None:
    questions = index(ids=2)
    assert questions.made_of("f") is None
    questions.asked("a", Place(0, 1), 1_000, fingerprint="f")
    questions.asked("b", Place(0, 2), 2_000, fingerprint="f")
    assert questions.made_of("f") is known(questions, "b")
    # Of this one, the completion is read first: it does not say of what it was made.
    questions.ended("c", Place(1, 3), 3_000, "qa", ended(0))
    questions.asked("c", Place(1, 3), 3_000, fingerprint="g")
    assert questions.made_of("g") is known(questions, "c")
    questions.forget(3_000)
    assert questions.made_of("f") is known(questions, "b")
    questions.asked("d", Place(0, 4), 4_000)
    questions.forget(4_000)
    assert questions.made_of("f") is None
