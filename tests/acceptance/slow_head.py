"""One slow question at the head of a partition: it holds up nobody, and only it is asked again."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from tests.acceptance.outcome import Outcome
from tests.support.processes import Running, calls, cpu_seconds, models, service
from tests.support.traffic import Event, World, asking, everything, reading, world

PACES = {"first_token_ms": 20, "token_ms": 2, "tokens": 8}
WORDS = 100
"""Of the slow answer, which comes word by word."""
NEARLY = 0.9
"""Of them are there when the process dies."""
TIMEOUT_MS = 590_000
AS_FAST = 0.8
"""As without the slow one at least."""
CPU = 1.2
"""Times what a question costs without it at most."""
LOOK_SECONDS = 0.2
METADATA_BYTES = 4_096


async def slow_head(
    servers: str, *, questions: int = 20_000, slow_seconds: float = 120, slots: int = 64
) -> Outcome:
    """All in one partition, without an order: first without the slow one, for comparison."""
    outcome = Outcome()
    ids = [f"q{number}" for number in range(questions)]
    alone, cpu_alone = await _alone(servers, ids, slots)
    # The others must be done before it nearly is.
    slow_seconds = max(slow_seconds, min(500, 10 + 1.4 * questions / alone))
    async with (
        world(servers, "slow-head", partitions=1) as kafka,
        models(**PACES) as provider,
        models(first_token_ms=20) as slow_provider,
        reading(kafka, "completions") as completions,
    ):
        async with asking(kafka) as asker:
            await asker.ask("slow", program="slow", timeout_ms=TIMEOUT_MS)
            await asker.ask_all(ids)
        settings = _settings(slots, slow_provider, slow_seconds)
        async with (
            service(kafka, provider, settings) as first,
            _watching_commits(kafka) as commits,
        ):
            started = cpu_seconds(first.pid)
            await first.meanwhile(completions.until(questions), 60 + slow_seconds)
            cpu_beside = _per_question(cpu_seconds(first.pid) - started, questions)
            await first.meanwhile(_nearly_told(slow_provider), 60 + slow_seconds)
            first.kill()
            assert await first.ended() == -signal.SIGKILL
        last = commits[-1]
        async with service(kafka, provider, _settings(slots, slow_provider, 0.1)) as second:
            await second.meanwhile(completions.until(questions + 1), 120)
            code = await second.terminate()
        again = (await calls(provider, last=0))["count"] - questions
        slow_again = (await calls(slow_provider, last=0))["count"] - 1
        ended = await everything(kafka, "completions")
    beside = _rate([event for event in ended if event.question_id != "slow"])
    most = max(len(commit.metadata.encode()) for commit in commits)
    outcome.figures |= {
        "questions_behind": questions,
        "slow_seconds": round(slow_seconds),
        "questions_per_second_alone": round(alone, 1),
        "questions_per_second_beside": round(beside, 1),
        "cpu_ms_alone": cpu_alone,
        "cpu_ms_beside": cpu_beside,
        "metadata_bytes_most": most,
        "committed_at_the_kill": last.offset,
        "slow_calls_again": slow_again,
        "other_calls_again": again,
    }
    outcome.bound(f"{AS_FAST:.0%} as fast as alone", kept=beside >= AS_FAST * alone)
    outcome.bound(f"{CPU:.0%} of the work at most", kept=cpu_beside <= CPU * cpu_alone)
    outcome.promise(f"{METADATA_BYTES} bytes of metadata", kept=most <= METADATA_BYTES)
    outcome.promise("the slow one holds back the commit", kept=last.offset == 0)
    outcome.promise(f"the slow one is asked again once, not {slow_again}", kept=slow_again == 1)
    outcome.promise(f"no other is asked again: {again} are", kept=again == 0)
    outcome.promise("all are completed", kept=all(e.body["status"] == "completed" for e in ended))
    outcome.each_once(["slow", *ids], (event.question_id for event in ended))
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)
    return outcome


async def _alone(servers: str, ids: list[str], slots: int) -> tuple[float, float]:
    """Questions per second without the slow one, and the milliseconds of a processor for each."""
    async with (
        world(servers, "no-slow-head", partitions=1) as kafka,
        models(**PACES) as provider,
        reading(kafka, "completions") as completions,
    ):
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        settings = {"POOL__SLOTS": slots, "POOL__ORDERING": "none"}
        async with service(kafka, provider, settings) as running:
            started = cpu_seconds(running.pid)
            await running.meanwhile(completions.until(len(ids)), 60 + len(ids) / 20)
            cpu = _per_question(cpu_seconds(running.pid) - started, len(ids))
            await running.terminate()
        return _rate(await everything(kafka, "completions")), cpu


def _settings(slots: int, slow: Running, seconds: float) -> Mapping[str, Any]:
    pace = f"tokens={WORDS}&token_ms={seconds * 1000 / WORDS:.0f}"
    return {
        "POOL__SLOTS": slots,
        "POOL__ORDERING": "none",
        "PROGRAMS__QA__ENTRY": "question -> answer",
        "PROGRAMS__SLOW__ENTRY": "question -> answer",
        "PROGRAMS__SLOW__MODEL": "slow",
        "DEFAULT_PROGRAM": "qa",
        "MODELS__SLOW__NAME": f"openai/ok?text=drop&{pace}",
        "MODELS__SLOW__API_BASE": slow.address,
        "MODELS__SLOW__API_KEY": "none",
    }


def _per_question(seconds: float, questions: int) -> float:
    return round(seconds * 1000 / questions, 2)


def _rate(ended: list[Event]) -> float:
    """From the first completion to the last."""
    times = [event.timestamp for event in ended]
    return (len(times) - 1) * 1000 / (max(times) - min(times))


async def _nearly_told(slow: Running) -> None:
    while (await calls(slow, last=1))["calls"][0]["chunks"] < NEARLY * WORDS:  # noqa: ASYNC110 # its state
        await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def _watching_commits(kafka: World) -> AsyncIterator[list[OffsetAndMetadata]]:
    """What the group has of the partition, looked at again and again."""
    seen: list[OffsetAndMetadata] = []
    place = TopicPartition(kafka.topics["questions"], 0)

    async def look(connection: AIOKafkaAdminClient) -> None:
        while True:
            found = await connection.list_consumer_group_offsets(kafka.group, partitions=[place])
            seen.append(found[place])
            await asyncio.sleep(LOOK_SECONDS)

    async with admin(client_arguments(kafka.servers, {})) as connection:
        looking = asyncio.create_task(look(connection))
        try:
            yield seen
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
