"""What do all parts of the engine look at? What is ours, what is asked, and what is to be done."""

import math
from collections.abc import Iterable

from penstock.core.admission import Admission, Turn
from penstock.core.deadline import Deadlines
from penstock.core.departures import Departures
from penstock.core.facts import Command, RecordId
from penstock.core.halts import Halts
from penstock.core.handover import Run
from penstock.core.intake import Intake
from penstock.core.lease import Lease
from penstock.core.models import Models
from penstock.core.pace import Pace
from penstock.core.partition import Partition
from penstock.core.policy import Policy
from penstock.core.question import Question


class Board:
    """`writer`: the random name of this process."""

    def __init__(self, policy: Policy, writer: str) -> None:
        self.policy = policy
        self.writer = writer
        self.questions: dict[RecordId, Question] = {}
        self.partitions: dict[int, Partition] = {}
        self.holding: set[int] = set()
        """All that hold what others still run; some may do so no more."""
        self.departures = Departures(policy)
        self.admission = Admission(policy.slots)
        self.intake = Intake(policy.high, policy.low)
        self.halts = Halts()
        self.lease = Lease(policy.lease)
        self.models = Models(policy.models)
        self.pace = Pace(policy.pace)
        self.deadlines = Deadlines()
        """When questions that wait or run are out of time; of what is cancelled, when it has to
        have ended."""
        self.until = Deadlines()
        """When what was handed over has had its time."""
        self._commands: list[Command] = []

    def say(self, command: Command) -> None:
        """To be carried out after this turn's decisions."""
        self._commands.append(command)

    def said(self) -> list[Command]:
        """Since the last time it was asked."""
        commands, self._commands = self._commands, []
        return commands

    def questions_of(self, number: int) -> list[tuple[RecordId, Question]]:
        """Those of a partition; some may be of an assignment before."""
        return [(r, question) for r, question in self.questions.items() if r.partition == number]

    def partition_of(self, record: RecordId) -> Partition | None:
        """Of which the record is outstanding; None: it is another's by now."""
        partition = self.partitions.get(record.partition)
        if partition is None:
            return None
        ours = partition.epoch == record.epoch or partition.begun.get(record.offset) == record
        return partition if ours else None

    def speaks_until(self, record: RecordId) -> float | None:
        """Whatever is said of the record has to be in its topic then, in monotonic seconds; None:
        it is another's to say.
        """
        question = self.questions.get(record)
        if question is None or question.lost:
            return None
        if record in self.departures.handing_over:
            return -math.inf
        return self.lease.until if question.until is None else question.until

    def is_in_time(self, question: Question, begins: float, until: float) -> bool:
        """Whether a run of it is worth beginning then that has to have ended by that time. What
        has all its time again needs all of it: cut off it would be paid for, and asked again.
        """
        takes = question.asked.budget if question.expires_at is None else 0.0
        return begins + takes + self.policy.flight + self.policy.cancel_grace <= until

    def has_until(self, record: RecordId) -> float:
        """A run of ours has to have ended then, because its partition has left or is leaving."""
        until = self.questions[record].until
        leaving = self.departures.leaving.get(record.partition)
        ends = math.inf if leaving is None else leaving.until
        return ends if until is None else min(until, ends)

    def is_another_s(self, record: RecordId, question: Question, now: float) -> bool:
        """Whether somebody else is to answer it."""
        partition = self.partition_of(record)
        return question.lost or self.departures.has_had_its_time(record, partition, now)

    def has_questions_enough(self, now: float) -> bool:
        """Whether another one is of no use: no model may be called, and what is to find out whether
        one is back is here.
        """
        return not any(
            model.breaker.may_start(now) or (model.breaker.doubts and not self.has_fresh(name))
            for name, model in self.models.items()
        )

    def has_fresh(self, model: str) -> bool:
        """Whether one that has not run yet could, and wants this model."""
        return self.admission.has_fresh(lambda turn: turn.model == model and self.may(turn))

    def may(self, turn: Turn) -> bool:
        """As far as an operator decides it."""
        return not self.halts.hold(turn.partition, turn.program)

    def runs(self, records: Iterable[RecordId]) -> list[Run]:
        """What of these goes on whoever has the partition."""
        untils = ((record.offset, self.questions[record].until) for record in records)
        return [Run(offset, self.writer, until) for offset, until in untils if until is not None]

    # --- records in memory without a slot -----------------------------------------------------

    def grew(self, record: RecordId) -> None:
        if self._fetched_now(record):
            self.intake.grew(record.partition)

    def shrank(self, record: RecordId) -> None:
        if self._fetched_now(record):
            self.intake.shrank(record.partition)

    def _fetched_now(self, record: RecordId) -> bool:
        """Whether it is of the present assignment of its partition."""
        partition = self.partitions.get(record.partition)
        return partition is not None and partition.epoch == record.epoch
