"""`penstock status` of two real members: what it shows while they run, leave and die."""

import asyncio
import json
import os
import pty
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock import status as joined
from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.kafka import control, stretch
from penstock.kafka.group_status import looking
from penstock.kafka.security import client_arguments
from penstock.settings import Settings
from penstock.status import State, status
from tests.support.command import PENSTOCK, member_environment, penstock, started
from tests.support.kafka import Topics
from tests.support.service import settings_for
from tests.support.stage import Stage, stage

MODEL = "openai/moody"
ASSIGNED = "partitions assigned"
PATIENCE_S = 30.0
COLUMNS = 100
TOPICS = ("tokens", "completions", "dead-letters", "control")

ANOTHER = (
    (Path("schemas") / "examples" / "member.running.json")
    .read_bytes()
    .replace(b'"group": "penstock"', b'"group": "penstock.replay.7"')
)

Found = dict[str, Any]


class Watching:
    """`penstock status --watch --output json`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, enough: Callable[[Found], bool]) -> Found:
        assert self.process.stdout is not None
        found: Found = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while line := await self.process.stdout.readline():
                    found = json.loads(line)
                    if enough(found):
                        return found
        except TimeoutError:
            raise AssertionError(f"there is only {found}") from None
        raise AssertionError(f"it has ended: {await self.process.communicate()}")


@asynccontextmanager
async def watching(on: Stage) -> AsyncIterator[Watching]:
    own = _environment(on)
    async with started("status", "--watch", "--output", "json", env=own) as process:
        yield Watching(process)


def _settings(on: Stage) -> Settings:
    return settings_for(on.servers, on.topics, MODEL, on.models.api_base)


def _environment(on: Stage) -> dict[str, str]:
    return member_environment(_settings(on))


def _states(found: Found) -> list[str]:
    return [row["state"] for row in found["members"]]


@pytest.mark.time_limit(120)
async def test_it_shows_who_runs_what_leaves_and_dies(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topic in TOPICS:
        topics.create(topic)
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        on.models.script["moody"] = lambda _, asked: "held" if "slow" in asked.question else "ok"
        async with on.process(MODEL) as one, on.talking() as talk:
            await one.says(ASSIGNED)
            async with on.process(MODEL) as two, watching(on) as watch:
                found = await watch.until(
                    lambda found: (
                        all(row["owner"] for row in found["partitions"])
                        and {row["owner"] for row in found["partitions"]}
                        == {row["name"] for row in found["members"] if row["report"]}
                        and len(found["members"]) == 2
                    )
                )
                for number in (0, 1):
                    names = [f"slow {number}", *(f"quick {number}{n}" for n in range(3))]
                    await talk.ask_all(names, partition=number, timeout_ms=60_000)
                await talk.ask("no JSON")
                await talk.completions(7)

                # What is done beyond the commit is no backlog.
                found = await watch.until(
                    lambda found: (
                        (found["totals"]["lag"], found["totals"]["backlog"]) == (9, 2)
                        and found["totals"]["in_flight"] == 2
                        and found["totals"]["questions"]["total"] == 9
                    )
                )
                questions = found["totals"]["questions"]
                ended = {name: questions[name] for name in ("completed", "failed", "errors")}
                assert ended == {"completed": 6, "failed": 1, "errors": 1}
                assert (questions["active"], questions["ran"]) == (2, 6)
                assert questions["average_duration_ms"] > 0
                assert _states(found) == ["up", "up"]
                reports = {row["report"]["pid"]: row for row in found["members"]}
                assert reports.keys() == {one.pid, two.pid}
                for row in reports.values():
                    [owned] = [p for p in found["partitions"] if p["owner"] == row["name"]]
                    assert [owned["partition"]] == row["partitions"]
                    assert row["report"]["partitions"] == row["partitions"]
                    assert row["report"]["group"] == found["group"] == on.operator.group
                    oldest = row["report"]["oldest_running"]
                    assert oldest["question_id"] == f"slow {owned['partition']}"
                    assert (oldest["partition"], oldest["offset"]) == (owned["partition"], 0)
                    assert oldest["seconds"] >= 0
                    assert row["report"]["models"]["default"]["shut"] is None
                assert found["dead_letters"] == {"last_hour": 1, "last_day": 1}
                assert found["pauses"] == []

                await _looks_well_as_text(on, {one.pid, two.pid})

                # What it runs goes on, and is held by the other one.
                ends = asyncio.create_task(one.terminate())
                found = await watch.until(
                    lambda found: (
                        _states(found) == ["up", "draining"] and found["totals"]["elsewhere"] == 1
                    )
                )
                draining = found["members"][1]
                assert draining["report"]["pid"] == one.pid
                assert draining["partitions"] == []
                [held] = [run for row in found["partitions"] for run in row["elsewhere"]]
                assert held["runner"] == draining["name"]
                on.models.let_end()
                assert await ends == 0
                found = await watch.until(lambda found: _states(found) == ["up"])
                assert found["members"][0]["report"]["pid"] == two.pid
                await watch.until(lambda found: found["totals"]["lag"] == 0)

                watch.process.send_signal(signal.SIGINT)
                assert await watch.process.wait() == 130

                two.kill()
                await two.ended()
        await _is_silent(on, monkeypatch)


async def _looks_well_as_text(on: Stage, pids: set[int]) -> None:
    ended = await penstock("status", env=_environment(on))
    assert (ended.code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].startswith(f"group {on.operator.group[:20]}")
    assert "lag 9, backlog 2, waiting 0, running 2/128, elsewhere 0" in lines
    assert sum("1/64" in line and "up" in line for line in lines) == len(pids)


async def _is_silent(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """In less time than an operator has to wait; who lives is never silent for so long."""
    seconds = 6.0
    monkeypatch.setattr(joined, "SILENT_SECONDS", seconds)
    loaded = _settings(on)
    client = client_arguments(on.servers, {})
    async with (
        asyncio.timeout(PATIENCE_S),
        looking(client, loaded.topics, loaded.kafka.group_id, Clock()) as seen,
    ):
        while True:
            [row] = status(await seen.look(), "now").members
            if row.state is State.SILENT:
                break
            assert row.silent_seconds is None
            await asyncio.sleep(0.1)
    assert row.silent_seconds is not None
    assert row.silent_seconds > seconds


async def test_on_a_terminal_it_is_a_live_screen(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving(MODEL):
        mine, its = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            PENSTOCK,
            "status",
            "--watch",
            env={**os.environ, **_environment(on), "TERM": "xterm"},
            stdin=its,
            stdout=its,
            stderr=its,
        )
        os.close(its)
        said = b""
        while b"owner" not in said or b"\x1b[?1049h" not in said:
            said += await asyncio.to_thread(os.read, mine, 4096)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        os.close(mine)


async def test_what_is_not_there_is_one_line_and_exit_code_2(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        missing = await penstock("status", env=_environment(on))
        name = topics.name("dead-letters")
        assert (missing.code, missing.stderr) == (
            2,
            f"penstock: topic {name!r} is missing; start `penstock serve`, which creates it\n",
        )
        async with on.serving(MODEL):
            pass
        said = {"member/another": ANOTHER, "pause/program/qa": b'{"reason": "a bad index"}'}
        await control.say(client_arguments(on.servers, {}), topics.name("control"), said, Clock())
        ended = await penstock("status", "--group", "nobody's", env=_environment(on))
        assert (ended.code, ended.stdout) == (2, "")
        assert ended.stderr.startswith('penstock: group "nobody\'s" does not exist')
        assert "these report here: penstock.replay.7" in ended.stderr
        # A group without members is one: its offsets are there. What others report is not shown.
        ended = await penstock("status", "--output", "json", env=_environment(on))
        found = json.loads(ended.stdout)
        assert (found["state"], found["members"]) == ("Empty", [])
        [pause] = found["pauses"]
        assert (pause["scope"], pause["value"]) == ("program/qa", {"reason": "a bad index"})
        ended = await penstock("status", env=_environment(on))
        assert "paused: program/qa for " in ended.stdout
        assert "reason a bad index" in ended.stdout


async def test_who_watches_goes_on_when_kafka_answers_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving(MODEL):
        loaded, client = _settings(on), client_arguments(on.servers, {})
        async with looking(client, loaded.topics, on.operator.group, Clock()) as seen:
            with monkeypatch.context() as silent:
                silent.setattr(stretch, "ANSWER_SECONDS", 0)
                # No ConfigurationError, which would end it.
                with pytest.raises(KafkaError, match="does not answer"):
                    await seen.look()
            assert len((await seen.look()).seats) == 1
