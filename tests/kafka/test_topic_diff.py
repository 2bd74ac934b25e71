"""What we create breaks no rule, and what we would set on a topic that is there mends what it can
and shortens nothing.
"""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from penstock.finding import Level
from penstock.kafka.describe import Cluster, Topic
from penstock.kafka.preflight import Needs, Sight
from penstock.kafka.rights import SERVICE, Role
from penstock.kafka.topic_diff import ALTER, KEPT, Difference, differences
from penstock.kafka.topic_plan import DAY_MS, plan
from penstock.settings import TopicSettings

CLUSTER = {
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.ms": str(7 * DAY_MS),
}
NEEDS = Needs(TopicSettings(), "group", "roundrobin", 4096, 625_000)


def created(brokers: int = 3, needs: Needs = NEEDS, cluster: dict[str, str] | None = None) -> Sight:
    """All topics as we create them there, the questions first."""
    sight = Sight(Cluster(tuple(range(brokers)), None, {}, {}), {}, None, None)
    for role in SERVICE:
        new = plan(role, sight, needs)
        copies = new.replication_factor
        config = {**CLUSTER, **(cluster or {}), **new.topic_configs}
        own = frozenset(new.topic_configs)
        topic = Topic(new.name, new.num_partitions, copies, copies, 0, None, config, own)
        sight = replace(sight, topics={**sight.topics, role: topic})
    return sight


def changed(role: Role, *, own: bool = True, **change: Any) -> list[Difference]:
    """Of a sight in which only this topic is another; `own`: somebody has set it so."""
    sight = created()
    topic = sight.topics[role]
    config = {name.replace("_", "."): value for name, value in change.pop("config", {}).items()}
    marks = topic.own | config.keys() if own else topic.own - config.keys()
    other = replace(topic, config={**(topic.config or {}), **config}, own=marks, **change)
    return list(differences(replace(sight, topics={**sight.topics, role: other}), NEEDS))


@pytest.mark.parametrize(
    ("brokers", "longest_ms", "retention_ms", "min_in_sync"),
    [*itertools.product((1, 3, 5), (625_000, 40 * DAY_MS), (str(DAY_MS), "-1"), ("1", "2"))],
)
def test_what_we_create_needs_no_change(
    brokers: int, longest_ms: float, retention_ms: str, min_in_sync: str
) -> None:
    cluster = {"retention.ms": retention_ms, "min.insync.replicas": min_in_sync}
    needs = replace(NEEDS, longest_ms=longest_ms)
    found = list(differences(created(brokers, needs, cluster), needs))
    # Brokers that want more in sync than there are is their operator's affair.
    impossible = int(min_in_sync) > min(3, brokers)
    assert {one.setting for one in found} == ({"min.insync.replicas"} if impossible else set())


def test_what_a_rule_minds_is_set_whoever_made_it_so() -> None:
    [one] = changed("tokens", config={"retention_ms": "1000"})
    assert (one.finding.level, one.alters, one.wanted) == (Level.WRONG, True, str(DAY_MS))
    assert ALTER in str(one.finding.remedy)


@pytest.mark.parametrize(("own", "alters"), [(True, False), (False, True)])
def test_what_is_only_less_is_set_where_nobody_meant_it(*, own: bool, alters: bool) -> None:
    [one] = changed("dead_letters", own=own, config={"retention_ms": str(DAY_MS)})
    assert (one.finding.level, one.alters) == (Level.OK, alters)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("more", ["-1", str(400 * DAY_MS)])
@pytest.mark.parametrize("role", ["tokens", "completions", "dead_letters", "control"])
def test_nothing_is_ever_shortened(role: Role, more: str, *, own: bool) -> None:
    assert not changed(role, own=own, config={"retention_ms": more})


def test_how_many_are_in_sync_is_the_operators_affair() -> None:
    [one] = changed("tokens", config={"min_insync_replicas": "1"})
    assert (one.finding.level, one.alters) == (Level.WARNING, False)
    assert "kafka-configs.sh" in str(one.finding.remedy)


def test_partitions_are_never_added() -> None:
    [one] = changed("completions", partitions=3)
    assert (one.finding.level, one.alters, one.finding.remedy) == (Level.OK, False, KEPT)
    [one] = changed("control", partitions=2)
    assert (one.finding.level, one.alters, one.wanted) == (Level.WRONG, False, "1")


def test_the_order_of_policies_is_no_difference() -> None:
    assert not changed("control", config={"cleanup_policy": "delete,compact"})


def test_of_what_cannot_be_seen_nothing_is_said() -> None:
    sight = created()
    hidden = {role: replace(topic, config=None) for role, topic in sight.topics.items()}
    assert not list(differences(replace(sight, topics=hidden), NEEDS))
