"""How is each topic to be set up?"""

import math
from collections.abc import Mapping

from aiokafka.admin import NewTopic

from penstock.kafka.preflight import Needs, Sight
from penstock.kafka.rights import Role
from penstock.kafka.topic_rules import DEAD_LETTER_HEADROOM, WRITTEN

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS

TWICE = 2
"""Brokers that have what is acknowledged, where there are more."""


def plan(role: Role, sight: Sight, needs: Needs) -> NewTopic:
    """A topic as we create it, where the settings of the questions are known."""
    replicas = copies(sight, needs)
    return NewTopic(
        needs.name(role),
        partitions(role, sight, needs),
        replicas,
        topic_configs=config(role, replicas, _known(sight), needs.longest_ms),
    )


def partitions(role: Role, sight: Sight, needs: Needs) -> int:
    """As many as the questions have: what is said of one is in the partition with its number."""
    questions = sight.topics.get("questions")
    if role == "control":
        return 1
    return needs.topics.partitions if questions is None else questions.partitions


def copies(sight: Sight, needs: Needs) -> int:
    # The client refuses -1, Kafka's word for the broker's own default.
    return needs.topics.replication_factor or min(3, len(sight.cluster.brokers))


def wanted(role: Role, sight: Sight, needs: Needs) -> dict[str, str]:
    """The settings of a topic that is there, as if it were created with the replicas it has."""
    return config(role, sight.topics[role].replicas, _known(sight), needs.longest_ms)


def _known(sight: Sight) -> Mapping[str, str]:
    questions = sight.topics.get("questions")
    return {} if questions is None or questions.config is None else questions.config


def config(
    role: Role, replicas: int, questions: Mapping[str, str], longest_ms: float
) -> dict[str, str]:
    """None of the answers is compacted: their key is the ordering key, and every record counts.
    `questions`: the settings of their topic, as far as they are known.
    """
    if role == "questions":
        return {}
    if role == "control":
        # Of a key only the last record counts, and what is paused stays so for long.
        # What was asked before a cancellation is known by its time: not by the clock of whoever
        # says so.
        return {
            "cleanup.policy": "compact,delete",
            "retention.ms": _at_least(30 * DAY_MS, longest_ms),
            "message.timestamp.type": "LogAppendTime",
            # What is compacted is closed segments alone, and members report all the time: each
            # start would read a week of that. Shorter than this some clouds do not take.
            "segment.ms": str(4 * HOUR_MS),
        }
    own = {"cleanup.policy": "delete"}
    if role == "tokens":
        own["retention.ms"] = _at_least(DAY_MS, longest_ms)
    elif role == "dead_letters":
        own["retention.ms"] = str(30 * DAY_MS)
    if role == "completions" and "retention.ms" in questions:
        own["retention.ms"] = questions["retention.ms"]
    if role == "dead_letters" and "max.message.bytes" in questions:
        limit = int(questions["max.message.bytes"]) + DEAD_LETTER_HEADROOM
        own["max.message.bytes"] = str(limit)
    if role in WRITTEN and replicas > TWICE and questions.get("min.insync.replicas") == "1":
        # Kafka's own default, by which one broker alone may have what is acknowledged.
        own["min.insync.replicas"] = str(TWICE)
    return own


def _at_least(usual_ms: int, longest_ms: float) -> str:
    """Whatever else: what is said of a question outlives it."""
    return str(max(usual_ms, math.ceil(longest_ms)))
