"""Which replays have answered into a topic, and what? Learnt from their completions themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from penstock.kafka.completed import ends, json_object
from penstock.kafka.stretch import Reader, Stretch
from penstock.replay.pairs import Answers
from penstock.replay.plan import Plan

_GROUP = "{group}.replay.{id}"


@dataclass(slots=True)
class Replayed:
    """What a replay has answered so far.

    Args:
        answers: where.
        stretches: of the questions' partitions, from the first question to the last one.
    """

    answers: Answers
    stretches: dict[int, Stretch] = field(default_factory=dict)

    @property
    def original_group(self) -> str:
        """Who answered the same questions first."""
        return self.answers.group.removesuffix(_GROUP.format(group="", id=self.answers.replay))

    @property
    def places(self) -> dict[TopicPartition, Stretch]:
        topic = self.answers.questions
        return {TopicPartition(topic, number): some for number, some in self.stretches.items()}

    def note(self, partition: int, offset: int) -> None:
        """This one has been answered."""
        before = self.stretches.get(partition, Stretch(offset, offset))
        self.stretches[partition] = Stretch(min(before.start, offset), max(before.end, offset + 1))


def planned(plan: Plan) -> Replayed:
    """What it is to answer."""
    stretches = {part.partition: Stretch(part.start, part.end) for part in plan.parts}
    return Replayed(Answers(plan.completions, plan.questions, plan.group, plan.id), stretches)


def completions_topic(prefix: str) -> str:
    """Where a replay with topics of its own says how questions ended."""
    return f"{prefix}.completions"


def own_prefix(replay: str) -> str:
    """Of the topics of a replay for which nobody has named another."""
    return f"penstock.replay.{replay}"


async def replayed(topics: Reader, topic: str, replay: str | None = None) -> dict[str, Replayed]:
    """By the replay's id, all or this one alone. Reads the whole topic.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: reading failed.
    """
    found: dict[str, Replayed] = {}
    partitions = range(await topics.partitions(topic))
    whole = await topics.whole([TopicPartition(topic, number) for number in partitions])
    async for record in topics.read("completions", whole):
        said = json_object(record.value)
        if (who := _who(said)) is None or (replay is not None and who[0] != replay):
            continue
        id_, questions, group = who
        one = found.setdefault(id_, Replayed(Answers(topic, questions, group, id_)))
        ended = ends(said, one.answers.questions, one.answers.group, id_)
        if ended is not None:
            one.note(ended.partition, ended.offset)
    return found


def _who(said: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The id of the replay, the topic of its questions, and its group."""
    replay, source = said.get("replay"), said.get("source")
    if not isinstance(replay, dict) or not isinstance(source, dict):
        return None
    match replay.get("id"), source.get("topic"), source.get("group"):
        case str(id_), str(questions), str(group):
            return id_, questions, group
    return None
