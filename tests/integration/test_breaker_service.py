"""The whole service on a real Kafka: a model that is away is not called, and costs no question."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from penstock.core import facts
from tests.support.kafka import Topics
from tests.support.observing import observe
from tests.support.stage import Stage, sample, stage

FLAGS: dict[str, Any] = {
    # One for what went wrong before it was known; who finds out later must not need another.
    "retry": {"base_ms": 1, "max_attempts": 2},
    "breaker": {"failures": 2, "probe_ms": 200},
}
PROBES = 5


def two_models(on: Stage) -> dict[str, Any]:
    """The program `bad` asks another model than all others do."""
    away = {"name": "openai/away", "api_base": on.models.api_base, "api_key": "none"}
    programs = {
        "good": "question -> answer",
        "bad": {"entry": "question -> answer", "model": "away"},
    }
    return {"models": {"away": away}, "programs": programs, "default_program": "good"}


async def test_a_model_that_is_away_holds_up_nobody_who_asks_another(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True
    bad, good = [f"bad {n}" for n in range(4)], [f"good {n}" for n in range(20)]
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["away"] = lambda *_: "503" if away else "ok"
        async with on.serving("openai/ok", **FLAGS, **two_models(on)) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(bad, program="bad")
            shut = await seen.until(facts.ModelShut)
            await on.models.called(len(bad) + PROBES, "away")
            await talk.ask_all(good)
            answered = await talk.completions(len(good))

            assert (shut.model, shut.cause) == ("away", "failing")
            assert {one.body["question_id"] for one in answered} == set(good)
            assert {one.body["status"] for one in answered} == {"completed"}
            shut_for = 'penstock_model_shut{cause="failing",model="%s"}'
            assert await sample(service, shut_for % "away") == 1
            assert await sample(service, shut_for % "default") == 0
            # Not for those that another model answers.
            assert not seen.of(facts.Pause)
            assert service.ready() is None

            away = False
            assert (await seen.until(facts.ModelOpened)).model == "away"
            ended = {one.body["question_id"]: one.body for one in await talk.completions(24)}
            assert {ended[id_]["status"] for id_ in bad} == {"completed"}
            await talk.to_the_end()
            assert not talk.dead


async def test_where_no_model_is_called_partitions_are_paused_and_no_attempt_is_spent(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        on.models.script["away"] = lambda *_: "503" if away else "ok"
        # A model that no program asks is none that may be called.
        spare = {"name": "openai/ok", "api_base": on.models.api_base, "api_key": "none"}
        serving = on.serving("openai/away", **FLAGS, models={"spare": spare})
        async with serving as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(["a", "b"])
            await seen.until(facts.ModelShut)
            await seen.until(facts.Pause)
            assert service.engine.intake.paused == {0, 1}
            assert await sample(service, "penstock_paused_partitions") == 2
            calls = len(on.models.calls)
            for partition in (0, 1):
                await talk.ask_all([f"later {partition}"], partition=partition)
            await on.models.called(calls + PROBES)
            assert service.ready() is None
            assert service.live() is None
            assert not talk.completed

            away = False
            await seen.until(facts.ModelOpened)
            ended = await talk.completions(4)
            await talk.to_the_end()
            assert {one.body["status"] for one in ended} == {"completed"}
            assert not talk.dead
            assert not service.engine.intake.paused
            # One at a time has found out, so often and not more.
            began = [call.started for call in on.models.calls.latest][calls:][:PROBES]
            probe = FLAGS["breaker"]["probe_ms"] / 1000
            assert all(later - earlier >= probe for earlier, later in pairwise(began))


async def test_an_outage_costs_no_question_either_where_few_are_asked(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = False
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["away"] = lambda *_: "503" if away else "ok"
        async with on.serving("openai/away", retry={"base_ms": 1}) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all([f"before {number}" for number in range(30)])
            await talk.completions(30)
            away = True
            await talk.ask_all(["q"])
            ended = asyncio.create_task(talk.completion("q"))
            shut = asyncio.create_task(seen.until(facts.ModelShut))
            await asyncio.wait({ended, shut}, return_when=asyncio.FIRST_COMPLETED)
            away = False
            assert (await ended)["status"] == "completed"
            await shut


async def test_a_model_is_back_with_the_first_word_of_its_answer(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, held = True, "held?token_ms=1"
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["away"] = lambda *_: "503" if away else held
        async with on.serving("openai/away", **FLAGS) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(["a", "b", "c"])
            await seen.until(facts.ModelShut)
            away = False
            await seen.until(facts.ModelOpened)
            # One has found out, and does not end before it is told to; the others run beside it.
            await on.models.calls.until(lambda: on.models.calls.in_flight == 3)
            on.models.let_end()
            ended = await talk.completions(3)
            assert {one.body["status"] for one in ended} == {"completed"}


async def test_a_model_that_wants_no_calls_gets_none_until_the_time_it_names(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["busy"] = lambda number, _: "429?retry_after=1" if number == 1 else "ok"
        async with on.serving("openai/busy", retry={"base_ms": 1}) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(["a"])
            shut = await seen.until(facts.ModelShut)
            assert shut.cause == "rate_limited"
            assert service.ready() is None
            await talk.ask_all(["b", "c", "d"])
            ended = await talk.completions(4)

            refused, *answered = on.models.calls.latest
            assert refused.ended is not None
            assert min(call.started for call in answered) - refused.ended >= 1.0
            assert len(answered) == 4
            assert {one.body["status"] for one in ended} == {"completed"}
            await talk.to_the_end()
            assert not talk.dead
