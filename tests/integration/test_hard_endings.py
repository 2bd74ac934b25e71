"""Endings nobody wishes for: each is told, and none holds up anybody else."""

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from penstock.local.broker import broker
from penstock.program.stream import TokenStream
from tests.support.conversation import serving
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import running_service

MIB = 1024 * 1024


async def _ask(bootstrap_servers: str, topic: str, value: bytes, **options: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, **options)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def test_a_record_too_large_for_the_dead_letters_is_told_and_passed(
    bootstrap_servers: str, topics: Topics
) -> None:
    """Limits are for what is on the wire: compressed, a record may hold more than its topic's."""
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        huge = json.dumps({"id": "huge", "question": "?" * 3 * MIB}).encode()
        questions = talk.topics.questions
        await _ask(
            bootstrap_servers, questions, huge, compression_type="gzip", max_request_size=8 * MIB
        )
        await talk.ask({"id": "next", "question": "?"})

        failed = await talk.completion(f"{questions}/0/0")
        assert failed["error"]["code"] == "value_too_large"
        assert failed["dead_letter"] is None
        assert (await talk.completion("next"))["status"] == "completed"
        assert talk.dead == []


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("programs:Panics", "unexpected_error"),
        ("thread_programs:Quits", "unexpected_error"),
        ("programs:CancelsItself", "program_cancelled"),
        ("programs:Leaks", "program_error"),
    ],
)
async def test_a_program_that_ends_badly_has_failed_and_frees_its_slot(
    bootstrap_servers: str, topics: Topics, program: str, code: str
) -> None:
    topics.create("questions", 1)
    programs = {"bad": f"tests.support.{program}", "good": "question -> answer"}
    async with (
        model_server() as models,
        serving(
            bootstrap_servers,
            topics,
            "openai/ok",
            models.api_base,
            programs=programs,
            pool={"slots": 1},
        ) as (service, talk),
    ):
        await talk.ask({"id": "bad", "question": "secret words", "program": "bad"})
        await talk.ask({"id": "good", "question": "?", "program": "good"})
        failed = await talk.completion("bad")
        assert (failed["status"], failed["error"]["code"]) == ("failed", code)
        assert "secret" not in json.dumps(failed["error"])
        assert (await talk.completion("good"))["status"] == "completed"
        assert service.engine.admission.in_flight == 0


async def test_a_program_that_swallows_its_cancellation_expires_all_the_same(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    programs = {"bad": "tests.support.programs:Stubborn"}
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base, programs=programs) as (
            _,
            talk,
        ),
    ):
        await talk.ask({"id": "late", "question": "?", "timeout_ms": 100})
        assert (await talk.completion("late"))["status"] in {"expired", "completed"}


async def test_a_refused_end_of_the_stream_sends_no_second_completion(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [RuntimeError("not authorised"), RuntimeError("not authorised")]
    end = TokenStream.end

    async def refused(stream: TokenStream, status: str) -> "asyncio.Future[None]":
        acknowledged = await end(stream, status)
        if not refusals:
            return acknowledged
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.set_exception(refusals.pop())
        return answer

    monkeypatch.setattr(TokenStream, "end", refused)
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        await talk.ask({"id": "first", "question": "?"})
        assert (await talk.completion("first"))["status"] == "completed"
        await talk.ask({"id": "second", "question": "?"})
        await talk.completion("second")
        assert [record.body["question_id"] for record in talk.completed] == ["first", "second"]


@pytest.mark.time_limit(90)
async def test_a_drain_ends_although_kafka_is_away(topics: Topics) -> None:
    async with broker() as kafka, model_server() as models:
        service = running_service(
            kafka.bootstrap_servers,
            topics,
            "openai/slow?first_ms=400&token_ms=0",
            models.api_base,
            drain_ms=1_000,
        )
        async with asyncio.timeout(30):
            async with service as running:
                assert running.ready() is None
                await _ask(kafka.bootstrap_servers, topics.name("questions"), b'{"question":"?"}')
                await models.called(1)
                await kafka.nodes[0].kill()
                while running.ready() is None:  # noqa: ASYNC110 (a probe is there to be polled)
                    await asyncio.sleep(0.05)
                assert running.ready() == "Kafka does not answer"
                assert running.live() is None
        # Its topics went with it; there is nothing to delete where the session's Kafka is.
        topics.created.clear()
