"""What the broker keeps: the questions, the completions, the tokens and the group's commits."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from penstock.core.failure import Failure


@dataclass(frozen=True, slots=True)
class Question:
    """`explicit`: the asker chose the id, so that another may have the same."""

    partition: int
    offset: int
    question_id: str
    explicit: bool
    key: str | None
    arrives_at: int
    """Its timestamp, too: the world began with the Unix epoch."""
    expires_at: int | None
    failure: Failure | None
    budget: int

    @property
    def program(self) -> str:
        """One of two, whatever its key."""
        return f"program-{self.offset // 2 % 2}"


class Completion(NamedTuple):
    """`repeats`: the offset of the question that this one is a duplicate of."""

    partition: int
    offset: int
    timestamp: int
    question_id: str | None
    landed_at: float
    repeats: int | None


class TokenEvent(NamedTuple):
    question_id: str
    sequence: int
    attempt: int
    landed_at: float


class LastCommit(NamedTuple):
    offset: int
    metadata: str


class Log:
    """Questions of a partition are completed in the partition of that number, modulo the count."""

    def __init__(self, partitions: int, completions: int) -> None:
        self.partitions = range(partitions)
        self.starts = dict.fromkeys(self.partitions, 0)
        self.completions: list[list[Completion]] = [[] for _ in range(completions)]
        self.tokens: list[list[TokenEvent]] = [[] for _ in range(completions)]
        self.commits: dict[int, LastCommit] = {}
        self._questions: dict[int, list[Question]] = {}
        self._offsets: dict[int, list[int]] = {}
        self._arrivals: dict[int, list[int]] = {}
        self._completed: set[tuple[int, int]] = set()

    # --- questions ----------------------------------------------------------------------------

    def create(self, partition: int, questions: list[Question], start: int = 0) -> None:
        """Another one by the same name is gone, and what the group committed for it."""
        self._questions[partition] = questions
        self._offsets[partition] = [question.offset for question in questions]
        self._arrivals[partition] = [question.arrives_at for question in questions]
        self.starts[partition] = start
        self.commits.pop(partition, None)
        self._completed = {place for place in self._completed if place[0] != partition}

    def retain(self, partition: int, start: int) -> None:
        """What is below is gone."""
        at = bisect_left(self._offsets[partition], start)
        self._questions[partition] = self._questions[partition][at:]
        self._offsets[partition] = self._offsets[partition][at:]
        self._arrivals[partition] = self._arrivals[partition][at:]
        self.starts[partition] = start

    def reset(self, partition: int, offset: int) -> None:
        """As `kafka-consumer-groups --reset-offsets` does it."""
        self.commits[partition] = LastCommit(offset, "")
        self._completed = {p for p in self._completed if p[0] != partition or p[1] < offset}

    def all(self) -> list[Question]:
        return [question for partition in self._questions.values() for question in partition]

    def of(self, partition: int) -> list[Question]:
        return self._questions[partition]

    def end(self, partition: int, now: float) -> int:
        """One past the last that has arrived."""
        arrived = bisect_right(self._arrivals[partition], now)
        return self._offsets[partition][arrived - 1] + 1 if arrived else self.starts[partition]

    def readable(self, partition: int, position: int, now: float, most: int) -> list[Question]:
        begin = bisect_left(self._offsets[partition], position)
        arrived = bisect_right(self._arrivals[partition], now, begin)
        return self._questions[partition][begin : min(arrived, begin + most)]

    # --- answers ------------------------------------------------------------------------------

    def complete(self, question: Question, now: float, repeats: int | None) -> int:
        """Its position."""
        topic = self.completions[question.partition % len(self.completions)]
        topic.append(
            Completion(
                question.partition,
                question.offset,
                question.arrives_at,
                question.question_id if question.explicit else None,
                now,
                repeats,
            )
        )
        self._completed.add((question.partition, question.offset))
        return len(topic) - 1

    def say(self, question: Question, now: float, sequence: int, attempt: int) -> int:
        """Its position."""
        topic = self.tokens[question.partition % len(self.tokens)]
        topic.append(TokenEvent(question.question_id, sequence, attempt, now))
        return len(topic) - 1

    def unfinished(self) -> list[str]:
        """What is not answered or not committed."""
        left = [
            f"{question.partition}/{question.offset} has no completion"
            for question in self.all()
            if (question.partition, question.offset) not in self._completed
        ]
        for partition, offsets in self._offsets.items():
            at = self.commits[partition].offset if partition in self.commits else 0
            if offsets and at != offsets[-1] + 1:
                left.append(f"partition {partition} is committed up to {at} of {offsets[-1] + 1}")
        return left
