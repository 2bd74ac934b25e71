"""What happens when a partition arrives: what of it is kept, and what is begun?"""

from collections.abc import Iterable

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.facts import Recovered
from penstock.core.handover import Run
from penstock.core.partition import Partition
from penstock.core.question import Phase
from penstock.core.release import Release
from penstock.core.work import Work


class Arrival:
    """Of partitions, then of their records."""

    def __init__(self, board: Board, work: Work, release: Release) -> None:
        self._board = board
        self._work = work
        self._release = release

    def assigned(self, event: facts.Assigned, now: float) -> None:
        board = self._board
        for number, epoch in event.epochs.items():
            recovered = event.recovered[number]
            known = self._release.known.pop(number, None)
            partition = Partition(epoch, recovered, board.policy.limits, board.writer, known)
            board.partitions[number] = partition
            board.holding.add(number)
            self._keep(number, partition, recovered, now)
        if self._release.stopping:
            self._release.at_once(frozenset(event.epochs), now)

    def _keep(self, number: int, partition: Partition, recovered: Recovered, now: float) -> None:
        """Of what we still run of a partition that has come back: what nobody else runs."""
        writer = self._board.writer
        listed = {run.offset for run in recovered.runs if run.runner == writer}
        for record, question in self._board.questions_of(number):
            at, timestamp = record.offset, question.asked.timestamp
            done = partition.ledger.was_done(at) or recovered.claims.hold(at, timestamp)
            if not question.lost and not done and (recovered.ours or at in listed):
                partition.begun[at] = record
                if question.phase is Phase.PUBLISHING:
                    # Behind the end that was read, or it would be done.
                    partition.completions.sent(at)
            else:
                self._work.lose(record, question, now, cut_off=not done)
        for offset in listed - partition.begun.keys():
            # Lost, or done after the completions were read.
            partition.hold(Run(offset, writer, now))

    def opened(self, numbers: Iterable[int]) -> bool:
        """Whether anything of them was handed over before: it need not hurry any more, and whoever
        follows need not wait for it when we are gone.
        """
        came_back = False
        for number in numbers:
            self._board.intake.arrived(number)
            for record in self._board.partitions[number].begun.values():
                came_back = True
                question = self._board.questions[record]
                if question.phase is not Phase.KEPT:
                    # Else it is let go in this turn: it had been left to whoever has this.
                    question.until = None
                    self._board.until.disarm(record)
        return came_back

    def fetched(self, event: facts.Fetched, now: float) -> bool:
        """Whether the record was done before."""
        record = event.record
        partition = self._board.partitions.get(record.partition)
        if partition is None or partition.epoch != record.epoch:
            return False
        if record.partition in self._board.departures:
            return False
        first = partition.first(event)
        if partition.ledger.skip(record.offset, event.timestamp):
            partition.held.done(record.offset)
            partition.duplicates.done(record.offset)
            self._board.say(facts.AlreadyDone(record))
            return True
        if partition.ledger.track(record.offset, now) and record.offset not in partition.begun:
            self._work.begin(event, partition, first, now)
        return False
