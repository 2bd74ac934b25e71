"""What follows when a question fails: another attempt, its bad end, or a look by an operator?"""

import math
from collections.abc import Callable

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.deadline import Deadlines
from penstock.core.facts import RecordId
from penstock.core.failure import CANCELLED, CONSEQUENCES, Failure, Kind, expired
from penstock.core.gate import Gate
from penstock.core.publishing import Publishing
from penstock.core.question import Phase, Question
from penstock.core.retry import Retry

_TOO_MANY = Failure(
    Kind.OPERATOR,
    "too_many_dead_letters",
    "too many questions fail for good; see to the cause and start again: nothing is lost",
)


class Failing:
    """`chance` gives numbers from 0 to 1."""

    def __init__(self, board: Board, publishing: Publishing, chance: Callable[[], float]) -> None:
        self.gate = Gate(board.policy.gate)
        self.stops_for: Failure | None = None
        """Why the service has to stop, if it has."""
        self.retries = Deadlines()
        """When questions may run again."""
        self._retry = Retry(board.policy.retry, chance)
        self._board = board
        self._publishing = publishing

    def try_again(self, record: RecordId, question: Question, failure: Failure, now: float) -> bool:
        """Or give it up: where it has failed too often, or the next attempt would be too late.
        False: it is handed over, and better left to whoever has its partition.
        """
        counts = CONSEQUENCES[failure.kind].counts_against_breaker
        if not (counts and self._is_the_models(question)):
            question.spent[failure.kind] += 1
        question.failed_at = now
        at = self._retry.again_at(failure, question.spent[failure.kind], now)
        if at is None or at >= (question.expires_at or math.inf):
            return self.give_up(record, question, failure, now)
        if question.until is not None and (self.gate.shut or not self._has_time(question, at)):
            return False
        question.phase = Phase.RETRYING
        self.retries.arm(record, at)
        if question.expires_at is not None:
            self._board.deadlines.arm(record, question.expires_at)
        self._board.say(facts.RetryAt(record, failure, at))
        return True

    def _is_the_models(self, question: Question) -> bool:
        """While the model is not called, it is the model that has failed, and no question; but one
        to which it has begun to answer is paid for, and one that fails when others are answered is
        to blame itself.
        """
        breaker = self._board.models[question.asked.model].breaker
        if breaker.cause is None or question.answered:
            return False
        return question.failed_at is None or breaker.answered_at <= question.failed_at

    def _has_time(self, question: Question, at: float) -> bool:
        """Whether an attempt is worth beginning whose process has only so long."""
        policy = self._board.policy
        return at + policy.flight + policy.cancel_grace <= (question.until or math.inf)

    def run_again(self, now: float) -> None:
        """Whose time has come, as soon as there is a slot."""
        for record in self.retries.expired(now):
            self._board.admission.again(record, self._board.questions[record].asked.model)

    def forget(self, record: RecordId, question: Question) -> None:
        """It does not run again."""
        self.retries.disarm(record)
        self._board.admission.withdraw(record, question.asked.model)

    # --- how it ends --------------------------------------------------------------------------

    def give_up(self, record: RecordId, question: Question, failure: Failure, now: float) -> bool:
        """See `_end`."""
        ending = facts.GiveUp(record, "failed", failure, dead_letter=True)
        return self._end(record, question, ending, now)

    def expire(self, record: RecordId, question: Question, stage: str, now: float) -> bool:
        """See `_end`."""
        dead_letter = self._board.policy.dead_letter_expired
        ending = facts.GiveUp(record, "expired", expired(stage), dead_letter)
        return self._end(record, question, ending, now)

    def cancel(self, record: RecordId, question: Question) -> None:
        """As somebody has asked for."""
        self.forget(record, question)
        ending = facts.GiveUp(record, "cancelled", CANCELLED, dead_letter=False)
        self._publishing.conclude(record, question, ending)

    def _end(self, record: RecordId, question: Question, ending: facts.GiveUp, now: float) -> bool:
        """False: it must not be dead-lettered, and has no time to wait for an operator here."""
        self.forget(record, question)
        was_shut = self.gate.shut
        # What still runs cannot run again.
        passes = not ending.dead_letter or question.abandoned
        if passes or self.gate.lets_through(ending.failure, now):
            self._publishing.conclude(record, question, ending)
            return True
        self._board.say(facts.KeptBack(record, ending.failure))
        if question.until is None:
            question.phase = Phase.KEPT
        if not was_shut:
            self._board.say(facts.GateShut(ending.failure))
            if self.gate.policy.action == "exit":
                self.stops_for = self.stops_for or _TOO_MANY
        return question.until is None

    # --- the gate -----------------------------------------------------------------------------

    def open_the_gate(self, now: float) -> None:
        """What waits before it is asked anew, as if for the first time."""
        self.gate.open()
        for record, question in list(self._board.questions.items()):
            if question.phase is not Phase.KEPT:
                continue
            question.phase = Phase.RETRYING
            question.spent.clear()
            question.expires_at = expires_at = question.asked.expires_at
            if expires_at is not None and expires_at <= now:
                self.expire(record, question, "waiting", now)
                continue
            if expires_at is not None:
                self._board.deadlines.arm(record, expires_at)
            self.retries.arm(record, now)
