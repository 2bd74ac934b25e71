"""The answers of a replay beside the original ones, read one question after the other."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from penstock.clock import Clock
from penstock.kafka import codec
from penstock.kafka.codec import Raw
from penstock.kafka.stretch import Stretch
from penstock.replay import view
from penstock.replay.comparison import Compared, compare
from penstock.replay.pairs import Answers, Room, Said, answered
from penstock.replay.plan import Plan
from penstock.replay.replayed import Replayed


class Found(NamedTuple):
    """`by`: who has answered first, and the replay. `stretches`: of the questions; `plan`: which of
    them were to be asked again, where that is known.
    """

    replay: str
    by: tuple[Answers, Answers]
    stretches: Mapping[TopicPartition, Stretch]
    plan: Plan | None

    @property
    def records(self) -> int:
        """At most: gaps count."""
        return sum(some.end - some.start for some in self.stretches.values())

    def wants(self, partition: int, offset: int) -> bool:
        """Whether it was to be asked again."""
        return self.plan is None or offset in self.plan.selections.get(partition, ())


def comparable(
    chosen: Replayed,
    plan: Plan | None,
    originals: str,
    meant: Mapping[TopicPartition, Stretch],
) -> Found:
    """What there is to compare.

    Args:
        chosen: the replay.
        plan: what it was to do, where that is known.
        originals: the topic of the completions that were first.
        meant: of the questions, those that one asks about.
    """
    assert chosen.answers.replay is not None
    stretches = {
        place: _both(some, chosen.stretches.get(place.partition, Stretch(0, 0)))
        for place, some in meant.items()
    }
    first = Answers(originals, chosen.answers.questions, chosen.original_group)
    return Found(chosen.answers.replay, (first, chosen.answers), stretches, plan)


async def compared(
    client: Mapping[str, Any],
    clock: Clock,
    found: Found,
    fields: Collection[str] = (),
    wanted: Callable[[Raw, Said | None], bool] = lambda _, __: True,
    advance: Callable[[], None] = lambda: None,
    room: Room | None = None,
) -> AsyncGenerator[Compared | None]:
    """None: a question that the replay has not answered.

    Args:
        client: the connection.
        clock: of the reading.
        found: what there is.
        fields: outputs that count; none: all.
        wanted: whether a question with this first completion is.
        advance: is called for each question that was read.
        room: for what waits for its other half.

    Raises:
        CrowdedError: there is no more room.
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    async with aclosing(answered(client, clock, found.by, found.stretches, room)) as questions:
        async for record, (original, replay) in questions:
            advance()
            raw = codec.raw(record)
            if not found.wants(raw.partition, raw.offset) or not wanted(raw, original):
                continue
            outcome = compare(original, replay, fields)
            if outcome is None or replay is None:
                yield None
                continue
            question = view.question(raw)
            inputs = None if question is None else question.fields
            yield Compared(raw.partition, raw.offset, inputs, original, replay, *outcome)


def told(one: Compared) -> dict[str, Any]:
    """All of it, for JSON."""
    return {
        "type": "question",
        "outcome": one.outcome,
        "question_id": one.question_id,
        "partition": one.partition,
        "offset": one.offset,
        "fields": one.fields,
        "scores": None if one.scores is None else one.scores._asdict(),
        "inputs": one.inputs,
        "original": one.original,
        "replay": one.replay,
    }


def _both(one: Stretch, other: Stretch) -> Stretch:
    start = max(one.start, other.start)
    return Stretch(start, max(start, min(one.end, other.end)))
