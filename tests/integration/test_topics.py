"""`penstock topics` on a real Kafka, and what Kafka's own tools see of what it did."""

import json
from collections.abc import Mapping

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.command import Ended, environment, penstock
from tests.support.kafka import Call, Topics
from tests.support.kafka_tools import kafka_tool
from tests.support.service import settings_for

DAY_MS = 24 * 60 * 60 * 1000


class Desk:
    """The command, with the topics of one test."""

    def __init__(self, servers: str, topics: Topics) -> None:
        self.names = settings_for(servers, topics, "openai/ok").topics
        self._servers = servers
        own = {"PENSTOCK_TOPICS__DEAD_LETTERS": self.names.dead_letters}
        self._env = environment(settings_for(servers, topics, "openai/ok")) | own
        # Whatever it creates goes at the end.
        self._topics = topics

    async def topics(self, *words: str, **variables: str) -> Ended:
        return await penstock("topics", *words, env=self._env | variables)

    async def create(self, *words: str, **variables: str) -> Ended:
        ended = await self.topics("create", *words, **variables)
        if ended.code == 0 and "--execute" in words:
            names = self.names
            self._topics.created = [
                names.questions,
                names.tokens,
                names.completions,
                names.dead_letters,
                names.control,
            ]
        return ended

    async def described(self, *words: str) -> dict[str, dict[str, object]]:
        ended = await self.topics("describe", "--output", "json", *words)
        assert (ended.code, ended.stderr) == (0, "")
        found = [json.loads(line) for line in ended.stdout.splitlines()]
        return {one["role"]: one for one in found}

    async def own(self, topic: str) -> dict[str, str]:
        """What was set on it, as `kafka-configs` says it."""
        told = ("--describe", "--entity-type", "topics", "--entity-name", topic)
        ended = await kafka_tool("kafka-configs", "--bootstrap-server", self._servers, *told)
        lines = [line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  ")]
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def desk(bootstrap_servers: str, topics: Topics) -> Desk:
    return Desk(bootstrap_servers, topics)


def last(ended: Ended) -> str:
    return ended.stderr.splitlines()[-1]


async def test_what_is_missing_is_created_and_then_all_is_well(
    desk: Desk, bootstrap_servers: str, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> None:
    missing = await desk.topics("check", "--output", "json")
    assert (missing.code, missing.stderr) == (1, "penstock: 5 wrong\n")
    lines = [json.loads(line) for line in missing.stdout.splitlines()]
    assert {(line["level"], line["said"]) for line in lines} == {("wrong", "is missing")}
    assert all("penstock topics create" in line["remedy"] for line in lines)

    # Whether `penstock serve` creates topics has no say in what an operator asks for.
    words = ("--partitions", "3", "--replication-factor", "1")
    dry = await desk.create(*words, PENSTOCK_TOPICS__CREATE="false")
    assert dry.code == 0
    assert last(dry) == "penstock: dry run: would create 5 topics; --execute does it"
    assert f"topic {desk.names.tokens!r}\n+ partitions=3\n+ replicas=1\n" in dry.stdout
    assert not {desk.names.questions} & set(session_loop(kafka_admin.list_topics()))
    assert {one["there"] for one in (await desk.described()).values()} == {False}

    done = await desk.create(*words, "--execute", PENSTOCK_TOPICS__CREATE="false")
    assert (done.code, done.stderr) == (0, "penstock: created 5 topics\n")
    # What follows from the questions is known by now.
    assert "+ max.message.bytes=1114124 (1088 KiB)" in done.stdout

    told = ("--bootstrap-server", bootstrap_servers, "--describe", "--topic", desk.names.tokens)
    ended = await kafka_tool("kafka-topics", *told)
    assert "PartitionCount: 3\tReplicationFactor: 1" in ended.stdout
    assert await desk.own(desk.names.tokens) == {
        "cleanup.policy": "delete",
        "retention.ms": str(DAY_MS),
    }
    found = await desk.described()
    assert [found[role]["partitions"] for role in ("questions", "completions", "control")] == [
        3,
        3,
        1,
    ]
    well = await desk.topics("check")
    assert (well.code, well.stdout, well.stderr) == (0, "", "penstock: all is well\n")
    again = await desk.create("--alter", "--execute", "--partitions", "9")
    assert again.code == 0
    kept, nothing = again.stderr.splitlines()
    assert f"topic {desk.names.questions!r} keeps its 3 partitions: more are never added" in kept
    assert nothing == "penstock: nothing to do"


async def test_what_does_harm_is_set_and_nothing_else_of_the_topic(
    desk: Desk, topics: Topics
) -> None:
    stranger = {"segment.ms": "3600000"}
    before: Mapping[str, dict[str, str]] = {
        "tokens": {"retention.ms": "60000"},
        "completions": {"cleanup.policy": "compact", "retention.ms": str(3 * DAY_MS)},
        "dead-letters": {"max.message.bytes": "2000", "retention.ms": str(DAY_MS)},
        "control": {"cleanup.policy": "compact,delete"},
    }
    topics.create("questions", 2)
    for name, config in before.items():
        topics.create(name, 1 if name == "control" else 2, config | stranger)
    letters = desk.names.dead_letters

    checked = await desk.topics("check")
    assert (checked.code, checked.stderr) == (1, "penstock: 3 wrong, 2 warning\n")
    lines = checked.stdout.splitlines()
    assert lines[:3] == [
        f"topic {desk.names.tokens!r}",
        "- retention.ms=60000 (1 min)",
        "+ retention.ms=86400000 (1 d)",
    ]
    assert lines[3].startswith("  wrong: keeps records for 1 min, and a question may take 10.4 min")
    assert lines[3].endswith("; set it: penstock topics create --alter --execute")
    compacted = lines.index("- cleanup.policy=compact") + 2
    assert lines[compacted].endswith("; what is older than its retention.ms is deleted then")
    # Somebody meant it, and it does no harm.
    shorter = lines.index("- retention.ms=86400000 (1 d)") + 2
    assert lines[shorter].startswith("  ok: has retention.ms 86400000")
    assert "--alter" not in lines[shorter]

    # Without the flag none of it is touched; with it, not before it is to be done.
    untouched = await desk.create("--execute")
    assert untouched.code == 0
    assert untouched.stderr.count("left as it is") == 5
    assert last(untouched) == "penstock: nothing to do"
    dry = await desk.create("--alter")
    assert last(dry) == "penstock: dry run: would set 6 settings; --execute does it"
    assert await desk.own(letters) == before["dead-letters"] | stranger

    done = await desk.create("--alter", "--execute", "--output", "json")
    assert (done.code, done.stderr) == (0, "penstock: set 6 settings\n")
    changed = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(line["topic"], line["setting"], line["wanted"], line["done"]) for line in changed} == {
        (desk.names.tokens, "retention.ms", str(DAY_MS), True),
        (desk.names.completions, "cleanup.policy", "delete", True),
        (desk.names.completions, "retention.ms", str(7 * DAY_MS), True),
        (letters, "max.message.bytes", "1114124", True),
        (desk.names.control, "message.timestamp.type", "LogAppendTime", True),
        # The cluster's default, which nobody had set.
        (desk.names.control, "retention.ms", str(30 * DAY_MS), True),
    }
    assert await desk.own(letters) == stranger | {
        "max.message.bytes": "1114124",
        "retention.ms": str(DAY_MS),
    }
    assert await desk.own(desk.names.control) == stranger | {
        "cleanup.policy": "compact,delete",
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(30 * DAY_MS),
    }
    well = await desk.topics("check")
    assert (well.code, well.stderr) == (0, "penstock: all is well\n")


async def test_what_is_there_is_counted_and_what_was_set_is_marked(
    desk: Desk, topics: Topics, bootstrap_servers: str
) -> None:
    questions = topics.create("questions", 2, {"retention.ms": "-1"})
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for number in range(5):
            await producer.send_and_wait(questions, b"{}", partition=number % 2)
    found = await desk.described()
    assert found["questions"]["records"] == 5
    assert found["questions"]["settings"]["retention.ms"] == {"value": "-1", "own": True}  # type: ignore[index]
    ended = await desk.topics("describe")
    assert (ended.code, ended.stderr) == (0, "")
    header, first, second, *_ = ended.stdout.splitlines()
    assert header.split()[:3] == ["Topic", "Partitions", "Replicas"]
    assert first.split()[:5] == [questions, "2", "1", "1", "5"]
    assert "ever*" in first
    assert "delete " in first
    assert second.split() == [desk.names.tokens, "missing"]


async def test_where_the_brokers_refuse_a_part_nothing_is_done(
    desk: Desk, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> None:
    bad = {"PENSTOCK_TOPICS__TOKENS": "the tokens"}
    for words in ((), ("--execute",)):
        ended = await desk.topics("create", *words, **bad)
        assert ended.code == 1
        reason, summary = ended.stderr.splitlines()
        assert reason.startswith("penstock: topic 'the tokens': Topic name is invalid")
        assert summary == "penstock: nothing was done: 1 refused"
    assert desk.names.questions not in session_loop(kafka_admin.list_topics())


@pytest.mark.parametrize("command", ["describe", "check", "create"])
async def test_a_kafka_that_is_away_is_one_line_and_exit_code_2(command: str) -> None:
    ended = await penstock("topics", command, "-b", "localhost:1")
    assert (ended.code, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("penstock: no Kafka answers at localhost:1")
