"""Is a topic set up so that nothing is lost, and nothing is paid for twice? One table."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from penstock.finding import Finding, Level
from penstock.kafka.describe import Topic
from penstock.kafka.rights import Role

CONFIGS = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.ms",
    "segment.ms",
)
"""What the rules look at."""

PARTITIONS, REPLICAS, IN_SYNC = "partitions", "replicas", "replicas in sync"
SHAPE = (PARTITIONS, REPLICAS, IN_SYNC)
"""... and these, which are no settings in Kafka."""

DEAD_LETTER_HEADROOM = 64 * 1024
"""Bytes a dead letter's headers may add to the record it holds."""

ANSWER_BYTES = 64 * 1024
"""Most answers are smaller, and so is every token event of ours, with its key and headers."""

SEGMENT_MS = 24 * 60 * 60 * 1000
"""Of the control topic: what is younger is not compacted, and a member reports every 5 s."""

UNSEEN_LIMIT = 1024 * 1024 + 12
"""Kafka's own `max.message.bytes`, where a topic's cannot be seen."""


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


class Here(NamedTuple):
    """What a rule looks at.

    Args:
        topic: this one.
        questions: the topic of the questions; where it is not there, this one, which fits itself.
        brokers: how many.
        longest_ms: that a question may take from when it is asked to its completion.
    """

    topic: Topic
    questions: Topic
    brokers: int
    longest_ms: float


class Trouble(NamedTuple):
    """Args:
    said: what is wrong; with the topic's name it makes a sentence.
    remedy: what to do.
    setting: what it is about: one of CONFIGS or of SHAPE.
    wanted: what that should be.
    """

    said: str
    remedy: str
    setting: str
    wanted: str


class Rule(NamedTuple):
    level: Level
    roles: tuple[Role, ...]
    broken: Callable[[Here], Trouble | None]


def troubles(
    topics: Mapping[Role, Topic], brokers: int, longest_ms: float
) -> Iterator[tuple[Role, Finding]]:
    """All of the topics that are there; where settings cannot be seen, those that need none."""
    for role, level, trouble in broken(topics, brokers, longest_ms):
        about = f"topic {topics[role].name!r}"
        yield role, Finding(level, about, trouble.said, trouble.remedy)


def broken(
    topics: Mapping[Role, Topic], brokers: int, longest_ms: float
) -> Iterator[tuple[Role, Level, Trouble]]:
    """As `troubles`, for whoever wants to mend them."""
    for rule in RULES:
        for role in rule.roles:
            if (topic := topics.get(role)) is None:
                continue
            here = Here(topic, topics.get("questions", topic), brokers, longest_ms)
            if (trouble := rule.broken(here)) is not None:
                yield role, rule.level, trouble


def number(topic: Topic, name: str) -> float | None:
    """A setting; -1 is infinity; None: it cannot be seen."""
    if topic.config is None or name not in topic.config:
        return None
    found = int(topic.config[name])
    return math.inf if found < 0 else found


def duration(milliseconds: float) -> str:
    """For people; `for` comes before it."""
    if math.isinf(milliseconds):
        return "ever"
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds >= size or size == 1)
    return f"{milliseconds / size:.3g} {unit}"


def _one_partition(here: Here) -> Trouble | None:
    if here.topic.partitions == 1:
        return None
    return Trouble(
        f"has {here.topic.partitions} partitions; it must have 1, for what is asked there counts "
        "in its order",
        "delete it, or set PENSTOCK_TOPICS__CONTROL to another",
        PARTITIONS,
        "1",
    )


def _not_compacted(here: Here) -> Trouble | None:
    if "compact" not in _text(here.topic, "cleanup.policy"):
        return None
    return Trouble(
        "is compacted: its key is the ordering key, and of one key only the last record would stay",
        *_set(here.topic, "cleanup.policy", "delete"),
    )


def _compacted(here: Here) -> Trouble | None:
    policy = _text(here.topic, "cleanup.policy")
    if not policy or "compact" in policy:
        return None
    return Trouble(
        "is not compacted: every start reads all that was ever asked there",
        *_set(here.topic, "cleanup.policy", "compact,delete"),
    )


def _compacted_soon(here: Here) -> Trouble | None:
    open_ms = number(here.topic, "segment.ms")
    if open_ms is None or open_ms <= SEGMENT_MS or _compacted(here):
        return None
    return Trouble(
        f"is not compacted before {duration(open_ms)}: every start reads what all members have "
        "reported since",
        *_set(here.topic, "segment.ms", "14400000"),
    )


def _outlives_a_question(here: Here) -> Trouble | None:
    kept = number(here.topic, "retention.ms")
    if kept is None or kept >= here.longest_ms:
        return None
    return Trouble(
        f"keeps records for {duration(kept)}, and a question may take "
        f"{duration(here.longest_ms)}: what was said of it would be gone before it ends",
        *_set(here.topic, "retention.ms", f"{math.ceil(here.longest_ms)}", " or more"),
    )


def _outlives_its_questions(here: Here) -> Trouble | None:
    kept, asked = (number(topic, "retention.ms") for topic in (here.topic, here.questions))
    if kept is None or asked is None or kept >= asked:
        return None
    return Trouble(
        f"keeps records for {duration(kept)}, and {here.questions.name!r} for {duration(asked)}: "
        "a question without its completion is asked and paid for again where the group's offsets "
        "are lost",
        *_set(here.topic, "retention.ms", "-1" if math.isinf(asked) else f"{asked:.0f}"),
    )


def _takes_every_question(here: Here) -> Trouble | None:
    return _takes(here, 0, "does not take every question")


def _takes_its_headers(here: Here) -> Trouble | None:
    if _takes_every_question(here):
        return None
    return _takes(
        here,
        DEAD_LETTER_HEADROOM,
        "may not take the largest questions with the headers of a dead letter",
    )


def _takes(here: Here, more: int, said: str) -> Trouble | None:
    if here.topic is here.questions:
        # Those are not there yet: there is nothing to compare with.
        return None
    limit, largest = (number(topic, "max.message.bytes") for topic in (here.topic, here.questions))
    if limit is None or largest is None or limit >= largest + more:
        return None
    wanted = f"{largest + DEAD_LETTER_HEADROOM:.0f}"
    return Trouble(
        said,
        f"set its max.message.bytes to {wanted}, or lower that of {here.questions.name!r}",
        "max.message.bytes",
        wanted,
    )


def _takes_answers(here: Here) -> Trouble | None:
    limit = number(here.topic, "max.message.bytes")
    if limit is None or limit >= ANSWER_BYTES:
        return None
    return Trouble(
        f"takes records of {limit:.0f} bytes at most: a longer answer fails",
        *_set(here.topic, "max.message.bytes", f"{ANSWER_BYTES}", " or more"),
    )


def _can_be_written_everywhere(here: Here) -> Trouble | None:
    least = number(here.topic, "min.insync.replicas")
    if least is None or here.topic.replicas >= least:
        return None
    return Trouble(
        f"has {_replicas(here.topic)} and min.insync.replicas {least:.0f}: brokers before 3.7 "
        "take nothing for it",
        *_set(here.topic, "min.insync.replicas", f"{max(1, here.topic.replicas - 1)}"),
    )


def _survives_a_broker(here: Here) -> Trouble | None:
    if here.brokers == 1 or here.topic.replicas != 1:
        return None
    return Trouble(
        f"has 1 replica on {here.brokers} brokers: it is gone with its broker",
        "reassign it to three (kafka-reassign-partitions.sh)",
        REPLICAS,
        f"{min(3, here.brokers)}",
    )


def _acknowledged_twice(here: Here) -> Trouble | None:
    least = number(here.topic, "min.insync.replicas")
    if least != 1 or here.topic.replicas == 1:
        return None
    return Trouble(
        "has min.insync.replicas 1: what is acknowledged may be on one broker alone, and lost "
        "with it",
        *_set(here.topic, "min.insync.replicas", "2"),
    )


def _goes_on_without_a_broker(here: Here) -> Trouble | None:
    least = number(here.topic, "min.insync.replicas")
    if least is None or here.topic.replicas == 1 or here.topic.replicas != least:
        return None
    return Trouble(
        f"has {least:.0f} replicas and as many min.insync.replicas: one broker that restarts stops "
        "the writing",
        *_set(here.topic, "min.insync.replicas", f"{here.topic.replicas - 1}"),
    )


def _in_sync(here: Here) -> Trouble | None:
    if here.topic.in_sync >= here.topic.replicas:
        return None
    return Trouble(
        f"has a partition with {here.topic.in_sync} of {here.topic.replicas} replicas in sync",
        "see whether all brokers are up",
        IN_SYNC,
        f"{here.topic.replicas}",
    )


def _stamped_by_the_broker(here: Here) -> Trouble | None:
    if _text(here.topic, "message.timestamp.type") in {"", "LogAppendTime"}:
        return None
    return Trouble(
        "has the times of whoever writes to it: which questions a cancellation means, the clock of "
        "that machine decides",
        *_set(here.topic, "message.timestamp.type", "LogAppendTime"),
    )


def _replicas(topic: Topic) -> str:
    return f"{topic.replicas} replica{'s' * (topic.replicas != 1)}"


def _text(topic: Topic, name: str) -> str:
    return "" if topic.config is None else topic.config.get(name, "")


def _set(topic: Topic, name: str, value: str, more: str = "") -> tuple[str, str, str]:
    """The last three parts of a trouble."""
    # The tool parts settings by commas.
    written = f"[{value}]" if "," in value else value
    remedy = (
        f"set {name} to {value}{more}: kafka-configs.sh --alter --entity-type topics "
        f"--entity-name {topic.name} --add-config {name}={written}"
    )
    return remedy, name, value


_ALL: tuple[Role, ...] = ("questions", "tokens", "completions", "dead_letters", "control")
WRITTEN: tuple[Role, ...] = ("tokens", "completions", "dead_letters")

RULES = (
    Rule(Level.WRONG, ("control",), _one_partition),
    Rule(Level.WRONG, WRITTEN, _not_compacted),
    Rule(Level.WRONG, ("tokens",), _outlives_a_question),
    Rule(Level.WRONG, ("dead_letters",), _takes_every_question),
    # Whose newest question alone counts may want it so.
    Rule(Level.WARNING, ("questions",), _not_compacted),
    # Whoever keeps questions for longer than at first need not be stopped by his next restart.
    Rule(Level.WARNING, ("completions",), _outlives_its_questions),
    Rule(Level.WARNING, WRITTEN, _can_be_written_everywhere),
    Rule(Level.WARNING, ("dead_letters",), _takes_its_headers),
    Rule(Level.WARNING, ("tokens", "completions"), _takes_answers),
    Rule(Level.WARNING, _ALL, _survives_a_broker),
    Rule(Level.WARNING, WRITTEN, _acknowledged_twice),
    Rule(Level.WARNING, WRITTEN, _goes_on_without_a_broker),
    Rule(Level.WARNING, _ALL, _in_sync),
    Rule(Level.WARNING, ("control",), _compacted),
    Rule(Level.WARNING, ("control",), _compacted_soon),
    Rule(Level.WARNING, ("control",), _outlives_a_question),
    Rule(Level.WARNING, ("control",), _stamped_by_the_broker),
)
