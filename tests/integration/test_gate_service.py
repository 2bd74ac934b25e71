"""The whole service on a real Kafka: too many questions fail for good, and an operator is asked."""

import asyncio
from typing import Any

import orjson
import pytest

from penstock.core import facts
from tests.support.command import environment, member_environment, penstock
from tests.support.kafka import Topics
from tests.support.observing import observe
from tests.support.service import settings_for
from tests.support.stage import Stage, sample, stage

RUN = 3
MODEL = "openai/moody"
FLAGS: dict[str, Any] = {
    "retry": {"answer_attempts": 1},
    "gate": {"run": RUN},
    # In their order, so that it is known who comes after the gate is shut.
    "pool": {"ordering": "partition"},
}
IDS = [f"q{number}" for number in range(6)]
KEPT = IDS[RUN - 1 :]
NEEDS_OPERATOR = 4
PATIENCE_S = 20.0
LONG_AGO = "2020-01-01T00:00:00Z"


async def resumed(on: Stage) -> None:
    settings = settings_for(on.servers, on.topics, MODEL, on.models.api_base)
    ended = await penstock("resume", env=environment(settings))
    assert (ended.code, ended.stdout, ended.stderr) == (0, "asked all replicas to go on\n", "")


async def _is_seen(on: Stage) -> None:
    """Who looks is told why, and what to do. The report comes at once, not in 5 s."""
    settings = settings_for(on.servers, on.topics, MODEL, on.models.api_base)
    said = ""
    async with asyncio.timeout(PATIENCE_S):
        while "gate shut" not in said:
            said = (await penstock("status", env=member_environment(settings))).stdout
    words = " ".join(said.split())
    assert 'gate shut on 1 of 1 member: ANSWER unparsable_answer, "' in words
    assert '" ; see to it, then: penstock resume' in words


async def test_what_is_too_much_is_kept_until_an_operator_has_seen_to_it(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda *_: "unparsable" if broken else "ok"
        async with on.serving(MODEL, **FLAGS) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(IDS)
            await seen.until(facts.GateShut)
            await seen.until(facts.Pause)
            assert await sample(service, "penstock_gate_shut") == 1
            assert [kept.record.offset for kept in seen.of(facts.KeptBack)] == [RUN - 1]
            assert service.ready() is None
            await _is_seen(on)

            broken = False
            await resumed(on)
            await talk.completions(len(IDS))
            await talk.to_the_end()
            status = {one.body["question_id"]: one.body["status"] for one in talk.completed}
            assert len(talk.completed) == len(IDS)
            assert [name for name in IDS if status[name] == "failed"] == IDS[: RUN - 1]
            assert [name for name in IDS if status[name] == "completed"] == KEPT
            assert len(talk.dead) == RUN - 1
            # What was kept has been asked twice; what came after it has waited.
            assert len(on.models.calls) == len(IDS) + 1
            assert await sample(service, "penstock_gate_shut") == 0
        assert (await on.operator.commit()).offset == len(IDS)


async def test_what_is_kept_belongs_to_the_next_process_where_nobody_resumes(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda *_: "unparsable"
        async with on.serving(MODEL, **FLAGS) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(IDS)
            await seen.until(facts.KeptBack)
        assert (await on.operator.commit()).offset == RUN - 1
        on.models.script["moody"] = lambda *_: "ok"
        async with on.serving(MODEL, **FLAGS) as (_, talk):
            await talk.completions(len(IDS))
            await talk.to_the_end()
            completed = [one.body["question_id"] for one in talk.completed[RUN - 1 :]]
            assert completed == KEPT
            assert len(talk.dead) == RUN - 1


async def test_what_may_not_wait_exits_with_a_code_of_its_own(
    bootstrap_servers: str, topics: Topics
) -> None:
    more: dict[str, Any] = {
        "RETRY__ANSWER_ATTEMPTS": "1",
        "GATE__RUN": str(RUN),
        "GATE__ACTION": "exit",
        "POOL__ORDERING": "partition",
    }
    lines: list[str] = []
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda *_: "unparsable"
        for topic in ("tokens", "completions", "dead-letters", "control"):
            topics.create(topic, 1)
        async with on.process(MODEL, **more) as process:
            process.hear(lines.append)
            async with on.talking() as talk:
                await talk.ask_all(IDS)
                assert await process.meanwhile(process.ended(), 20) == NEEDS_OPERATOR
                await talk.to_the_end()
                assert [one.body["status"] for one in talk.completed] == ["failed"] * (RUN - 1)
                assert len(talk.dead) == RUN - 1
        assert (await on.operator.commit()).offset == RUN - 1
        said = list(map(orjson.loads, lines))
        [stopped] = [line for line in said if line["level"] == "error"]
        assert stopped["code"] == "too_many_dead_letters"
        [cause] = [line for line in said if line["event"].startswith("too many questions fail")]
        assert cause["code"] == "unparsable_answer"
        # There is nobody who could.
        assert "resume" not in str(said)

        on.models.script["moody"] = lambda *_: "ok"
        async with on.serving(MODEL, **FLAGS) as (_, talk):
            await talk.completions(len(IDS))
            await talk.to_the_end()
            completed = [one.body["question_id"] for one in talk.completed[RUN - 1 :]]
            assert completed == KEPT
            assert len(talk.dead) == RUN - 1


async def test_what_is_wrong_with_the_questions_themselves_shuts_nothing(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda _, request: (
            "context" if request.question == "long" else "ok"
        )
        async with on.serving(MODEL, **FLAGS) as (service, talk):
            seen = observe(service, monkeypatch)
            for number in range(2 * RUN):
                await talk.ask(b"no question")
                await talk.ask({"id": f"long {number}", "question": "long"})
                await talk.ask({"id": f"late {number}", "question": "?", "expires_at": LONG_AGO})
            await talk.ask({"id": "good", "question": "?"})
            assert (await talk.completion("good"))["status"] == "completed"
            letters = await talk.dead_letters(6 * RUN)
            kinds = {letter.header("penstock-error-kind") for letter in letters}
            assert kinds == {"RECORD", "DEADLINE"}
            assert not seen.of(facts.GateShut)
