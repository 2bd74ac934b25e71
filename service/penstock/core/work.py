"""What becomes of one question, from its fetch to its completion?"""

import math

from penstock.core import facts
from penstock.core.admission import Admission
from penstock.core.board import Board
from penstock.core.deadline import Deadlines
from penstock.core.departures import Departures
from penstock.core.duplicates import Asked
from penstock.core.facts import Conclusion, RecordId
from penstock.core.failure import CONSEQUENCES, Failure, Kind, expired
from penstock.core.handover import Run
from penstock.core.intake import Intake
from penstock.core.lease import Lease
from penstock.core.partition import Partition
from penstock.core.question import Phase, Question

_SELF_CANCELLED = Failure(Kind.ANSWER, "program_cancelled", "the program was cancelled from within")


class Work:
    """Waiting, running, being published, done; or lost to another member."""

    def __init__(self, board: Board, departures: Departures) -> None:
        policy = board.policy
        self.admission = Admission(policy.slots)
        self.intake = Intake(policy.high, policy.low)
        self.lease = Lease(policy.lease)
        self.until = Deadlines()
        """Of what was handed over."""
        self._deadlines = Deadlines()
        self._republish = Deadlines()
        self._board = board
        self._departures = departures
        self._policy = policy
        self._questions = board.questions
        self._say = board.say

    def next_at(self) -> float | None:
        """When something is due."""
        times = (due.next_at() for due in (self._deadlines, self._republish, self.until))
        return min((at for at in times if at is not None), default=None)

    def speaks_until(self, record: RecordId) -> float | None:
        """Whatever is said of the record has to be in its topic then, in monotonic seconds; None:
        it is another's to say.
        """
        question = self._questions.get(record)
        if question is None or question.lost:
            return None
        if record in self._departures.handing_over:
            return -math.inf
        return self.lease.until if question.until is None else question.until

    def pause_and_resume(self) -> None:
        pause, resume = (some - self._departures.leaving.keys() for some in self.intake.changes())
        if pause:
            self._say(facts.Pause(pause))
        if resume:
            self._say(facts.Resume(resume))

    # --- it arrives ---------------------------------------------------------------------------

    def begin(
        self, event: facts.Fetched, partition: Partition, first: Asked | None, now: float
    ) -> None:
        record = event.record
        self.intake.grew(record.partition)
        # A lane of its own is named by the offset; keys and None cannot collide with it.
        named = ("record", record.offset) if event.lane is None else event.lane
        lane = (record.partition, named)
        question = Question(Phase.WAITING, event, lane, first, event.expires_at)
        self._questions[record] = question
        if record.offset in partition.held:
            # Its deadline is a matter of whoever runs it.
            question.phase = Phase.HELD
            self.admission.shut(lane)
            return
        if (since := partition.taken_over.pop(record.offset, None)) is not None:
            self._say(facts.TakeOver(record, since))
        if not self._ends_without_a_run(record, question, now):
            self.admission.add(record, lane)

    def take_over(self, record: RecordId, question: Question, since: float, now: float) -> None:
        """Whoever held it does so no more."""
        question.phase = Phase.WAITING
        self._say(facts.TakeOver(record, since))
        if not self._ends_without_a_run(record, question, now):
            self.admission.add_first(record, question.lane)
        self.admission.open(question.lane)

    def _ends_without_a_run(self, record: RecordId, question: Question, now: float) -> bool:
        failure, expires_at = question.asked.failure, question.expires_at
        if failure is not None:
            self._give_up(record, question, failure)
        elif question.first is not None:
            self._conclude(record, question, facts.PublishDuplicate(record, question.first))
        elif expires_at is not None and expires_at <= now:
            self._conclude(record, question, self._expiry(record, "waiting"))
        else:
            if expires_at is not None:
                self._deadlines.arm(record, expires_at)
            return False
        return True

    # --- it runs ------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """As many as may."""
        if now + self._policy.flight > self.lease.until:
            # Others may have our partitions, and start it too.
            return
        while (record := self.admission.take(self._ceiling)) is not None:
            question = self._questions[record]
            question.phase = Phase.RUNNING
            question.attempt += 1
            if question.expires_at is None:
                question.expires_at = now + question.asked.budget
                self._deadlines.arm(record, question.expires_at)
            self._board.partitions[record.partition].begun[record.offset] = record
            self.intake.shrank(record.partition)
            self._say(facts.Start(record, question.attempt, question.expires_at))

    def finished(self, record: RecordId, now: float) -> None:
        if (question := self.ended(record)) is None:
            return
        if self._is_another_s(record, question, now):
            self.forget(record, question)
        else:
            # An answer that beat its own cancellation is an answer: it is paid for.
            self._conclude(record, question, facts.PublishCompletion(record))

    def failed(self, record: RecordId, failure: Failure, now: float) -> bool:
        """Whether the service has to stop for it."""
        question = self._questions.get(record)
        if question is not None and question.phase is Phase.CANCELLING:
            self.cancelled(record, now)
        elif (question := self.ended(record)) is None:
            return False
        elif CONSEQUENCES[failure.kind].stops_service:
            # Its offset stays outstanding: nothing is committed past it.
            self.forget(record, question)
            return True
        elif self._is_another_s(record, question, now):
            self.forget(record, question)
        else:
            self._give_up(record, question, failure)
        return False

    def cancelled(self, record: RecordId, now: float) -> None:
        if (question := self.ended(record)) is None:
            return
        if self._is_another_s(record, question, now):
            self.forget(record, question)
        elif question.phase is Phase.RUNNING:
            # Nobody asked for it: the program cancelled itself.
            self._give_up(record, question, _SELF_CANCELLED)
        else:
            self._conclude(record, question, self._expiry(record, "running"))

    def ended(self, record: RecordId) -> Question | None:
        """The program has ended, one way or another: its slot is free."""
        question = self._questions.get(record)
        if question is None or question.phase not in (Phase.RUNNING, Phase.CANCELLING):
            return None
        self.admission.free_slot()
        self._deadlines.disarm(record)
        if self._board.fetched_now(record):
            self.intake.grew(record.partition)
        return question

    # --- it is done ---------------------------------------------------------------------------

    def published(self, record: RecordId, position: int | None, now: float) -> bool:
        """Whether this is new of a partition of ours."""
        question = self._questions.pop(record, None)
        if question is None:
            return False
        self._disarm(record)
        if (partition := self._board.partition_of(record)) is not None:
            if record.offset in partition.ledger:
                partition.resolve(record.offset, position, now)
            else:
                # It has come back to us, and its record has not been fetched again.
                partition.claim(record.offset, question.asked.timestamp, position)
        self._shrank(record)
        if question.attempt:
            self.admission.open(question.lane)
        return partition is not None

    def publish_failed(self, record: RecordId, now: float) -> None:
        if (question := self._questions.get(record)) is not None:
            question.waits = True
            self._republish.arm(record, now + self._policy.republish)

    def publish_again(self, record: RecordId, now: float) -> None:
        """What waits for it may go."""
        self._republish.arm(record, now)

    def was_completed(self, record: RecordId, question: Question) -> None:
        """By another process."""
        if question.phase is Phase.HELD:
            self.admission.open(question.lane)
        elif question.phase is Phase.WAITING:
            self.admission.drop(record, question.lane)
        else:
            self._say(facts.Cancel(record))
            self.ended(record)
        self._say(facts.Drop(record, cut_off=False))

    # --- it is another's ----------------------------------------------------------------------

    def lose(
        self, record: RecordId, question: Question, now: float, *, cut_off: bool = True
    ) -> None:
        """Nothing more is said of it; somebody else answers."""
        if question.lost:
            return
        question.lost = True
        self._say(facts.Drop(record, cut_off=cut_off and bool(question.attempt)))
        if question.phase is Phase.RUNNING:
            self.cancel(record, question, now)
        elif question.phase is not Phase.CANCELLING:
            self.forget(record, question)

    def let_go(self, record: RecordId, question: Question) -> None:
        """Of what has not begun."""
        if question.phase is Phase.WAITING:
            self.admission.drop(record, question.lane)
        elif question.phase is not Phase.HELD:
            return
        self.forget(record, question)

    def forget(self, record: RecordId, question: Question) -> None:
        """Drop it unanswered: its offset stays outstanding, so the next owner starts it again."""
        begun = question.attempt or question.conclusion is not None
        if not question.lost:
            self._say(facts.Drop(record, cut_off=bool(question.attempt)))
        if begun and (partition := self._board.partition_of(record)) is not None:
            # Without a run, too, the end of its token stream may be in its topic.
            partition.cut_off(record.offset)
        self._shrank(record)
        del self._questions[record]
        self._disarm(record)
        if question.attempt or question.phase is Phase.HELD:
            self.admission.open(question.lane)

    def _is_another_s(self, record: RecordId, question: Question, now: float) -> bool:
        """Whether somebody else is to answer it."""
        partition = self._board.partition_of(record)
        return question.lost or self._departures.is_another_s(record, partition, now)

    # --- its time is over ---------------------------------------------------------------------

    def expire(self, now: float) -> None:
        for record in self.until.expired(now):
            if (partition := self._board.partition_of(record)) is not None:
                partition.hold(Run(record.offset, self._board.writer, now))
            self.lose(record, self._questions[record], now)
        for record in self._deadlines.expired(now):
            question = self._questions[record]
            if question.phase is Phase.WAITING:
                self.admission.drop(record, question.lane)
                self._conclude(record, question, self._expiry(record, "waiting"))
            elif question.phase is Phase.RUNNING:
                self.cancel(record, question, now)
            else:
                self.abandon(record, question, now)
        for record in self._republish.expired(now):
            question = self._questions[record]
            if self._is_another_s(record, question, now):
                self.forget(record, question)
            elif question.conclusion is not None and not self._must_wait(record):
                question.waits = False
                self._say(question.conclusion)

    def cancel(self, record: RecordId, question: Question, now: float) -> None:
        question.phase = Phase.CANCELLING
        self._deadlines.arm(record, now + self._policy.cancel_grace)
        self._say(facts.Cancel(record))

    def abandon(self, record: RecordId, question: Question, now: float) -> None:
        """Go on although it runs: its slot goes to others, and whatever it says is stale."""
        self._say(facts.Cancel(record))
        self.ended(record)
        if self._is_another_s(record, question, now):
            self.forget(record, question)
        else:
            self._conclude(record, question, self._expiry(record, "running"))

    # --- how ----------------------------------------------------------------------------------

    def _conclude(self, record: RecordId, question: Question, conclusion: Conclusion) -> None:
        if (partition := self._board.partition_of(record)) is not None:
            partition.begun[record.offset] = record
            partition.completions.sent(record.offset)
        question.phase = Phase.PUBLISHING
        question.conclusion = conclusion
        self._deadlines.disarm(record)
        if self._must_wait(record):
            question.waits = True
        else:
            self._say(conclusion)

    def _must_wait(self, record: RecordId) -> bool:
        return self._departures.silences(record, self._board.partition_of(record))

    def _give_up(self, record: RecordId, question: Question, failure: Failure) -> None:
        self._conclude(record, question, facts.GiveUp(record, "failed", failure, dead_letter=True))

    def _expiry(self, record: RecordId, stage: str) -> facts.GiveUp:
        return facts.GiveUp(record, "expired", expired(stage), self._policy.dead_letter_expired)

    def _ceiling(self, number: int) -> int | None:
        return self._board.partitions[number].ceiling

    def _shrank(self, record: RecordId) -> None:
        if self._board.fetched_now(record):
            self.intake.shrank(record.partition)

    def _disarm(self, record: RecordId) -> None:
        for due in (self._deadlines, self._republish, self.until):
            due.disarm(record)
        self._departures.handing_over.discard(record)
