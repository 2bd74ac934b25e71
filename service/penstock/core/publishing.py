"""What is published of a question that has ended, and when?"""

from penstock.core.board import Board
from penstock.core.deadline import Deadlines
from penstock.core.facts import Conclusion, RecordId
from penstock.core.question import Phase, Question


class Publishing:
    """What is refused is sent again; what must not be said now is said later."""

    def __init__(self, board: Board) -> None:
        self.due = Deadlines()
        """When a conclusion that waits is looked at again."""
        self._board = board

    def conclude(self, record: RecordId, question: Question, conclusion: Conclusion) -> None:
        if (partition := self._board.partition_of(record)) is not None:
            partition.begun[record.offset] = record
            partition.completions.sent(record.offset)
        question.phase = Phase.PUBLISHING
        question.conclusion = conclusion
        self._board.deadlines.disarm(record)
        if self._must_wait(record):
            question.waits = True
        else:
            self._board.say(conclusion)

    def refused(self, record: RecordId, now: float) -> None:
        if (question := self._board.questions.get(record)) is not None:
            question.waits = True
            self.due.arm(record, now + self._board.policy.republish)

    def go_on(self, record: RecordId, question: Question) -> None:
        """With what waits, if it may be said now."""
        if question.conclusion is not None and not self._must_wait(record):
            question.waits = False
            self._board.say(question.conclusion)

    def _must_wait(self, record: RecordId) -> bool:
        return self._board.departures.silences(record, self._board.partition_of(record))
