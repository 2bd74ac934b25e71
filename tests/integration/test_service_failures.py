"""The whole service on a real Kafka: models that misbehave, and questions that run out of time."""

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import TopicAuthorizationFailedError

from penstock import app
from penstock.core import facts
from penstock.core.failure import Failure, Kind
from penstock.errors import KafkaError
from penstock.local.prompt import ChatRequest
from tests.support.conversation import serving
from tests.support.kafka import Topics
from tests.support.model_server import Script, model_server
from tests.support.observing import observe
from tests.support.stage import stage

PATIENCE_S = 15.0

FAULTS = {
    "500": ("UPSTREAM", "model_error"),
    "503": ("UPSTREAM", "model_error"),
    "cut": ("UPSTREAM", "connection_lost"),
    "error-frame": ("UPSTREAM", "model_error"),
    "unparsable": ("ANSWER", "unparsable_answer"),
    "context": ("RECORD", "context_window_exceeded"),
    "400": ("RECORD", "invalid_request"),
}


async def test_every_fault_of_a_model_has_a_kind_and_a_code(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with model_server() as models:
        common = {"api_base": models.api_base, "api_key": "none"}
        flags = {
            "retry": {"max_attempts": 1, "answer_attempts": 1},
            # Of these models, one question is all that is known.
            "breaker": {"failures": 2},
            "models": {f"m{n}": {"name": f"openai/{m}", **common} for n, m in enumerate(FAULTS)},
            "programs": {
                "good": "question -> answer",
                **{
                    model: {"entry": "question -> answer", "model": f"m{n}"}
                    for n, model in enumerate(FAULTS)
                },
            },
        }
        serve = serving(bootstrap_servers, topics, "openai/ok", models.api_base, **flags)
        async with serve as (_, talk):
            for model in FAULTS:
                await talk.ask({"id": model, "question": "?", "program": model}, b"k")
                await talk.ask({"id": f"after {model}", "question": "?"}, b"k")
            completions = await talk.completions(2 * len(FAULTS))
            letters = await talk.dead_letters(len(FAULTS))
            bodies = {record.body["question_id"]: record.body for record in completions}
            for model in FAULTS:
                await talk.ended(model)
            await talk.to_the_end()

            found = {
                model: (bodies[model]["error"]["kind"], bodies[model]["error"]["code"])
                for model in FAULTS
            }
            assert found == FAULTS
            assert len(letters) == len(FAULTS) == len(talk.dead)
            for model, letter in zip(FAULTS, letters, strict=True):
                assert bodies[model]["status"] == "failed"
                assert bodies[model]["attempts"] == 1
                assert talk.said(model)[-1]["status"] == "failed"
                assert bodies[f"after {model}"]["status"] == "completed"
                assert letter.header("penstock-error-kind") == FAULTS[model][0]
                assert letter.header("penstock-error-stage") == "running"
                assert int(letter.header("__dlq.errors.delivery.count")) == 1
                # The text of a question or an answer is nobody's business but its reader's.
                assert "fill in a form" not in letter.header("__dlq.errors.message")


async def test_a_bad_key_stops_the_service_and_costs_no_question(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create("questions", 1)
    ids = ["first", "second", "third"]

    async with model_server() as models:
        models.script["expiring"] = lambda count, _: "ok" if count == 1 else "401"
        serve = serving(bootstrap_servers, topics, "openai/expiring", models.api_base)
        async with serve as (service, talk):
            stopped = _stops(service, monkeypatch)
            await talk.ask_all(ids, key=b"k")
            failure = await stopped

            assert failure is not None
            assert (failure.kind, failure.code) == (Kind.OPERATOR, "model_auth")
            assert "401" in failure.message
            assert len(models.calls) == 2

        serve = serving(bootstrap_servers, topics, "openai/ok", models.api_base)
        async with serve as (_, talk):
            # As the first service left it, for the second has done nothing yet.
            assert await talk.committed() == {0: 1}
            completions = await talk.completions(3)
            await talk.to_the_end()

            assert [c.body["question_id"] for c in completions] == ids
            assert {c.body["status"] for c in completions} == {"completed"}
            assert not talk.dead


async def test_one_that_must_not_read_what_is_cancelled_any_more_ends_what_runs_and_then_itself(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = asyncio.Event()
    getmany = AIOKafkaConsumer.getmany

    async def reads(consumer: AIOKafkaConsumer, *arguments: Any, **how: Any) -> Any:
        control = topics.name("control")
        if forbidden.is_set() and control in {place.topic for place in consumer.assignment()}:
            raise TopicAuthorizationFailedError(control)
        return await getmany(consumer, *arguments, **how)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", reads)
    with pytest.raises(KafkaError, match=r"control' lacks the right Read"):  # noqa: PT012 - its end raises
        async with stage(bootstrap_servers, topics) as on:
            on.models.script["moody"] = lambda *_: "held"
            async with on.serving("openai/moody") as (service, talk):
                seen = observe(service, monkeypatch)
                await talk.ask_all(["q"])
                await on.models.called(1)
                forbidden.set()
                await seen.until(facts.Draining)
                on.models.let_end()
                assert (await talk.completion("q"))["status"] == "completed"
                assert len(on.models.calls) == 1


def _stops(service: app.Service, monkeypatch: pytest.MonkeyPatch) -> asyncio.Future[Failure | None]:
    stopped = asyncio.get_running_loop().create_future()
    observe = service.loop._observe

    def observed(fact: facts.Event | facts.Command, job: Any) -> None:
        observe(fact, job)
        if isinstance(fact, facts.Stop):
            stopped.set_result(fact.failure)

    monkeypatch.setattr(service.loop, "_observe", observed)
    return stopped


def _by_question(**behaviours: str) -> Script:
    """What the model does with the question of that name; all others it answers."""

    def behave(_: int, request: ChatRequest) -> str:
        return behaviours.get(request.question, "ok")

    return behave


async def test_a_running_question_expires_and_its_connection_is_closed(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    async with model_server() as models:
        models.script["moody"] = _by_question(silent="hang-before", broken="hang-during")
        serve = serving(bootstrap_servers, topics, "openai/moody", models.api_base)
        async with serve as (_, talk):
            for question in ("silent", "broken"):
                await talk.ask_all([question], key=question.encode(), timeout_ms=500)
                await talk.ask_all([f"after {question}"], key=question.encode())
            await models.disconnected(2)
            ends = {id_: await talk.completion(id_) for id_ in ("silent", "broken")}
            events = {id_: await talk.ended(id_) for id_ in ends}
            letters = await talk.dead_letters(2)

            for id_, completion in ends.items():
                assert (completion["status"], completion["attempts"]) == ("expired", 1)
                assert completion["error"]["kind"] == "DEADLINE"
                assert completion["outputs"] is None
                assert completion["usage"]["estimated"]
                assert completion["timing"]["duration_ms"] < 2_000
                assert events[id_][-1]["status"] == "expired"
                assert (await talk.completion(f"after {id_}"))["status"] == "completed"
            # What was said before the end is kept, and the end comes after it.
            assert [event["type"] for event in events["silent"]] == ["end"]
            assert events["broken"][0]["type"] == "token"
            assert {x.header("penstock-error-stage") for x in letters} == {"running"}


async def test_a_question_that_expires_while_it_waits_is_not_asked(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    async with model_server() as models:
        models.script["moody"] = _by_question(busy="slow?first_ms=800&token_ms=0")
        serve = serving(
            bootstrap_servers, topics, "openai/moody", models.api_base, pool={"slots": 1}
        )
        async with serve as (_, talk):
            await talk.ask_all(["busy"], key=b"a")
            await models.called(1)
            # One waits for its key, the other for the only slot.
            await talk.ask_all(["same key"], key=b"a", timeout_ms=200)
            await talk.ask_all(["other key"], key=b"b", timeout_ms=200)
            waiting = [await talk.completion(id_) for id_ in ("same key", "other key")]
            [letter, _] = await talk.dead_letters(2)

            assert models.calls.in_flight == 1
            for completion in waiting:
                assert (completion["status"], completion["attempts"]) == ("expired", 0)
                assert completion["timing"]["duration_ms"] is None
            assert letter.header("penstock-error-stage") == "waiting"
            assert (await talk.completion("busy"))["status"] == "completed"
            assert len(models.calls) == 1


async def test_without_a_deadline_the_budget_counts_from_the_first_start(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    async with model_server() as models:
        models.script["moody"] = _by_question(silent="hang-before")
        serve = serving(
            bootstrap_servers, topics, "openai/moody", models.api_base, deadline={"default_ms": 300}
        )
        async with serve as (_, talk):
            # Asked an hour ago, and yet not too late.
            an_hour_ago = int((time.time() - 3_600) * 1_000)
            for id_ in ("old", "silent"):
                await talk.ask({"id": id_, "question": id_}, timestamp_ms=an_hour_ago)
            old, silent = await talk.completion("old"), await talk.completion("silent")

            assert (old["status"], silent["status"]) == ("completed", "expired")
            assert old["timing"]["queued_ms"] >= 3_600_000
            assert 250 <= silent["timing"]["duration_ms"] < 2_000
