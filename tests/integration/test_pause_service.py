"""The whole service on a real Kafka: an operator pauses it, and lets it go on."""

import asyncio
from typing import Any

import pytest

from penstock import app
from penstock.cli import pausing
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.halts import EVERYTHING, Scope
from penstock.errors import ConfigurationError
from penstock.events.control import PAUSE
from penstock.kafka import log_ends
from penstock.kafka.pauses import standing
from penstock.kafka.security import client_arguments
from penstock.telemetry import journal
from tests.support.command import Ended, environment, penstock
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.kafka_tools import kafka_tool
from tests.support.observing import Seen, observe
from tests.support.service import settings_for
from tests.support.stage import Stage, backlog, sample, stage

MODEL = "openai/moody"
SLOTS = {"pool": {"slots": 1}}
PATIENCE_S = 20.0


def those_that_run(_: int, request: Any) -> str:
    return "held" if request.question.startswith("runs") else "ok"


async def operate(on: Stage, *words: str) -> Ended:
    settings = settings_for(on.servers, on.topics, MODEL, on.models.api_base)
    return await penstock(*words, env=environment(settings))


async def says(on: Stage, *words: str) -> list[str]:
    """The lines of a command that succeeds."""
    ended = await operate(on, *words)
    assert (ended.code, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def started(seen: Seen) -> list[tuple[int, int]]:
    return [(one.record.partition, one.record.offset) for one in seen.of(facts.Start)]


async def shared(*members: app.Service) -> None:
    """Until each has one of two partitions. Polled, as it is the group coordinator who decides."""
    async with asyncio.timeout(PATIENCE_S):
        while not all(_open(member) == 1 for member in members):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _open(member: app.Service) -> int:
    return sum(partition.open for partition in member.engine.partitions.values())


async def test_all_members_stand_still_and_so_does_one_that_starts_later(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, journal)
    monkeypatch.setattr(log_ends, "EVERY", 0.05)
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        on.models.script["moody"] = those_that_run
        async with on.serving(MODEL, **SLOTS) as (first, talk):
            seen = observe(first, monkeypatch)
            async with on.member(MODEL, **SLOTS) as second:
                others = observe(second, monkeypatch)
                await shared(first, second)
                for partition in (0, 1):
                    names = [f"{what} {partition}" for what in ("runs", "waits")]
                    await talk.ask_all(names, partition=partition)
                for one in (seen, others):
                    await one.until(facts.Fetched, 2)
                await on.models.called(2)

                said = await says(on, "pause", "--reason", "the provider moves")
                assert said == ["asked all replicas to pause all"]
                for one in (seen, others):
                    halted = await one.until(facts.Halted)
                    assert halted == facts.Halted(EVERYTHING, "the provider moves")
                    await one.until(facts.Pause)
                on.models.let_end()
                for one in (seen, others):
                    await one.until(facts.Published)
                    await one.until(facts.Committed)
                for partition in (0, 1):
                    ended = await talk.completion(f"runs {partition}")
                    assert ended["status"] == "completed"
                # It is a decision, and no failure.
                assert first.ready() is first.live() is None
                assert await sample(first, 'penstock_paused{scope="all"}') == 1
                assert await sample(first, "penstock_paused_partitions") == 1
            await talk.ask_all(["later 0"], partition=0)

            async with on.member(MODEL, **SLOTS) as third:
                others = observe(third, monkeypatch)
                await shared(first, third)
                await others.until(facts.Committed)
                assert third.engine.board.halts.scopes == {EVERYTHING}
                assert third.engine.intake.paused == third.engine.partitions.keys()
                assert not others.of(facts.Resume)
                assert not others.of(facts.Start)
                assert len(started(seen)) == 1
                assert len(on.models.calls) == 2
                # Nothing of it was fetched in this assignment.
                await backlog_becomes(3, first, third)

                assert await says(on, "resume") == ["asked all replicas to go on"]
                for name in ("waits 0", "waits 1", "later 0"):
                    assert (await talk.completion(name))["status"] == "completed"
                assert len(on.models.calls) == 5
                assert await sample(third, "penstock_paused_partitions") == 0
                await backlog_becomes(0, first, third)
    paused = heard.said("paused by an operator")
    assert [(one["scope"], one["reason"]) for one in paused] == [("all", "the provider moves")] * 3
    assert len(heard.said("an operator has taken back a pause")) == 2


async def backlog_becomes(wanted: int, *services: app.Service) -> None:
    """Polled, as where the log of a paused partition ends is asked for now and then."""
    async with asyncio.timeout(10):
        while sum([await backlog(one) for one in services]) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_one_program_or_one_partition_stands_still_and_the_others_go_on(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {"qa": "question -> answer", "short": "question -> answer"}
    flags: dict[str, Any] = {"programs": programs, "default_program": "qa"}
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        on.models.script["moody"] = those_that_run
        async with on.serving(MODEL, **flags) as (service, talk):
            seen = observe(service, monkeypatch)
            said = await says(on, "pause", "--program", "qa", "--program", "nobody")
            assert said == [
                f"asked all replicas to pause program/{name}" for name in ("qa", "nobody")
            ]
            await seen.until(facts.Halted, 2)
            await talk.ask_all(["first", "second"], key=b"a")
            await talk.ask_all(["third"], key=b"b")
            await talk.ask_all(["short"], key=b"c", program="short")
            await talk.ask_all(["behind"], key=b"b", program="short")
            assert (await talk.completion("short"))["program"]["name"] == "short"
            await seen.until(facts.Committed)
            assert started(seen) == [(0, 3)]
            assert not seen.of(facts.Pause)

            await says(on, "pause", "--partition", "1", "--reason", "a\x1b[31m tenant\n")
            assert await seen.until(facts.Pause) == facts.Pause(frozenset({1}))
            await talk.ask_all(["there"], partition=1)
            assert await says(on, "resume", "--program", "qa") == [
                "asked all replicas to go on with program/qa",
                "still paused: program/nobody",
                "still paused: partition/1: a[31m tenant",
            ]
            for name in ("first", "second", "third", "behind"):
                assert (await talk.completion(name))["status"] == "completed"
            # `resume` alone takes back what `pause` alone has said, and no more.
            assert len(await says(on, "resume")) == 3
            await seen.until(facts.GateOpened)
            await talk.to_the_end()
            assert not [one for one in talk.completed if one.partition == 1]
            assert service.engine.board.halts.scopes == {
                Scope(partition=1),
                Scope(program="nobody"),
            }

            await says(on, "resume", "--program", "nobody")
            assert await says(on, "resume", "--partition", "1") == [
                "asked all replicas to go on with partition/1"
            ]
            # Once more, and one that is not there.
            assert await says(on, "resume", "--partition", "1", "--partition", "7") == [
                "partition/1 was not paused",
                "partition/7 was not paused",
            ]
            assert (await talk.completion("there"))["status"] == "completed"
            await talk.to_the_end()
            assert len(talk.completed) == 6
            assert not talk.dead


async def test_it_can_be_asked_by_kafkas_own_tools(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving(MODEL) as (service, talk):
        on.models.script["moody"] = those_that_run
        seen = observe(service, monkeypatch)
        ended = await kafka_tool(
            "kafka-console-producer",
            *("--bootstrap-server", on.servers, "--topic", talk.topics.control),
            *("--reader-property", "parse.key=true", "--reader-property", "null.marker=-"),
            stdin=f'{PAUSE}partition/0\t{{"reason": "by hand"}}\n{PAUSE}partition/0\t-\n',
        )
        assert ended.code == 0, ended.stderr
        scope = Scope(partition=0)
        assert await seen.until(facts.Halted) == facts.Halted(scope, "by hand")
        assert await seen.until(facts.HaltLifted) == facts.HaltLifted(scope)


NONE = [
    ([0], ["qa"], "say one after the other"),
    (None, [""], "name a program of the service"),
]


@pytest.mark.parametrize(("partitions", "programs", "why"), NONE)
def test_what_is_no_scope_is_refused(
    partitions: list[int] | None, programs: list[str], why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        pausing.scopes(partitions, programs)


async def test_a_partition_that_is_not_there_is_not_paused(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 2)
    control = topics.create("control", 1)
    env = environment(settings_for(bootstrap_servers, topics, MODEL))
    ended = await penstock("pause", "--partition", "1", "--partition", "2", env=env)
    why = f"--partition 2: topic {topics.name('questions')!r} has the partitions 0 to 1"
    assert (ended.code, ended.stdout, ended.stderr) == (2, "", f"penstock: {why}\n")
    assert not await standing(client_arguments(bootstrap_servers, {}), control, Clock())
