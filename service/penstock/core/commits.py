"""When is what committed, while a partition is ours?"""

from collections.abc import Iterable

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.cadence import Cadence
from penstock.core.facts import Head, RecordId
from penstock.core.partition import Partition


class Commits:
    """One in flight at most. The first of a partition opens it."""

    def __init__(self, board: Board) -> None:
        self.cadence = Cadence(board.policy.cadence)
        self._committing: list[tuple[int, Partition, Head]] = []
        self._board = board

    def next_at(self) -> float | None:
        return self.cadence.next_at() if self._board.partitions else None

    def commit(self, now: float) -> None:
        """If it is time."""
        board = self._board
        if not board.partitions or not self.cadence.due(now):
            return
        repeats = self.cadence.repeats(now)
        self._committing = [
            (number, partition, head)
            for number, partition in board.partitions.items()
            if number not in self._board.departures
            and ((head := self._head(partition, now)) != partition.committed or repeats)
        ]
        self.cadence.sent(now, in_flight=bool(self._committing))
        if self._committing:
            heads = {number: head for number, _, head in self._committing}
            board.say(facts.Commit(heads))
        self._name_held_back(now)

    def acknowledged(self) -> list[int]:
        """The partitions that are open from now on."""
        self.cadence.acknowledged()
        opened: list[int] = []
        for number, partition, head in self._committing:
            partition.committed = head
            if not partition.open and self._board.partitions.get(number) is partition:
                partition.open = True
                opened.append(number)
        return opened

    def failed(self, now: float) -> None:
        self.cadence.failed(now)

    def _head(self, partition: Partition, now: float) -> Head:
        """Until our runs of before are ours again, whoever follows has to wait for them."""
        handed_over: Iterable[RecordId] = () if partition.open else partition.begun.values()
        return partition.head(now, self._board.runs(handed_over))

    def _name_held_back(self, now: float) -> None:
        for number, partition in self._board.partitions.items():
            if held := partition.held_back(now, self._board.policy.held_back):
                record = RecordId(number, partition.epoch, held.offset)
                outstanding = len(partition.ledger)
                elsewhere = held.offset in partition.held
                self._board.say(facts.HeldBack(record, now - held.since, outstanding, elsewhere))
