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
        self._at_the_gate: dict[RecordId, None] = {}
        self._retry = Retry(board.policy.retry, chance)
        self._board = board
        self._publishing = publishing

    def try_again(self, record: RecordId, question: Question, failure: Failure, now: float) -> None:
        """Or give it up: where it has failed too often, or the next attempt would be too late."""
        outage = self._board.models[question.asked.model].breaker.cause is not None
        if not (outage and CONSEQUENCES[failure.kind].counts_against_breaker):
            # While the model is not called, it is the model that fails, and no question.
            question.spent[failure.kind] += 1
        at = self._retry.again_at(failure, question.spent[failure.kind], now)
        if at is None or at >= (question.expires_at or math.inf):
            self.give_up(record, question, failure, now)
            return
        question.phase = Phase.RETRYING
        self.retries.arm(record, at)
        if question.expires_at is not None:
            self._board.deadlines.arm(record, question.expires_at)
        self._board.say(facts.RetryAt(record, failure, at))

    def run_again(self, now: float) -> None:
        """Whose time has come, as soon as there is a slot."""
        for record in self.retries.expired(now):
            self._board.admission.again(record, self._board.questions[record].asked.model)

    def forget(self, record: RecordId, question: Question) -> None:
        """It does not run again."""
        self.retries.disarm(record)
        self._board.admission.withdraw(record, question.asked.model)
        self._at_the_gate.pop(record, None)

    # --- how it ends --------------------------------------------------------------------------

    def give_up(self, record: RecordId, question: Question, failure: Failure, now: float) -> None:
        ending = facts.GiveUp(record, "failed", failure, dead_letter=True)
        self._end(record, question, ending, now)

    def expire(self, record: RecordId, question: Question, stage: str, now: float) -> None:
        dead_letter = self._board.policy.dead_letter_expired
        ending = facts.GiveUp(record, "expired", expired(stage), dead_letter)
        self._end(record, question, ending, now)

    def cancel(self, record: RecordId, question: Question) -> None:
        """As somebody has asked for."""
        self.forget(record, question)
        ending = facts.GiveUp(record, "cancelled", CANCELLED, dead_letter=False)
        self._publishing.conclude(record, question, ending)

    def _end(self, record: RecordId, question: Question, ending: facts.GiveUp, now: float) -> None:
        self.forget(record, question)
        was_shut = self.gate.shut
        # What was handed over has no time to wait for an operator, and what still runs cannot run
        # again.
        passes = not ending.dead_letter or question.until is not None or question.abandoned
        if passes or self.gate.lets_through(ending.failure, now):
            self._publishing.conclude(record, question, ending)
            return
        question.phase = Phase.RETRYING
        self._at_the_gate[record] = None
        self._board.say(facts.KeptBack(record, ending.failure))
        if not was_shut:
            self._board.say(facts.GateShut(ending.failure))
            if self.gate.policy.action == "exit":
                self.stops_for = self.stops_for or _TOO_MANY

    # --- the gate -----------------------------------------------------------------------------

    def waits_for_an_operator(self, question: Question) -> bool:
        """As all do then that are to run again."""
        return self.gate.shut and question.phase is Phase.RETRYING

    def open_the_gate(self, now: float) -> None:
        """What waits before it is asked anew, as if for the first time."""
        self.gate.open()
        waiting, self._at_the_gate = self._at_the_gate, {}
        for record in waiting:
            question = self._board.questions[record]
            question.spent.clear()
            question.expires_at = expires_at = question.asked.expires_at
            if expires_at is not None and expires_at <= now:
                self.expire(record, question, "waiting", now)
                continue
            if expires_at is not None:
                self._board.deadlines.arm(record, expires_at)
            self.retries.arm(record, now)
