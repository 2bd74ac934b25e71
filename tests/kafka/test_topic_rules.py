"""Every rule finds what it is there for, and nothing in topics as the service creates them."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from penstock.finding import Level
from penstock.kafka.describe import Topic
from penstock.kafka.rights import Role
from penstock.kafka.topic_plan import DAY_MS
from penstock.kafka.topic_rules import RULES, troubles

LONGEST_MS = 625_000
MIB = 1024 * 1024

FINE: Mapping[Role, dict[str, str]] = {
    "questions": {"retention.ms": str(7 * DAY_MS)},
    "tokens": {"retention.ms": str(DAY_MS)},
    "completions": {"retention.ms": str(7 * DAY_MS)},
    "dead_letters": {"retention.ms": str(30 * DAY_MS), "max.message.bytes": str(2 * MIB)},
    "control": {
        "retention.ms": str(30 * DAY_MS),
        "cleanup.policy": "compact,delete",
        "message.timestamp.type": "LogAppendTime",
        "segment.ms": str(DAY_MS),
    },
}
DEFAULTS = {
    "cleanup.policy": "delete",
    "max.message.bytes": str(MIB),
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "2",
}


def _topics(
    role: Role | None = None, change: Mapping[str, Any] | None = None, *, seen: bool = True
) -> dict[Role, Topic]:
    """As they are to be on three brokers, but for this one."""
    found: dict[Role, Topic] = {}
    for each, config in FINE.items():
        changed = dict(change or {}) if each == role else {}
        shape = {name: changed.pop(name) for name in ("partitions", "replicas") if name in changed}
        partitions = shape.get("partitions", 1 if each == "control" else 6)
        replicas = shape.get("replicas", 3)
        in_sync = min(replicas, changed.pop("in_sync", replicas))
        settings = {**DEFAULTS, **config, **changed} if seen else None
        found[each] = Topic(each, partitions, replicas, in_sync, 0, None, settings)
    return found


WRONG, WARNING = Level.WRONG, Level.WARNING

CASES: list[tuple[Role, dict[str, Any], Level, str]] = [
    ("control", {"partitions": 2}, WRONG, "has 2 partitions; it must have 1"),
    ("questions", {"cleanup.policy": "compact"}, WARNING, "is compacted"),
    ("tokens", {"cleanup.policy": "compact,delete"}, WRONG, "is compacted"),
    ("completions", {"cleanup.policy": "compact"}, WRONG, "is compacted"),
    ("dead_letters", {"cleanup.policy": "compact"}, WRONG, "is compacted"),
    ("tokens", {"retention.ms": "624999"}, WRONG, "retention.ms=625000"),
    ("completions", {"retention.ms": str(7 * DAY_MS - 1)}, WARNING, "paid for again"),
    ("questions", {"retention.ms": "-1"}, WARNING, "retention.ms=-1"),
    ("dead_letters", {"max.message.bytes": str(MIB - 1)}, WRONG, "does not take every question"),
    ("dead_letters", {"max.message.bytes": str(MIB)}, WARNING, "the headers of a dead letter"),
    ("questions", {"max.message.bytes": str(2 * MIB + 1)}, WRONG, "does not take every question"),
    ("completions", {"max.message.bytes": "65535"}, WARNING, "65535 bytes at most"),
    ("tokens", {"max.message.bytes": "65535"}, WARNING, "65535 bytes at most"),
    ("completions", {"replicas": 1, "min.insync.replicas": "2"}, WARNING, "has 1 replica and min"),
    ("questions", {"replicas": 1}, WARNING, "1 replica on 3 brokers"),
    ("tokens", {"min.insync.replicas": "1"}, WARNING, "on one broker alone"),
    ("tokens", {"min.insync.replicas": "3"}, WARNING, "one broker that restarts"),
    ("control", {"in_sync": 2}, WARNING, "2 of 3 replicas in sync"),
    ("control", {"cleanup.policy": "delete"}, WARNING, "is not compacted"),
    ("control", {"segment.ms": str(7 * DAY_MS)}, WARNING, "is not compacted before 7 d"),
    ("control", {"retention.ms": "1000"}, WARNING, "keeps records for 1 s"),
    ("control", {"message.timestamp.type": "CreateTime"}, WARNING, "LogAppendTime"),
]


def test_topics_as_the_service_creates_them_are_fine() -> None:
    assert not list(troubles(_topics(), 3, LONGEST_MS))


@pytest.mark.parametrize(("role", "change", "level", "words"), CASES)
def test_a_setting_that_will_not_do_is_found(
    role: Role, change: dict[str, Any], level: Level, words: str
) -> None:
    found = [finding for _, finding in troubles(_topics(role, change), 3, LONGEST_MS)]
    assert [finding.level for finding in found if words in str(finding)] == [level]
    assert all(finding.remedy for finding in found)


def test_every_rule_has_a_case() -> None:
    found = {
        (finding.level, finding.said)
        for role, change, _, _ in CASES
        for _, finding in troubles(_topics(role, change), 3, LONGEST_MS)
    }
    assert len(found) >= len(RULES)


def test_just_enough_is_enough() -> None:
    for role, change in (
        ("tokens", {"retention.ms": str(LONGEST_MS)}),
        ("completions", {"retention.ms": "-1"}),
        ("questions", {"max.message.bytes": str(2 * MIB - 64 * 1024)}),
    ):
        assert not list(troubles(_topics(role, change), 3, LONGEST_MS))  # type: ignore[arg-type]


def test_one_broker_alone_has_one_replica() -> None:
    topics = {
        role: Topic(role, topic.partitions, 1, 1, 0, None, {**(topic.config or {}), **_alone()})
        for role, topic in _topics().items()
    }
    assert not list(troubles(topics, 1, LONGEST_MS))


def test_settings_that_cannot_be_seen_break_no_rule() -> None:
    assert not list(troubles(_topics(seen=False), 3, math.inf))


def _alone() -> dict[str, str]:
    return {"min.insync.replicas": "1"}
