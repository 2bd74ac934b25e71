"""Which questions does a replay mean? Found once, before it begins."""

from array import array
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.kafka import codec
from penstock.kafka.stretch import Stretch
from penstock.replay import view
from penstock.replay.pairs import Answers, Pair, pairs
from penstock.replay.selection import Selection, these
from penstock.replay.where import Condition, holds


class Moment(NamedTuple):
    """A question, and when it was asked, in Unix seconds."""

    at: float
    partition: int
    offset: int


@dataclass(slots=True)
class Found:
    """Args:
    looked_at: questions of the range.
    offsets: of those wanted, by partition.
    first: of them, by their time.
    last: of them.
    answered: how many have a completion.
    calls: of programs, that they took then, retries among them.
    tokens: of the models, that they took then.
    """

    looked_at: int = 0
    offsets: dict[int, "array[int]"] = field(default_factory=dict)
    first: Moment | None = None
    last: Moment | None = None
    answered: int = 0
    calls: int = 0
    tokens: int = 0

    @property
    def wanted(self) -> int:
        return sum(map(len, self.offsets.values()))

    @property
    def selections(self) -> dict[int, Selection]:
        return {number: these(offsets) for number, offsets in self.offsets.items()}

    @property
    def estimated(self) -> tuple[int, int]:
        """Calls and tokens, where those that have no completion are like those that have."""
        share = self.wanted / self.answered if self.answered else 0.0
        return round(self.calls * share) if share else self.wanted, round(self.tokens * share)

    def add(self, pair: Pair) -> None:
        """It is wanted."""
        record = pair.question
        # There may be millions: eight bytes each.
        self.offsets.setdefault(record.partition, array("q")).append(record.offset)
        moment = Moment(record.timestamp / 1000, record.partition, record.offset)
        self.first = min(self.first or moment, moment)
        self.last = max(self.last or moment, moment)
        if pair.completion is not None:
            self.answered += 1
            self.calls += _number(pair.completion.get("attempts"))
            self.tokens += _number((pair.completion.get("usage") or {}).get("total_tokens"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Args:
    stretches: where to look.
    only: of these partitions, these offsets; None: all.
    where: what must hold.
    most: so many at most.
    default_program: that answers who names none.
    """

    stretches: Mapping[TopicPartition, Stretch]
    only: Mapping[int, Selection] | None = None
    where: tuple[Condition, ...] = ()
    most: int | None = None
    default_program: str = ""


async def find(
    client: Mapping[str, Any],
    clock: Clock,
    answers: Answers,
    wanted: Wanted,
    looked_at: Callable[[], None],
) -> Found:
    """Reads all of it; `looked_at` is called for each question.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    found = Found()
    async with aclosing(pairs(client, clock, answers, wanted.stretches)) as asked:
        async for pair in asked:
            found.looked_at += 1
            looked_at()
            if _is_wanted(pair, wanted):
                found.add(pair)
                if found.wanted == wanted.most:
                    break
    return found


def without_looking(wanted: Wanted) -> dict[int, Selection]:
    """What is wanted, where that does not depend on what stands there."""
    if wanted.only is not None:
        return dict(wanted.only)
    return {
        place.partition: Selection(*stretch)
        for place, stretch in wanted.stretches.items()
        if stretch.start < stretch.end
    }


def there(
    topic: str, named: Mapping[int, AbstractSet[int]], whole: Mapping[TopicPartition, Stretch]
) -> tuple[dict[int, Selection], list[str]]:
    """These offsets, as far as the logs have them, and what is to be said of the others: nobody
    waits for what is not written yet.
    """
    found, notes = {}, []
    for number, offsets in sorted(named.items()):
        log = whole[TopicPartition(topic, number)]
        if some := [offset for offset in offsets if log.start <= offset < log.end]:
            found[number] = these(some)
        if gone := len(offsets) - len(some):
            notes.append(f"{gone} of partition {number} are not there (any more)")
    return found, notes


def _is_wanted(pair: Pair, wanted: Wanted) -> bool:
    record = pair.question
    if wanted.only is not None and record.offset not in wanted.only.get(record.partition, ()):
        return False
    if not wanted.where:
        return True
    raw = codec.raw(record)
    return holds(wanted.where, view.of_question(raw, pair.completion, wanted.default_program))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def places(topic: str, numbers: Iterable[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in numbers]
