"""What do other processes complete of our partitions, and what do they leave to us?"""

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.facts import Answered, RecordId
from penstock.core.partition import Partition
from penstock.core.question import Phase
from penstock.core.work import Work


class Following:
    """The end of the completions of partitions of which others still run something."""

    def __init__(self, board: Board, work: Work) -> None:
        self._board = board
        self._work = work
        self._followed: dict[int, int] = {}

    def follow(self) -> None:
        """Asks for it where that has changed."""
        holding, partitions = self._board.holding, self._board.partitions
        if not holding and not self._followed:
            # As nearly always, and it is asked every turn: partitions may be many.
            return
        holding -= {n for n in holding if n not in partitions or not partitions[n].held}
        departures = self._board.departures
        epochs = {n: partitions[n].epoch for n in holding if n not in departures}
        if epochs != self._followed:
            self._followed = epochs
            positions = {n: (epoch, partitions[n].held.position) for n, epoch in epochs.items()}
            self._board.say(facts.Follow(positions))

    def completed(self, event: facts.Followed, now: float) -> bool:
        """Whether anything of ours is done by that."""
        number, partition = event.partition, self._board.partitions.get(event.partition)
        if partition is None or partition.epoch != event.epoch:
            return False
        if number in self._board.departures:
            # Of what it holds we know no more; who comes next finds it behind the bookmark.
            return False
        done = [self._done(number, partition, answered, now) for answered in event.answered]
        for run in reversed(partition.followed(event.position, event.as_of)):
            record = RecordId(number, partition.epoch, run.offset)
            if (question := self._board.questions.get(record)) is None:
                partition.taken_over[run.offset] = event.as_of
            elif question.phase is Phase.HELD:
                self._work.take_over(record, question, event.as_of, now)
        return any(done)

    def _done(self, number: int, partition: Partition, answered: Answered, now: float) -> bool:
        fetched = RecordId(number, partition.epoch, answered.offset)
        record = partition.begun.get(answered.offset, fetched)
        question = self._board.questions.get(record)
        if question is None:
            partition.held.done(answered.offset)
            partition.ledger.claim(answered.offset, answered.timestamp)
            return False
        if question.asked.timestamp != answered.timestamp or question.phase is Phase.PUBLISHING:
            # Of a record by the same number that is gone, or our own.
            return False
        partition.held.done(answered.offset)
        self._work.was_completed(record, question, now)
        return self._work.published(record, None, now)
