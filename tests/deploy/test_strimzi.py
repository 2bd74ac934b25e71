"""The topics and users for Strimzi are what the program itself says: what it would create, which
rights it looks for, and what it would find wrong.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from penstock.finding import Level
from penstock.kafka.describe import Cluster, Topic
from penstock.kafka.preflight import Sight, judge
from penstock.kafka.rights import GATEWAY, MEMBER, ONLOOKER, SERVICE, Operation, Role
from penstock.kafka.topic_plan import config, partitions
from penstock.kafka.topic_rules import CONFIGS
from tests.deploy.manifests import KUBERNETES
from tests.deploy.topics import OF_KAFKA, WANTED
from tests.deploy.validation import Object, objects

STRIMZI = KUBERNETES / "components" / "strimzi"
BROKERS = (0, 1, 2)

TOPICS = {
    one["metadata"]["name"]: one["spec"] for one in objects((STRIMZI / "topics.yaml").read_text())
}
USERS = {
    one["metadata"]["name"]: one["spec"]["authorization"]["acls"]
    for one in objects((STRIMZI / "users.yaml").read_text())
}

Right = tuple[str, str, str, str]
"""Kind, name, pattern and operation."""


def _config(topic: Object) -> dict[str, str]:
    return OF_KAFKA | {name: str(value) for name, value in topic["config"].items()}


@pytest.mark.parametrize("role", SERVICE)
def test_a_topic_is_as_the_program_would_create_it(role: Role) -> None:
    topic = TOPICS[WANTED.name(role)]
    nothing = Sight(Cluster(BROKERS, None, {}, {}), {}, None, None)
    assert topic["replicas"] == len(BROKERS)
    assert topic["partitions"] == partitions(role, nothing, WANTED)
    if role != "questions":
        questions = _config(TOPICS[WANTED.name("questions")])
        planned = config(role, len(BROKERS), questions, WANTED.longest_ms)
        assert {name: str(value) for name, value in topic["config"].items()} == planned


def test_the_questions_say_what_the_others_are_set_up_by() -> None:
    """Whatever the cluster's own defaults are."""
    said = TOPICS[WANTED.name("questions")]["config"]
    assert {name: str(value) for name, value in said.items()} == {
        name: OF_KAFKA[name] for name in ("retention.ms", "max.message.bytes")
    }


def test_there_are_no_other_topics() -> None:
    assert TOPICS.keys() == {WANTED.name(role) for role in SERVICE}


def test_a_service_has_nothing_to_say_against_them() -> None:
    assert [str(one) for one in _judged(TOPICS) if one.level is not Level.OK] == []


def test_and_would_have_if_they_were_not_right() -> None:
    short = {**TOPICS["penstock.tokens"], "config": {"retention.ms": 60000}}
    said = [str(one) for one in _judged({**TOPICS, "penstock.tokens": short})]
    assert any("keeps records for 1 min" in one for one in said)


def _judged(topics: Mapping[str, Object]) -> Iterator[Any]:
    seen: dict[Role, Topic] = {
        role: Topic(
            name=WANTED.name(role),
            partitions=topics[WANTED.name(role)]["partitions"],
            replicas=topics[WANTED.name(role)]["replicas"],
            in_sync=len(BROKERS),
            leaderless=0,
            allowed=frozenset(Operation),
            config={name: _config(topics[WANTED.name(role)])[name] for name in CONFIGS},
        )
        for role in SERVICE
    }
    cluster = Cluster(BROKERS, None, {topic.name: topic for topic in seen.values()}, {})
    return judge(Sight(cluster, seen, None, None), WANTED)


def test_the_users_have_the_rights_that_the_program_looks_for() -> None:
    # Beside them, it may see how topics are set up: without that it takes 1 MiB for their largest.
    settings = ("topic", "penstock.", "prefix", Operation.DESCRIBE_CONFIGS.word)
    assert {name: set(_rights(acls)) for name, acls in USERS.items()} == {
        "penstock": {*_wanted(SERVICE, MEMBER), settings},
        "penstock-gateway": set(_wanted(GATEWAY, ONLOOKER)),
    }


def _rights(acls: list[Object]) -> Iterator[Right]:
    for acl in acls:
        of = acl["resource"]
        assert acl.get("type", "allow") == "allow"
        for operation in acl["operations"]:
            yield of["type"], of["name"], of.get("patternType", "literal"), operation


def _wanted(
    topics: Mapping[Role, tuple[Operation, ...]], group: tuple[Operation, ...]
) -> Iterator[Right]:
    for role, operations in topics.items():
        for operation in operations:
            yield "topic", WANTED.name(role), "literal", operation.word
    for operation in group:
        yield "group", WANTED.group, "literal", operation.word
