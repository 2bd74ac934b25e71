"""What becomes of one question, from its fetch to its completion?"""

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.cancellations import Cancellations
from penstock.core.deadline import earliest
from penstock.core.duplicates import Asked
from penstock.core.facts import RecordId, Used
from penstock.core.failing import Failing
from penstock.core.failure import CONSEQUENCES, Failure, Kind
from penstock.core.handover import Run
from penstock.core.partition import Partition
from penstock.core.publishing import Publishing
from penstock.core.question import Phase, Question

_SELF_CANCELLED = Failure(Kind.ANSWER, "program_cancelled", "the program was cancelled from within")


class Work:
    """Waiting, running, being published, done; or lost to another member."""

    def __init__(self, board: Board, publishing: Publishing, failing: Failing) -> None:
        self.abandoned: set[RecordId] = set()
        """Runs that were told to end, and have not in time: each has its slot until it does."""
        self._cancellations = Cancellations()
        self._board = board
        self._publishing = publishing
        self._failing = failing
        self._questions = board.questions
        self._admission = board.admission
        self._deadlines = board.deadlines

    def next_at(self) -> float | None:
        """When something is due."""
        due = (self._deadlines, self._publishing.due, self._failing.retries, self._board.until)
        return earliest([moments.next_at() for moments in due])

    # --- it arrives ---------------------------------------------------------------------------

    def begin(
        self, event: facts.Fetched, partition: Partition, first: Asked | None, now: float
    ) -> None:
        record = event.record
        self._board.grew(record)
        # A lane of its own is named by the offset; keys and None cannot collide with it.
        named = ("record", record.offset) if event.lane is None else event.lane
        lane = (record.partition, named)
        question = Question(Phase.WAITING, event, lane, first, event.expires_at)
        self._questions[record] = question
        if record.offset in partition.held:
            # Its deadline is a matter of whoever runs it.
            question.phase = Phase.HELD
            self._admission.shut(lane)
            return
        if (since := partition.taken_over.pop(record.offset, None)) is not None:
            self._board.say(facts.TakeOver(record, since))
        if not self._ends_without_a_run(record, question, now):
            self._admission.add(record, lane, question.turn)

    def take_over(self, record: RecordId, question: Question, since: float, now: float) -> None:
        """Whoever held it does so no more."""
        question.phase = Phase.WAITING
        self._board.say(facts.TakeOver(record, since))
        if not self._ends_without_a_run(record, question, now):
            self._admission.add_first(record, question.lane, question.turn)
        self._admission.open(question.lane)

    def _ends_without_a_run(self, record: RecordId, question: Question, now: float) -> bool:
        failure, expires_at = question.asked.failure, question.expires_at
        if failure is not None:
            self._failing.give_up(record, question, failure, now)
        elif self._is_cancelled(question, now):
            self._failing.cancel(record, question)
        elif question.first is not None:
            repeats = facts.PublishDuplicate(record, question.first)
            self._publishing.conclude(record, question, repeats)
        elif expires_at is not None and expires_at <= now:
            self._failing.expire(record, question, "waiting", now)
        else:
            if expires_at is not None:
                self._deadlines.arm(record, expires_at)
            return False
        return True

    # --- it runs ------------------------------------------------------------------------------

    def answers(self, record: RecordId, now: float) -> None:
        """It has its first token."""
        question = self._questions.get(record)
        if question is not None and question.phase is Phase.RUNNING:
            question.answered = True
            self._board.models[question.asked.model].answers(record, now)

    def finished(self, record: RecordId, used: Used, now: float) -> None:
        if (question := self.ended(record)) is None:
            return
        self._board.models[question.asked.model].succeeded(record, used, now)
        if self._board.is_another_s(record, question, now):
            self.forget(record, question)
        else:
            # An answer that beat its own cancellation is an answer: it is paid for.
            self._failing.gate.succeeded(now)
            self._publishing.conclude(record, question, facts.PublishCompletion(record))

    def failed(self, record: RecordId, failure: Failure, used: Used, now: float) -> None:
        if (question := self.ended(record)) is None:
            return
        # Without a stream nobody tells of its first token.
        question.answered = question.answered or used.tokens > 0
        model = self._board.models[question.asked.model]
        model.failed(record, failure, used, now, answered=question.answered)
        self._ended_badly(record, question, failure, now)

    def cancelled(self, record: RecordId, now: float) -> None:
        """Its program has ended because it was told to; where nobody has, it cancelled itself."""
        if (question := self.ended(record)) is not None:
            self._board.models[question.asked.model].gone(record, now)
            self._ended_badly(record, question, _SELF_CANCELLED, now)

    def _ended_badly(
        self, record: RecordId, question: Question, failure: Failure, now: float
    ) -> None:
        cancelling = question.phase is Phase.CANCELLING
        if CONSEQUENCES[failure.kind].stops_service and not cancelling:
            # Its offset stays outstanding: nothing is committed past it.
            question.phase = Phase.KEPT
            self.forget(record, question)
            self._failing.stops_for = self._failing.stops_for or failure
        elif self._board.is_another_s(record, question, now):
            self.forget(record, question)
        elif cancelling:
            self._end_cut_off(record, question, now)
        else:
            self._failing.try_again(record, question, failure, now)

    def ended(self, record: RecordId) -> Question | None:
        """The program has ended, one way or another: its slot is free."""
        if record in self.abandoned:
            self.abandoned.remove(record)
            self._admission.free_slot()
            return None
        question = self._questions.get(record)
        if question is None or question.phase not in (Phase.RUNNING, Phase.CANCELLING):
            return None
        self._admission.free_slot()
        self._deadlines.disarm(record)
        self._board.grew(record)
        return question

    def _cut_off(self, record: RecordId, question: Question, now: float) -> None:
        """Whatever its program still says is stale."""
        if question.phase in (Phase.RUNNING, Phase.CANCELLING):
            self.abandoned.add(record)
            question.abandoned = True
            self._board.say(facts.Cancel(record))
            self._board.models[question.asked.model].gone(record, now)
            self._deadlines.disarm(record)
            self._board.grew(record)

    # --- it is done ---------------------------------------------------------------------------

    def published(self, record: RecordId, position: int | None, now: float) -> bool:
        """Whether this is new of a partition of ours."""
        question = self._questions.pop(record, None)
        if question is None:
            return False
        self._disarm(record, question)
        if (partition := self._board.partition_of(record)) is not None:
            if record.offset in partition.ledger:
                partition.resolve(record.offset, position, now)
            else:
                # It has come back to us, and its record has not been fetched again.
                partition.claim(record.offset, question.asked.timestamp, position)
        self._board.shrank(record)
        if question.attempt:
            self._admission.open(question.lane)
        return partition is not None

    def was_completed(self, record: RecordId, question: Question, now: float) -> None:
        """By another process."""
        if question.phase is Phase.HELD:
            self._admission.open(question.lane)
        elif question.phase is Phase.WAITING:
            self._leave_the_lane(record, question)
        else:
            self._cut_off(record, question, now)
        self._board.say(facts.Drop(record, cut_off=False))

    # --- nobody wants it ----------------------------------------------------------------------

    def cancel_requested(self, event: facts.CancelRequested, now: float) -> None:
        """Whatever it does now, and whether it has come or not."""
        self._cancellations.add(event.question_id, event.at, event.until)
        for record, question in list(self._questions.items()):
            if question.asked.question_id != event.question_id:
                continue
            if not self._is_cancelled(question, now):
                continue
            if question.phase is Phase.WAITING:
                self._leave_the_lane(record, question)
                self._failing.cancel(record, question)
            elif question.phase in {Phase.RETRYING, Phase.KEPT}:
                self._failing.cancel(record, question)
            elif question.phase is Phase.RUNNING:
                question.cancelled = True
                self.cancel(record, question, now)

    def _is_cancelled(self, question: Question, now: float) -> bool:
        asked = question.asked
        return self._cancellations.hold(asked.question_id, asked.timestamp, now)

    # --- it is another's ----------------------------------------------------------------------

    def lose(
        self, record: RecordId, question: Question, now: float, *, cut_off: bool = True
    ) -> None:
        """Nothing more is said of it; somebody else answers."""
        if question.lost:
            return
        question.lost = True
        self._board.say(facts.Drop(record, cut_off=cut_off and self._is_paid_for(question)))
        if question.phase is Phase.RUNNING:
            self.cancel(record, question, now)
        elif question.phase is not Phase.CANCELLING:
            self.forget(record, question)

    def let_go(self, record: RecordId, question: Question, until: float, now: float) -> None:
        """Of what does not run, and will not here: whoever is next may start it at once."""
        if question.phase is Phase.RETRYING and self._failing.may_run_by(question, until, now):
            return
        if question.phase is Phase.WAITING:
            self._leave_the_lane(record, question)
        if not question.phase.runs:
            self.forget(record, question)

    def cap(self, record: RecordId, question: Question, until: float, now: float) -> None:
        """What was handed over has less time than it was given."""
        if question.until is None or question.until <= until:
            return
        runs = question.phase.runs or self._failing.fits(question, until, now)
        question.until = until if runs else now
        self._board.until.arm(record, question.until)

    def forget(self, record: RecordId, question: Question) -> None:
        """Drop it unanswered: its offset stays outstanding, so the next owner starts it again."""
        begun = question.attempt or question.conclusion is not None
        if not question.lost:
            self._board.say(facts.Drop(record, cut_off=self._is_paid_for(question)))
        if begun and (partition := self._board.partition_of(record)) is not None:
            # Without a run, too, the end of its token stream may be in its topic.
            partition.cut_off(record.offset)
        self._board.shrank(record)
        del self._questions[record]
        self._disarm(record, question)
        if question.attempt or question.phase is Phase.HELD:
            self._admission.open(question.lane)

    def _is_paid_for(self, question: Question) -> bool:
        return bool(question.attempt) and question.phase.runs

    # --- its time is over ---------------------------------------------------------------------

    def expire(self, now: float) -> None:
        for record in self._deadlines.expired(now):
            self._out_of_time(record, self._questions[record], now)
        self._failing.run_again(now)
        for record in self._publishing.due.expired(now):
            question = self._questions[record]
            if self._board.is_another_s(record, question, now):
                self.forget(record, question)
            else:
                self._publishing.go_on(record, question)
        for record in self._board.until.expired(now):
            # Where its partition has come back, what we have said of it is looked up then.
            if (partition := self._board.partition_of(record)) is not None:
                partition.hold(Run(record.offset, self._board.writer, now))
                self._board.holding.add(record.partition)
            self.lose(record, self._questions[record], now)

    def _out_of_time(self, record: RecordId, question: Question, now: float) -> None:
        if question.phase is Phase.WAITING:
            self._leave_the_lane(record, question)
            self._failing.expire(record, question, "waiting", now)
        elif question.phase is Phase.RETRYING:
            self._failing.expire(record, question, "retrying", now)
        elif question.phase is Phase.RUNNING:
            self.cancel(record, question, now)
        else:
            self.abandon(record, question, now)

    def cancel(self, record: RecordId, question: Question, now: float) -> None:
        question.phase = Phase.CANCELLING
        self._deadlines.arm(record, now + self._board.policy.cancel_grace)
        self._board.say(facts.Cancel(record))

    def abandon(self, record: RecordId, question: Question, now: float) -> None:
        """Go on although it runs."""
        self._cut_off(record, question, now)
        if self._board.is_another_s(record, question, now):
            self.forget(record, question)
        else:
            self._end_cut_off(record, question, now)

    def _end_cut_off(self, record: RecordId, question: Question, now: float) -> None:
        """By whom, or what."""
        if question.cancelled:
            self._failing.cancel(record, question)
        else:
            self._failing.expire(record, question, "running", now)

    def _leave_the_lane(self, record: RecordId, question: Question) -> None:
        self._admission.drop(record, question.lane, question.turn)

    def _disarm(self, record: RecordId, question: Question) -> None:
        for due in (self._deadlines, self._publishing.due, self._board.until):
            due.disarm(record)
        self._failing.forget(record, question)
        self._board.departures.handing_over.discard(record)
