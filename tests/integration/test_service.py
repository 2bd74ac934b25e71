"""The whole service on a real Kafka: what comes back, where, and in which order."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from penstock import app
from penstock.assembly import TOKEN_RECORDS
from penstock.core import facts
from tests.support.calls import Call
from tests.support.conversation import serving
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.stage import stage

SLOW = "openai/slow?first_ms=250&token_ms=0"


def asked(models: ModelServer, *questions: str) -> list[Call]:
    """The call of each question."""
    return [
        next(call for call in models.calls.latest if f"\n{question}\n" in call.user_message)
        for question in questions
    ]


def one_at_a_time(calls: list[Call]) -> bool:
    return all(
        earlier.ended is not None and earlier.ended <= later.started
        for earlier, later in pairwise(calls)
    )


def all_at_once(calls: list[Call]) -> bool:
    latest = max(call.started for call in calls)
    return all(call.ended is not None and latest < call.ended for call in calls)


async def _calls(
    bootstrap_servers: str, topics: Topics, ordering: str, keys: dict[str, bytes | None]
) -> list[Call]:
    """The calls of a question per name, asked in one partition and in this order."""
    topics.create("questions", 1)
    pool = {"ordering": ordering}
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, SLOW, models.api_base, pool=pool) as (_, talk),
    ):
        for question, key in keys.items():
            await talk.ask({"question": question}, key)
        await talk.completions(len(keys))
        return asked(models, *keys)


async def test_questions_of_a_key_wait_for_each_other_and_for_no_other_key(
    bootstrap_servers: str, topics: Topics
) -> None:
    keys: dict[str, bytes | None] = {"first": b"a", "second": b"a", "other": b"b"}

    first, second, other = await _calls(bootstrap_servers, topics, "key", keys)

    assert one_at_a_time([first, second])
    assert all_at_once([first, other])


async def test_questions_without_a_key_wait_for_nobody(
    bootstrap_servers: str, topics: Topics
) -> None:
    calls = await _calls(bootstrap_servers, topics, "key", {"first": None, "second": None})

    assert all_at_once(calls)


async def test_questions_of_a_partition_wait_for_each_other(
    bootstrap_servers: str, topics: Topics
) -> None:
    keys: dict[str, bytes | None] = {"first": b"a", "second": b"b", "third": None}

    assert one_at_a_time(await _calls(bootstrap_servers, topics, "partition", keys))


async def test_without_an_order_nothing_waits(bootstrap_servers: str, topics: Topics) -> None:
    keys: dict[str, bytes | None] = {"first": b"a", "second": b"a", "third": None}

    assert all_at_once(await _calls(bootstrap_servers, topics, "none", keys))


async def test_tokens_are_the_answer_piece_by_piece(bootstrap_servers: str, topics: Topics) -> None:
    model = "openai/bench?tokens=40&token_ms=2"
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, model, models.api_base) as (_, talk),
    ):
        await talk.ask({"id": "q", "question": "?"}, b"k")
        completion, events = await talk.completion("q"), await talk.ended("q")
        await talk.to_the_end()

        *tokens, end = events
        assert [event["sequence"] for event in events] == list(range(len(events)))
        assert {event["attempt"] for event in events} == {1}
        assert {event["type"] for event in tokens} == {"token"}
        assert "".join(token["text"] for token in tokens) == completion["answer"]
        # A broker with nothing else to do does not make one event of forty chunks.
        assert len(tokens) > 3
        assert (end["type"], end["status"]) == ("end", "completed")
        assert end["sequence"] == completion["last_sequence"]
        assert talk.said("q") == events
        for record in talk.tokens:
            assert record.key == b"k"
            assert record.header("ce_type") == "dev.penstock.token.v1"
        assert len({record.header("ce_id") for record in talk.tokens}) == len(events)


async def test_who_wants_no_tokens_gets_none(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        await talk.ask({"id": "quiet", "question": "?", "stream": False}, b"k")
        await talk.ask({"id": "aloud", "question": "?"}, b"k")
        quiet = await talk.completion("quiet")
        await talk.ended("aloud")
        await talk.to_the_end()

        assert (quiet["answer"], quiet["last_sequence"]) == ("You said ?", None)
        assert not talk.said("quiet")
        assert quiet["usage"]["completion_tokens"] > 0


async def test_correlation_travels_on(bootstrap_servers: str, topics: Topics) -> None:
    forwarded = (("ce_correlationid", b"7"), ("kafka_correlationId", b"\xff\x01"))
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        await talk.ask({"id": "q", "question": "?"}, None, (*forwarded, ("private", b"1")))
        await talk.ended("q")
        [completion] = await talk.completions(1)

        for record in (completion, *talk.tokens):
            assert record.headers[-2:] == forwarded
            assert "private" not in dict(record.headers)
            # Without a key of its own a question goes by its id.
            assert record.key == b"q"


async def test_metadata_comes_back(bootstrap_servers: str, topics: Topics) -> None:
    metadata = {"tenant": "Zoë", "tags": [1, 2.5, None, {"deep": True}]}
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        await talk.ask({"id": "q", "question": "?", "metadata": metadata})

        assert (await talk.completion("q"))["metadata"] == metadata


async def test_answers_are_where_their_question_was(bootstrap_servers: str, topics: Topics) -> None:
    counts = {"questions": 3, "tokens": 2, "completions": 1, "dead-letters": 4}
    for topic, partitions in counts.items():
        topics.create(topic, partitions)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        for partition in range(3):
            await talk.ask({"id": f"good {partition}", "question": "?"}, None, (), partition)
            await talk.ask({"id": f"bad {partition}"}, None, (), partition)
        completions, letters = await talk.completions(6), await talk.dead_letters(3)
        for partition in range(3):
            await talk.ended(f"good {partition}")

        assert {r.partition for r in completions} == {0}
        assert sorted(r.partition for r in letters) == [0, 1, 2]
        for record in talk.tokens:
            assert record.partition == int(record.body["question_id"].split()[1]) % 2


async def test_an_answer_too_large_for_its_topic_fails_without_its_outputs(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    topics.create("completions", 1, {"max.message.bytes": "32768"})
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/bench?tokens=8000", models.api_base) as (
            _,
            talk,
        ),
    ):
        await talk.ask({"id": "large", "question": "?"}, b"k")
        large = await talk.completion("large")
        events, letters = await talk.ended("large"), await talk.dead_letters(1)

        assert large["status"] == events[-1]["status"] == "failed"
        assert large["error"]["code"] == "answer_too_large"
        assert (large["answer"], large["outputs"]) == (None, None)
        assert large["usage"]["completion_tokens"] > 8_000
        assert letters[0].header("penstock-error-code") == "answer_too_large"


async def test_what_comes_back_with_an_answer_counts_towards_its_size(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    topics.create("completions", 1, {"max.message.bytes": "65536"})
    model, metadata = "openai/bench?tokens=4500", {"a": "x" * 8_000}
    headers = (("ce_correlationid", b"c" * 8_000),)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, model, models.api_base) as (_, talk),
    ):
        body = {"id": "large", "question": "?", "metadata": metadata, "stream": False}
        await talk.ask(body, b"k" * 8_000, headers)
        large = await talk.completion("large")

        assert large["status"] == ("failed" if large["outputs"] is None else "completed")
        assert large["error"]["code"] == "answer_too_large"


async def test_a_full_partition_is_paused_and_goes_on_without_loss(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create("questions", 1)
    paused, resumed = asyncio.Event(), asyncio.Event()
    ids = [f"q{number}" for number in range(250)]
    flags: dict[str, Any] = {
        "intake": {"high": 10, "low": 2},
        "pool": {"slots": 4, "ordering": "partition"},
    }
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base, **flags) as (
            service,
            talk,
        ),
    ):
        held: list[int] = []
        _signal(service, paused, resumed, held, monkeypatch)
        await talk.ask_all(ids)
        await paused.wait()
        await resumed.wait()
        completions = await talk.completions(len(ids))
        await talk.to_the_end()

        # In order, each once: what the pause threw away was fetched again, and only once.
        assert [c.body["question_id"] for c in completions] == ids
        assert len(models.calls) == len(ids)
        # The high mark, and the one batch that was on its way.
        assert max(held) <= 10 + 100


def _signal(
    service: app.Service,
    paused: asyncio.Event,
    resumed: asyncio.Event,
    held: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observe = service.loop._observe

    def observed(fact: facts.Event | facts.Command, job: Any) -> None:
        observe(fact, job)
        held.append(len(service.engine.questions))
        if isinstance(fact, facts.Pause):
            paused.set()
        elif isinstance(fact, facts.Resume):
            resumed.set()

    monkeypatch.setattr(service.loop, "_observe", observed)


async def test_the_more_speak_the_longer_each_waits_between_two_records(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda *_: "held"
        for least, expected in ((0, 4 / TOKEN_RECORDS), (100, 0.1)):
            tokens = {"min_interval_ms": least}
            async with on.serving("openai/moody", tokens=tokens) as (service, talk):
                calls = len(on.models.calls)
                await talk.ask_all([f"{least}-{number}" for number in range(4)])
                await on.models.called(calls + 4)
                intervals = {job.stream._interval() for job in service.loop.jobs.values()}
                assert intervals == {expected}
                on.models.let_end()
                await talk.completions(4)
