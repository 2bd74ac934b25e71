"""Where are the topics not as we would create them, what does it matter, and what may be set?"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock.finding import Finding, Level
from penstock.kafka.describe import Topic
from penstock.kafka.preflight import Needs, Sight
from penstock.kafka.rights import SERVICE, Role
from penstock.kafka.topic_plan import copies, partitions, wanted
from penstock.kafka.topic_rules import (
    PARTITIONS,
    REPLICAS,
    SHAPE,
    WRITTEN,
    Trouble,
    broken,
)

ALTER = "penstock topics create --alter --execute"

ALTERED: Mapping[Role, frozenset[str]] = {
    "questions": frozenset(),
    "tokens": frozenset({"cleanup.policy", "retention.ms"}),
    "completions": frozenset({"cleanup.policy", "retention.ms"}),
    "dead_letters": frozenset({"cleanup.policy", "retention.ms", "max.message.bytes"}),
    "control": frozenset(
        {"cleanup.policy", "retention.ms", "message.timestamp.type", "segment.ms"}
    ),
}
"""What we set on a topic that is there. Not `min.insync.replicas`: it stops the writing where too
few are in sync. The questions are their writers'.
"""

MORE_IS_FINE = frozenset({"max.message.bytes", "min.insync.replicas", "retention.ms", REPLICAS})

KEPT = (
    "more are never added: the order of a key would break, and tokens and completions "
    "are looked for in the partition with their question's number"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """In one setting, or in what is none in Kafka: `partitions`, `replicas`, `replicas in sync`.

    Args:
        topic: its name.
        setting: its name.
        current: what it is.
        wanted: what it would be if we created the topic, or has to be.
        alters: whether we set it.
        finding: `ok`: it does no harm.
    """

    topic: str
    setting: str
    current: str
    wanted: str
    alters: bool
    finding: Finding


def differences(sight: Sight, needs: Needs) -> Iterator[Difference]:
    """Of the topics that are there, where their settings can be seen, by topic."""
    seen: dict[Role, Topic] = {role: topic for role, topic in sight.topics.items() if topic.visible}
    minded: dict[tuple[Role, str], tuple[Level, Trouble]] = {}
    for role, level, trouble in broken(seen, len(sight.cluster.brokers), needs.longest_ms):
        # The worst come first.
        minded.setdefault((role, trouble.setting), (level, trouble))
    for role in SERVICE:
        if (topic := seen.get(role)) is None:
            continue
        is_now, to_be = _current(topic), _wanted(role, sight, needs)
        for setting, current in is_now.items():
            if (found := minded.get((role, setting))) is not None:
                yield _minded(role, topic, current, to_be.get(setting), *found)
            elif (better := to_be.get(setting)) is not None and _less(setting, current, better):
                yield _harmless(role, topic, setting, current, better)


def _current(topic: Topic) -> dict[str, str]:
    shape = dict(
        zip(SHAPE, map(str, (topic.partitions, topic.replicas, topic.in_sync)), strict=True)
    )
    return shape | dict(topic.config or {})


def _wanted(role: Role, sight: Sight, needs: Needs) -> dict[str, str]:
    to_be = wanted(role, sight, needs)
    if role != "questions":
        to_be |= {PARTITIONS: str(partitions(role, sight, needs))}
    return to_be | {REPLICAS: str(copies(sight, needs))}


def _minded(
    role: Role, topic: Topic, current: str, planned: str | None, level: Level, trouble: Trouble
) -> Difference:
    alters = trouble.setting in ALTERED[role]
    remedy = f"set it: {ALTER}" if alters else trouble.remedy
    if current == "compact" and role in WRITTEN:
        remedy = f"{remedy}; what is older than its retention.ms is deleted then"
    finding = Finding(level, f"topic {topic.name!r}", trouble.said, remedy)
    wanted = planned or trouble.wanted
    return Difference(topic.name, trouble.setting, current, wanted, alters, finding)


def _harmless(role: Role, topic: Topic, setting: str, current: str, better: str) -> Difference:
    # What somebody has set on the topic he meant.
    alters = setting in ALTERED[role] and setting in MORE_IS_FINE and setting not in topic.own
    said = f"has {setting} {current}, and would be created with {better}: it does no harm"
    remedy = KEPT if setting == PARTITIONS else f"set it: {ALTER}" if alters else None
    finding = Finding(Level.OK, f"topic {topic.name!r}", said, remedy)
    return Difference(topic.name, setting, current, better, alters, finding)


def _less(setting: str, current: str, wanted: str) -> bool:
    """Whether it is not what we would create, and not more of it either."""
    if setting in MORE_IS_FINE:
        return _number(current) < _number(wanted)
    return set(current.split(",")) != set(wanted.split(","))


def _number(text: str) -> float:
    """-1 is infinity."""
    found = int(text)
    return math.inf if found < 0 else found
