"""`penstock replay` as a process, on a real Kafka: ranges, filters, plans, ends."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.clock import Clock
from penstock.kafka.stretch import reader
from tests.support.command import Ended, member_environment, penstock
from tests.support.conversation import Conversation
from tests.support.kafka import Topics, admin_of
from tests.support.service import settings_for
from tests.support.stage import Stage, stage


async def replay(on: Stage, *words: str, model: str = "openai/ok", **more: str) -> Ended:
    """By the settings of the service that has answered before."""
    return await penstock("replay", *words, env=environment(on, model, **more))


def environment(on: Stage, model: str = "openai/ok", **more: str) -> dict[str, str]:
    settings = settings_for(on.servers, on.topics, model, on.models.api_base)
    own = {f"PENSTOCK_{name}": value for name, value in more.items()}
    return member_environment(settings) | own


def again(on: Stage) -> str:
    """The prefix of the topics of what is answered again."""
    return on.topics.name("again")


async def whole(servers: str, topic: str, partitions: int = 2) -> list[Any]:
    """All records there are."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        found: list[Any] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    finally:
        await consumer.stop()
    return found


async def ends(on: Stage) -> Mapping[str, int]:
    """Of every topic of this test, how many records were ever written."""
    async with (
        admin_of(on.servers) as admin,
        reader({"bootstrap_servers": on.servers}, Clock()) as r,
    ):
        found = {}
        for topic in await admin.describe_topics():
            if (name := topic["topic"]).startswith(on.topics.name("")):
                places = [TopicPartition(name, n) for n in range(len(topic["partitions"]))]
                found[name] = sum(log.end for log in (await r.whole(places)).values())
        return found


@asynccontextmanager
async def answered(on: Stage, each: int = 20, **body: Any) -> AsyncIterator[Conversation]:
    """So many questions in both partitions, a0, a1 ... and b0, b1 ..., answered by a service that
    has gone."""
    async with on.serving() as (_, talk):
        await talk.ask_all([f"a{n}" for n in range(each)], partition=0, **body)
        await talk.ask_all([f"b{n}" for n in range(each)], partition=1, **body)
        await talk.completions(2 * each)
    yield talk


def said(ended: Ended) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return body


async def test_a_range_is_answered_again_each_question_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        async with answered(on, timeout_ms=60_000):
            before = await ends(on)
            words = ("--offset", "5:15", "--topic-prefix", again(on), "--output", "json")
            dry = await replay(on, *words)
            assert (dry.code, dry.stderr) == (0, "")
            assert said(dry)["records"] == 20
            assert said(dry)["estimated_calls"] == 20
            assert said(dry)["estimated_tokens"] > 0
            assert await ends(on) == before, "a dry run writes nothing"

            ended = await replay(on, *words, "--id", "first", "--execute")
            assert ended.code == 0, ended.stderr
            assert said(ended)["over"]
            assert said(ended)["here"] == {"completed": 20}
        completions = await whole(bootstrap_servers, f"{again(on)}.completions")
        asked = sorted(json.loads(r.value)["question_id"] for r in completions)
        assert asked == sorted(f"{name}{n}" for name in "ab" for n in range(5, 15))
        for record in completions:
            body = json.loads(record.value)
            replayed = body["replay"]
            assert replayed["id"] == "first"
            assert (replayed["partition"], replayed["offset"]) == (
                body["source"]["partition"],
                body["source"]["offset"],
            )
            header = dict(record.headers)["penstock-replay"].decode()
            assert header == f"first/{on.topics.name('questions')}/" + "/".join(
                str(replayed[name]) for name in ("partition", "offset")
            )
        after = await ends(on)
        grown = {name for name, end in after.items() if end != before.get(name, 0)}
        assert grown == {
            on.topics.name("control"),
            f"{again(on)}.completions",
            f"{again(on)}.tokens",
        }
