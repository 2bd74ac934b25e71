"""Small faults of the core where models fail, are not called, and questions run again, one function
each, named by what it then does wrong.
"""

import pytest

from penstock.core.admission import Admission
from penstock.core.board import Board
from penstock.core.breaker import Breaker, Cause
from penstock.core.cancellations import Cancellations
from penstock.core.facts import RecordId
from penstock.core.failing import Failing
from penstock.core.failure import Failure
from penstock.core.question import Question
from penstock.core.starting import Starting

Patch = pytest.MonkeyPatch

# --- the model --------------------------------------------------------------------------------


def ignores_how_long_it_is_to_wait(patch: Patch) -> None:
    limited = Breaker.limited
    patch.setattr(Breaker, "limited", lambda one, record, _: limited(one, record, 0.0))


def forgets_a_wait_when_a_probe_fails(patch: Patch) -> None:
    def shut(breaker: Breaker, cause: Cause, until: float) -> None:
        breaker.cause, breaker.until = cause, until

    patch.setattr(Breaker, "_shut", shut)


def never_asks_whether_the_model_is_back(patch: Patch) -> None:
    patch.setattr(Breaker, "may_start", lambda breaker, _: breaker.cause is None)


def resumes_nothing_to_ask_with(patch: Patch) -> None:
    def shut(board: Board, _: float) -> bool:
        return all(model.breaker.cause for model in board.models.values())

    patch.setattr(Board, "has_questions_enough", shut)


def wakes_for_a_model_that_may_be_called(patch: Patch) -> None:
    patch.setattr(Starting, "next_at", lambda _, now: now)


# --- what runs again --------------------------------------------------------------------------


def runs_again_without_a_slot(patch: Patch) -> None:
    take_again = Admission.take_again

    def without(admission: Admission, *which: object) -> RecordId | None:
        record = take_again(admission, *which)  # type: ignore[arg-type]
        admission.in_flight -= record is not None
        return record

    patch.setattr(Admission, "take_again", without)


def opens_the_lane_of_what_runs_again(patch: Patch) -> None:
    try_again = Failing.try_again

    def and_open(
        failing: Failing, record: RecordId, question: Question, failure: Failure, now: float
    ) -> None:
        try_again(failing, record, question, failure, now)
        failing._board.admission.open(question.lane)
        failing._board.admission._shut[question.lane] += 1

    patch.setattr(Failing, "try_again", and_open)


def forgets_who_waits_to_run_again(patch: Patch) -> None:
    """They are in memory all the same."""
    try_again = Failing.try_again

    def uncounted(
        failing: Failing, record: RecordId, question: Question, failure: Failure, now: float
    ) -> None:
        try_again(failing, record, question, failure, now)
        if record in failing.retries._due:
            failing._board.shrank(record)

    patch.setattr(Failing, "try_again", uncounted)


def has_no_deadline_between_attempts(patch: Patch) -> None:
    run_again = Failing.run_again

    def without(failing: Failing, now: float) -> None:
        for record in failing.retries._due:
            failing._board.deadlines.disarm(record)
        run_again(failing, now)

    patch.setattr(Failing, "run_again", without)


def runs_again_what_it_has_lost(patch: Patch) -> None:
    def goes_on(board: Board, record: RecordId) -> float | None:
        question = board.questions.get(record)
        return None if question is None else board.lease.until + 10**6

    patch.setattr(Board, "speaks_until", goes_on)


def forgets_what_nobody_wants(patch: Patch) -> None:
    patch.setattr(Cancellations, "hold", lambda *_: False)


def never_runs_again(patch: Patch) -> None:
    patch.setattr(Failing, "run_again", lambda failing, now: failing.retries.expired(now))


def keeps_what_waited_at_the_gate(patch: Patch) -> None:
    def only_open(failing: Failing, _: float) -> None:
        failing.gate.open()

    patch.setattr(Failing, "open_the_gate", only_open)
