"""Deadlines of programs in threads, and a program that holds up the event loop, in the service."""

import asyncio
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from penstock import app, assembly
from penstock.app import Service
from penstock.core.question import Phase
from penstock.telemetry import watchdog
from tests.support import thread_programs
from tests.support.conversation import serving
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.model_server import model_server

HERE = "tests.support.thread_programs"
ONE_SLOT: dict[str, Any] = {"pool": {"slots": 1}}


async def _cancelling(service: Service) -> None:
    """Until the deadline of the one question that runs is over."""
    async with asyncio.timeout(10):
        while Phase.CANCELLING not in {q.phase for q in service.engine.questions.values()}:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.005)


async def test_a_slot_is_free_when_the_thread_has_ended_and_not_before(
    bootstrap_servers: str, topics: Topics
) -> None:
    gate = thread_programs.new_gate()
    programs = {"held": f"{HERE}:Held", "good": "question -> answer"}
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(
            bootstrap_servers,
            topics,
            "openai/ok",
            models.api_base,
            programs=programs,
            **ONE_SLOT,
        ) as (service, talk),
    ):
        await talk.ask({"id": "held", "question": "?", "program": "held", "timeout_ms": 200})
        await talk.ask({"id": "next", "question": "?", "program": "good"})
        await gate.reached()
        await _cancelling(service)
        assert service.engine.admission.in_flight == 1
        assert talk.completed == []
        gate.let_pass()

        expired = await talk.completion("held")
        assert (expired["status"], expired["answer"]) == ("expired", None)
        assert (await talk.completion("next"))["status"] == "completed"
        assert models.calls.per_model == {"ok": 1}, "what had expired asked nothing more"


@pytest.mark.parametrize("model", ["ok", "hang-during"])
async def test_an_expired_program_stops_paying(
    bootstrap_servers: str, topics: Topics, model: str
) -> None:
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(
            bootstrap_servers,
            topics,
            f"openai/{model}",
            models.api_base,
            programs={"endless": f"{HERE}:AsksForEver"},
            **ONE_SLOT,
        ) as (service, talk),
    ):
        await talk.ask({"id": "endless", "question": "?", "timeout_ms": 400})
        assert (await talk.completion("endless"))["status"] == "expired"
        await models.idle()
        paid = len(models.calls)
        assert paid >= 1
        assert service.engine.admission.in_flight == 0
        await talk.ask({"id": "again", "question": "?", "timeout_ms": 1})
        await talk.completion("again")

        assert len(models.calls) <= paid + 1
        assert (await talk.ended("endless"))[-1]["status"] == "expired"


@pytest.mark.parametrize("program", ["HeldAtTheEnd", "StubbornAtTheEnd"])
async def test_what_is_given_up_as_it_runs_is_paid_for_and_says_so(
    bootstrap_servers: str, topics: Topics, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, policy_of = thread_programs.new_gate(), assembly.policy
    monkeypatch.setattr(app, "policy", lambda told: replace(policy_of(told), cancel_grace=0.1))
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(
            bootstrap_servers,
            topics,
            "openai/ok",
            models.api_base,
            programs={"good": "question -> answer", "held": f"{HERE}:{program}"},
            default_program="good",
        ) as (service, talk),
    ):
        await talk.ask({"id": "good", "question": "?"})
        paid = (await talk.completion("good"))["usage"]
        await talk.ask({"id": "held", "question": "?", "program": "held"})
        await gate.reached()
        [job] = service.loop.jobs.values()
        await talk.cancel("held")
        given_up = await talk.completion("held")

        assert given_up["status"] == "cancelled"
        assert given_up["usage"] == paid | {"estimated": True}
        gate.let_pass()
        async with asyncio.timeout(10):
            while service.engine.work.abandoned:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        assert job.report.usage.model_dump() == given_up["usage"], "and not twice"


async def test_who_holds_up_the_loop_is_named(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = thread_programs.new_gate()
    heard = hear(monkeypatch, watchdog)
    heard.on_line = lambda line: gate.let_pass() if line.get("programs") == {"greedy": 1} else None
    monkeypatch.setattr(watchdog, "watching", partial(watchdog.watching, look=0.1))
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(
            bootstrap_servers,
            topics,
            "openai/ok",
            models.api_base,
            programs={"greedy": f"{HERE}:Greedy"},
        ) as (_, talk),
    ):
        await talk.ask({"id": "greedy", "question": "secret words"})
        assert (await talk.completion("greedy"))["answer"] == "You said secret words"
        [line] = [one for one in heard.lines if one.get("programs") == {"greedy": 1}]

    assert any("thread_programs.py" in place for place in line["stack"])
    assert "secret" not in str(line)
    assert "penstock-watchdog" not in {thread.name for thread in threading.enumerate()}
