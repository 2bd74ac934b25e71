"""What follows when a question fails: another attempt, its bad end, or a look by an operator?"""

import math
from collections.abc import Callable

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.deadline import Deadlines
from penstock.core.facts import RecordId
from penstock.core.failure import CANCELLED, CONSEQUENCES, RATE_LIMITED, Failure, Kind, expired
from penstock.core.gate import Gate
from penstock.core.publishing import Publishing
from penstock.core.question import Phase, Question
from penstock.core.retry import Retry


def _too_many(last: Failure) -> Failure:
    reason = f"too many questions fail for good, the last by {last.code}: {last.message}"
    return Failure(Kind.OPERATOR, "too_many_dead_letters", reason)


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

    def try_again(self, record: RecordId, question: Question, failure: Failure, now: float) -> None:
        """Or give it up: where it has failed too often, or the next attempt would be too late."""
        costs_nothing = self._is_the_models(record, question, failure)
        if not costs_nothing:
            question.spent[failure.kind] += 1
        question.failed_at = now
        if failure.code == RATE_LIMITED and not question.answered:
            # Nothing has begun: its time does with the next attempt, unless it has named an end.
            question.expires_at = question.asked.expires_at
        at = self._retry.again_at(failure, question.spent[failure.kind], now)
        if at is None or at >= (question.expires_at or math.inf):
            self.give_up(record, question, failure, now)
            return
        question.again_at = at
        if question.until is not None and not self.fits(question, question.until, now):
            self._keep(record, question, now)
            return
        question.phase = Phase.RETRYING
        self.retries.arm(record, at)
        if question.expires_at is not None:
            self._board.deadlines.arm(record, question.expires_at)
        self._board.say(facts.RetryAt(record, failure, at))

    def _is_the_models(self, record: RecordId, question: Question, failure: Failure) -> bool:
        """While the model is not called, it is the model that has failed, and no question. But what
        it had begun to answer is paid for; and who was to find out whether it is back, and failed
        again although others were answered meanwhile, is to blame itself.
        """
        breaker = self._board.models[question.asked.model].breaker
        counts = CONSEQUENCES[failure.kind].counts_against_breaker and failure.stage == "running"
        if breaker.cause is None or not counts or question.answered:
            return False
        if failure.code == RATE_LIMITED or record != breaker.in_vain:
            return True
        return question.failed_at is None or breaker.succeeded_at <= question.failed_at

    def fits(self, question: Question, until: float, now: float) -> bool:
        """Whether what is to run again may begin so early that it may end by then."""
        breaker = self._board.models[question.asked.model].breaker
        begins = max(now, question.again_at, breaker.until if breaker.cause else now)
        may = not self.gate.shut and self._board.may(question.turn)
        return may and self._board.is_in_time(question, begins, until)

    def may_run_by(self, question: Question, until: float, now: float) -> bool:
        """Whether it is worth keeping from whoever could start it at once."""
        called = self._board.models[question.asked.model].breaker.cause is None
        return called and self.fits(question, until, now)

    def run_again(self, now: float) -> None:
        """Whose time has come, as soon as there is a slot."""
        for record in self.retries.expired(now):
            self._board.admission.again(record, self._board.questions[record].turn)

    def forget(self, record: RecordId, question: Question) -> None:
        """It does not run again."""
        self.retries.disarm(record)
        self._board.admission.withdraw(record, question.turn)

    # --- how it ends --------------------------------------------------------------------------

    def give_up(self, record: RecordId, question: Question, failure: Failure, now: float) -> None:
        """It has failed for good; a gate that is shut keeps it from the dead letters."""
        ending = facts.GiveUp(record, "failed", failure, dead_letter=True)
        self._end(record, question, ending, now)

    def expire(self, record: RecordId, question: Question, stage: str, now: float) -> None:
        """It has run out of time; a gate that is shut keeps it, too, if it had begun."""
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
        # What still runs cannot run again.
        passes = not ending.dead_letter or question.abandoned
        if passes or self.gate.lets_through(ending.failure, now):
            self._publishing.conclude(record, question, ending)
            return
        self._board.say(facts.KeptBack(record, ending.failure))
        if not was_shut:
            self._board.say(facts.GateShut(ending.failure))
            if self.gate.policy.action == "exit":
                self.stops_for = self.stops_for or _too_many(ending.failure)
        self._keep(record, question, now)

    def _keep(self, record: RecordId, question: Question, now: float) -> None:
        """What is handed over has no time for that: it is left to whoever has its partition."""
        question.phase = Phase.KEPT
        if question.until is not None:
            question.until = now
            self._board.until.arm(record, now)

    # --- the gate -----------------------------------------------------------------------------

    def open_the_gate(self, now: float) -> None:
        """What waits before it is asked anew, as if for the first time."""
        self.gate.open()
        for record, question in list(self._board.questions.items()):
            if question.phase is not Phase.KEPT or question.until is not None:
                continue
            question.phase = Phase.RETRYING
            question.spent.clear()
            question.failed_at, question.again_at = None, now
            question.expires_at = expires_at = question.asked.expires_at
            if expires_at is not None and expires_at <= now:
                self.expire(record, question, "waiting", now)
                continue
            if expires_at is not None:
                self._board.deadlines.arm(record, expires_at)
            self.retries.arm(record, now)
