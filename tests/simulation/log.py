"""What the broker keeps: the questions, the commits and the completions. And what is drawn at
random before a world begins.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.core.cadence import CadencePolicy
from penstock.core.engine import Policy
from penstock.core.failure import Failure, Kind
from penstock.core.offset_map import DoneBeyond, decode

BUDGET = 300
POISON = Failure(Kind.RECORD, "not_json", "not JSON", "decode")


@dataclass(frozen=True, slots=True)
class Question:
    partition: int
    offset: int
    key: str | None
    arrives_at: int
    expires_at: int | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad things may get, and for how long. Times in milliseconds."""

    disturbed: bool
    """Whether members crash and restart and the group rebalances."""
    calm_at: int
    """From now on nothing is refused and nobody dies."""
    refused: float
    commit_fails: float
    redelivered: float
    model_fails: float
    hangs: float
    stubborn: float
    """Runs that ignore their cancellation for a while."""
    operator: float = 0.0

    REFUSALS = 3
    """A completion is not refused more often than this."""
    PUBLISH = 60
    """The longest an acknowledgement takes."""
    ENDING = 150
    """The longest a cancelled run goes on."""
    LAG = 3
    """The longest an event waits for the loop."""


@dataclass(slots=True)
class Log:
    """The questions topic, the group's commits, the completions topic."""

    questions: Mapping[int, tuple[Question, ...]]
    committed: dict[int, int] = field(default_factory=dict)
    done: dict[int, str] = field(default_factory=dict)
    """What is done beyond the commit, as the commit says it."""
    completions: dict[tuple[int, int], int] = field(default_factory=dict)

    def all(self) -> list[Question]:
        return [question for partition in self.questions.values() for question in partition]

    def kept(self, partition: int) -> DoneBeyond:
        """What the group knows is done."""
        return decode(self.committed.get(partition, 0), self.done.get(partition, ""))

    def completed(self, partition: int, offset: int) -> bool:
        return (partition, offset) in self.completions

    def unfinished(self) -> list[str]:
        """What is not answered or not committed."""
        left = [
            f"{question.partition}/{question.offset} has no completion"
            for question in self.all()
            if not self.completed(question.partition, question.offset)
        ]
        for partition, questions in self.questions.items():
            end = questions[-1].offset + 1 if questions else 0
            if self.committed.get(partition, 0) != end:
                at = self.committed.get(partition, 0)
                left.append(f"partition {partition} is committed up to {at} of {end}")
        return left


def draw_weather(rng: random.Random, *, disturbed: bool) -> Weather:
    bad = rng.random() < 0.75
    return Weather(
        disturbed=disturbed,
        calm_at=rng.randrange(2_500, 5_000),
        refused=rng.uniform(0, 0.3) if bad else 0.0,
        commit_fails=rng.uniform(0, 0.4) if bad else 0.0,
        redelivered=0.05 if bad else 0.0,
        model_fails=rng.uniform(0, 0.3),
        hangs=rng.uniform(0, 0.1),
        stubborn=rng.uniform(0, 0.5),
        operator=rng.choice((0.0, 0.01)) if disturbed else 0.0,
    )


def draw_policy(rng: random.Random) -> Policy:
    high = rng.randrange(2, 12)
    return Policy(
        slots=rng.randrange(1, 6),
        high=high,
        low=rng.randrange(high),
        drain=rng.randrange(50, 500),
        republish=rng.randrange(10, 60),
        # Longer than the most stubborn run: a slot given away while its run goes on is no slot.
        cancel_grace=2 * Weather.ENDING,
        cadence=CadencePolicy(
            records=rng.randrange(1, 12),
            interval=rng.randrange(10, 200),
            backoff=rng.randrange(10, 100),
        ),
    )


def draw_log(rng: random.Random) -> Log:
    """Offsets have gaps, keys repeat, records come in bursts; some are poison, some in a hurry."""
    partitions = rng.randrange(1, 5)
    keys = [f"key-{number}" for number in range(rng.randrange(1, 13))]
    keyless = rng.choice((0.0, 0.3, 1.0))
    hurried = rng.choice((0.0, 0.2))
    offsets = [rng.randrange(5) for _ in range(partitions)]
    questions: dict[int, list[Question]] = {partition: [] for partition in range(partitions)}
    now = 0
    for _ in range(rng.randrange(60, 151)):
        now += rng.choice((0, 0, 0, rng.randrange(60)))
        partition = rng.randrange(partitions)
        questions[partition].append(
            Question(
                partition,
                offsets[partition],
                None if rng.random() < keyless else rng.choice(keys),
                now,
                now + rng.randrange(-50, 1_500) if rng.random() < hurried else None,
                POISON if rng.random() < 0.04 else None,
            )
        )
        offsets[partition] += 1 if rng.random() < 0.8 else rng.randrange(2, 6)
    return Log({partition: tuple(found) for partition, found in questions.items()})
