"""What do all parts of the engine look at? What is ours, what is asked, and what is to be done."""

from collections.abc import Iterable

from penstock.core.facts import Command, RecordId
from penstock.core.handover import Run
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

    def fetched_now(self, record: RecordId) -> bool:
        """Whether it is of the present assignment of its partition."""
        partition = self.partitions.get(record.partition)
        return partition is not None and partition.epoch == record.epoch

    def runs(self, records: Iterable[RecordId]) -> list[Run]:
        """What of these goes on whoever has the partition."""
        untils = ((record.offset, self.questions[record].until) for record in records)
        return [Run(offset, self.writer, until) for offset, until in untils if until is not None]
