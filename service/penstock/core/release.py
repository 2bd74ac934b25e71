"""What happens when a partition goes: what is finished, handed over, or lost, and what is said in
its last commit?
"""

import math

from penstock.core import facts
from penstock.core.board import Board
from penstock.core.departures import Departure
from penstock.core.duplicates import Duplicates
from penstock.core.facts import Head, RecordId
from penstock.core.failure import Failure
from penstock.core.partition import Partition
from penstock.core.publishing import Publishing
from penstock.core.question import Phase, Question
from penstock.core.work import Work


class Release:
    """In a rebalance and when the service stops alike."""

    def __init__(self, board: Board, work: Work, publishing: Publishing) -> None:
        self.known: dict[int, Duplicates] = {}
        """Of the partitions of before: one may come back as it was."""
        self.stopping = False
        self._board = board
        self._work = work
        self._publishing = publishing
        self._due = False
        self._departed = False
        self._stopped_by: Failure | None = None

    def revoke(self, event: facts.Revoking, now: float) -> None:
        self._due = True
        numbers = event.partitions & self._board.partitions.keys()
        self._leave(numbers, event.until, now, hand_over=event.commits)
        if not event.commits:
            for number in numbers:
                self._board.partitions[number].committable = False
                for record, question in self._board.questions_of(number):
                    self._work.lose(record, question, now)

    def at_once(self, numbers: frozenset[int], now: float) -> None:
        """They arrive when nothing is to be begun any more."""
        self._board.departures.add(numbers, now, now, hand_over=True)
        self._due = True

    def drain(
        self, until: float, now: float, *, alone: bool, stopped_by: Failure | None = None
    ) -> None:
        self._stopped_by = self._stopped_by or stopped_by
        if self.stopping:
            return
        self.stopping = self._due = True
        self._board.say(facts.Pause(frozenset(self._board.partitions)))
        self._board.departures.cap(until)
        for record, question in self._board.questions.items():
            self._work.cap(record, question, until, now)
        stay = self._board.partitions.keys() - self._board.departures.leaving.keys()
        self._leave(stay, until, now, hand_over=not alone)

    def _leave(
        self, numbers: "set[int] | frozenset[int]", until: float, now: float, *, hand_over: bool
    ) -> None:
        """Nothing of the partitions starts any more."""
        self._board.departures.add(numbers, until, now, hand_over=hand_over)
        for record, question in list(self._board.questions.items()):
            if record.partition in numbers:
                self._work.let_go(record, question, self._has_until(record, question, now), now)

    # --- its last commit ----------------------------------------------------------------------

    def depart(self, now: float) -> None:
        """Releases what has nothing to wait for any more; at the end, leaves the group."""
        released = self._board.departures.released
        # One last commit after the other: what the group waits for may be in the one before.
        if self._due and not released and not self._busy(now):
            self._due = False
            self._release(frozenset(self._board.departures.leaving), now)
        if self.stopping and not self._board.partitions and not released:
            if not self._departed:
                self._departed = True
                self._board.say(facts.Depart())
            if not self._board.questions:
                self._board.say(facts.Stop(self._stopped_by))

    def ended(self, event: facts.Released, now: float) -> None:
        """The last commit is in the group, or nobody knows."""
        self._board.departures.released -= event.partitions
        handed_over = self._board.departures.handing_over
        for record in [r for r in handed_over if r.partition in event.partitions]:
            handed_over.remove(record)
            question = self._board.questions[record]
            if not event.committed:
                self._work.lose(record, question, now)
            elif question.waits:
                self._publishing.due.arm(record, now)

    def _release(self, leaving: frozenset[int], now: float) -> None:
        partitions = self._board.partitions
        heads = {}
        for number in leaving:
            partition = partitions[number]
            head = self._hand_over(number, partition, now)
            if partition.open and partition.committable:
                heads[number] = head
        self.known.update((number, partitions[number].duplicates) for number in leaving)
        self._board.say(facts.Release(leaving, heads))
        self._board.departures.released |= leaving
        for number in leaving:
            del self._board.departures.leaving[number], partitions[number]
            self._board.intake.forget(number)

    def _hand_over(self, number: int, partition: Partition, now: float) -> Head:
        """The last head; what it has no room for is lost, and so is all that must not go on."""
        departure = self._board.departures.leaving[number]
        ours = [(record, self._board.questions[record]) for record in partition.begun.values()]
        if departure.hand_over and partition.open:
            for record, question in ours:
                until = self._has_until(record, question, now)
                if until > now:
                    question.until = until
                    self._board.until.arm(record, until)
                    self._board.departures.handing_over.add(record)
        # The oldest first.
        ours.sort(key=lambda one: one[1].expires_at or math.inf)
        head = partition.last_head(now, self._board.runs(record for record, _ in ours))
        named = {run.offset for run in head.runs}
        for record, question in ours:
            if record.offset not in named:
                self._work.lose(record, question, now)
        return head

    def _has_until(self, record: RecordId, question: Question, now: float) -> float:
        """In a partition on its way out. With the time it takes to end a run, and to publish what
        came of it.
        """
        policy, departure = self._board.policy, self._board.departures.leaving[record.partition]
        # What is to run again may have all its time again.
        starts_at = max(now, question.again_at)
        expires_at = max(now, question.expires_at or starts_at + question.asked.budget)
        return min(departure.until, expires_at + policy.cancel_grace + 3 * policy.flight)

    # --- what it waits for --------------------------------------------------------------------

    def _busy(self, now: float) -> bool:
        """Whether partitions on their way out still have work; what is out of time is cancelled."""
        busy = False
        flight = self._board.policy.flight
        for record, question in list(self._board.questions.items()):
            departure = self._board.departures.leaving.get(record.partition)
            if departure is None or question.lost:
                continue
            self._work.let_go(record, question, self._has_until(record, question, now), now)
            if record not in self._board.questions:
                continue
            if departure.hand_over:
                busy |= question.on_its_way and now < departure.since + flight
            else:
                busy |= self._finishes(record, question, departure, now)
        return busy

    def _finishes(
        self, record: RecordId, question: Question, departure: Departure, now: float
    ) -> bool:
        policy = self._board.policy
        if now < departure.until:
            return True
        if question.phase is Phase.PUBLISHING:
            # It may be in its topic, and our last commit ought to know.
            if question.on_its_way and now < departure.until + policy.flight:
                return True
            self._work.lose(record, question, now)
            return False
        if now >= departure.until + policy.cancel_grace:
            self._work.abandon(record, question, now)
            return False
        if question.phase is Phase.RUNNING:
            self._work.cancel(record, question, now)
        return True
