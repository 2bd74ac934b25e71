"""Records that break the rules of Kafka itself, as a client written in C can send them."""

import json

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from tests.support.conversation import serving
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import settings_for
from tests.support.unreadable import NotUTF8, takes_any_name


async def test_a_header_whose_name_is_not_utf8_stops_nobody(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (service, talk),
    ):
        with takes_any_name(monkeypatch):
            await talk.ask({"id": "strange", "question": "?"}, b"a", ((NotUTF8("x"), b"1"),))
        await talk.ask({"id": "next", "question": "?"}, b"b")

        assert (await talk.completion("next", within=3.0))["status"] == "completed"
        assert (await talk.completion("strange"))["question_id"]
        assert service.live() is None


async def test_what_was_read_of_other_partitions_beside_it_is_not_lost(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fetch has moved on past records that nobody was given."""
    partitions, bad = 8, 5
    topics.create("questions", partitions)
    # The parser that other tests have installed would not fail.
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    settings = settings_for(bootstrap_servers, topics, "openai/ok")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        for partition in range(partitions):
            for number in range(5):
                question = {"id": f"{partition}/{number}", "question": "?"}
                await producer.send_and_wait(
                    settings.topics.questions, json.dumps(question).encode(), partition=partition
                )
    finally:
        await producer.stop()
    with takes_any_name(monkeypatch):
        strange = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
        await strange.start()
        await strange.send_and_wait(
            settings.topics.questions,
            b'{"question":"?"}',
            partition=bad,
            headers=[(NotUTF8("x"), b"1")],
        )
        await strange.stop()
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        await talk.completions(partitions * 5 + 1)
        await talk.to_the_end()
        answered = sorted(record.asked for record in talk.completed)
        there = [(p, o) for p in range(partitions) for o in range(5)]
        assert answered == sorted([*there, (bad, 5)])
