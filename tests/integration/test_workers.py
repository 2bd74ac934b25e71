"""`penstock serve --workers` as an operator meets it: real processes, a real Kafka."""

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from penstock.events.sums import Standing, Worker
from penstock.telemetry import metrics
from tests.support.command import member_environment, penstock
from tests.support.kafka import Topics
from tests.support.processes import Running
from tests.support.scraping import Scrape
from tests.support.service import settings_for
from tests.support.stage import stage

MODEL = "openai/moody"
SPEAKS = "held?token_ms=20&tokens=2000"
"""All the time, until it is let end."""

PARTITIONS = 4
HALVES = [2, 2]
ONCE = {
    "penstock_questions_received_total",
    'penstock_questions_ended_total{program="qa",status="completed"}',
    "penstock_attempts_total",
    'penstock_tokens_total{program="qa"}',
    'penstock_queued_seconds_count{program="qa"}',
    'penstock_queued_seconds_bucket{le="+Inf",program="qa"}',
    'penstock_question_duration_seconds_sum{program="qa"}',
    "penstock_slots",
    "penstock_assigned_partitions",
}
"""Series that add up, and stand still when nothing is asked."""


class Lines(list[str]):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def hear(self, line: str) -> None:
        self.append(line)
        self._news.set()

    async def says(self, words: str, times: int) -> None:
        """Until so many lines have these words."""
        while sum(words in line for line in self) < times:
            self._news.clear()
            await self._news.wait()


async def _get(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return await response.text()


async def _workers(running: Running) -> list[Worker]:
    told = await _get(running.address.removesuffix("/metrics") + "/statusz")
    return Standing.model_validate_json(told).workers


async def _settled(running: Running, wanted: list[int]) -> list[Worker]:
    """Until they share so many partitions, each number as often."""
    while True:  # the group decides when
        workers = await _workers(running)
        shares = [len(one.standing.partitions) for one in workers if one.standing is not None]
        if sorted(shares) == wanted:
            return workers
        await asyncio.sleep(0.05)


@pytest.mark.time_limit(120)
async def test_two_workers_are_one_service(bootstrap_servers: str, topics: Topics) -> None:
    for topic in ("tokens", "completions", "dead-letters"):
        topics.create(topic, PARTITIONS)
    lines = Lines()
    async with (
        stage(bootstrap_servers, topics, PARTITIONS) as on,
        on.process(MODEL, WORKERS="2", LOG_FORMAT="json") as running,
    ):
        running.hear(lines.hear)
        async with on.talking() as talk:
            on.models.script["moody"] = lambda *_: "ok"
            quick = [f"q{number}" for number in range(60)]
            workers = await _settled(running, HALVES)
            for partition in range(PARTITIONS):
                await talk.ask_all(quick[partition::PARTITIONS], partition=partition)
            await talk.completions(60)
            await _adds_up(running)

            # One is killed amid its work.
            on.models.script["moody"] = lambda _, request: (
                SPEAKS if request.question.startswith("slow") else "ok"
            )
            slow = [f"slow{number}" for number in range(8)]
            for partition in range(PARTITIONS):
                await talk.ask_all(slow[partition::PARTITIONS], partition=partition)
            await on.models.called(68)
            pid = workers[1].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await on.models.disconnected(4)
            on.models.script["moody"] = lambda *_: "ok"
            on.models.let_end()
            await talk.completions(68)
            after = await _settled(running, HALVES)
            assert [one.restarts for one in after] == [0, 1]
            assert after[1].pid != pid
            assert len(on.models.calls) == 72

            # Whoever signals a whole cgroup, as systemd does, signals each.
            on.models.script["moody"] = lambda *_: SPEAKS
            last = [f"last{number}" for number in range(4)]
            for partition in range(PARTITIONS):
                await talk.ask_all(last[partition::PARTITIONS], partition=partition)
            await on.models.called(76)
            for one in after:
                assert one.pid is not None
                os.kill(one.pid, signal.SIGTERM)
            ends = asyncio.create_task(running.terminate())
            await lines.says("draining: nothing new starts", 2)
            on.models.let_end()
            assert await ends == 0
            await talk.completions(72)
            await talk.to_the_end()
            asked = Counter(record.body["question_id"] for record in talk.completed)
            assert asked == Counter([*quick, *slow, *last])
            assert {record.body["status"] for record in talk.completed} == {"completed"}
            assert len(on.models.calls) == 76
    said = [json.loads(line) for line in lines]
    by = Counter(line["worker"] for line in said if line["event"] == "question ended")
    assert by[0] > 0
    assert by[1] > 0


async def _adds_up(running: Running) -> None:
    # Counted at the next turn of the loop, when the completion has been read.
    text = await _get(running.address)
    served = Scrape(text)
    assert served.kinds == {family.name: family.kind for family in metrics.SERVICE}
    for family in metrics.SERVICE:
        assert served.labels[family.name] <= set(family.labels)
    assert served["penstock_questions_received_total"] == 60
    each = [Scrape(await _get(f"{one.telemetry}/metrics")) for one in await _workers(running)]
    for series in ONCE:
        assert served[series] == pytest.approx(sum(one[series] for one in each)), series
    assert all(one["penstock_questions_received_total"] > 0 for one in each)
    assert served["penstock_kafka_reachable"] == 1


async def test_they_drain_when_their_supervisor_is_killed(
    bootstrap_servers: str, topics: Topics
) -> None:
    for topic in ("tokens", "completions", "dead-letters"):
        topics.create(topic)
    lines = Lines()
    ids = ["one", "two"]
    async with stage(bootstrap_servers, topics) as on, on.talking() as talk:
        on.models.script["moody"] = lambda *_: SPEAKS
        # It ends when the last of them does, for all have its log.
        async with on.process(MODEL, WORKERS="2") as running:
            running.hear(lines.hear)
            workers = await _settled(running, [0, 1])
            try:
                await talk.ask_all(ids)
                await on.models.called(2)
                running.kill()
                await lines.says("the supervisor has died", 2)
                on.models.let_end()
                await lines.says('"event": "stopped"', 2)
            except BaseException:
                for one in workers:
                    if one.pid is not None:
                        os.kill(one.pid, signal.SIGKILL)
                raise
        await talk.completions(2)
        await talk.to_the_end()
    assert Counter(record.body["question_id"] for record in talk.completed) == Counter(ids)
    assert on.models.calls.disconnects == 0
    [idle] = [line for line in lines if "more workers than partitions" in line]
    assert (json.loads(idle)["workers"], json.loads(idle)["partitions"]) == (2, 1)


async def test_what_cannot_be_is_said_once(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    settings = settings_for(bootstrap_servers, topics, "openai/ok", "http://localhost:1")
    env = member_environment(settings) | {"PENSTOCK_PROGRAMS__QA": "nowhere:Program"}
    wrong, gateway = await asyncio.gather(
        penstock("serve", "--workers", "2", env=env, cwd=tmp_path),
        penstock("serve", "--workers", "2", "--gateway", env=env, cwd=tmp_path),
    )
    assert wrong.code == 2
    assert wrong.stderr.count("\n") == 1
    assert wrong.stderr.startswith("penstock: program 'qa': cannot import 'nowhere:Program'")
    assert gateway.code == 2
    assert gateway.stderr == (
        "penstock: setting WORKERS: --gateway serves HTTP in the one process of a service; with "
        "several, leave it out and start `penstock gateway` beside them\n"
    )
