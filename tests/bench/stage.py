"""A program with all it needs, warm; and the one way in which every program is measured.

async with stage(servers, subject, load) as here:
    figures = await saturated(here)
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from penstock.kafka import describe
from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from tests.bench.figures import Figures, middle_and_tail, per_second
from tests.bench.load import Load
from tests.bench.result import say
from tests.bench.subjects import Subject
from tests.support.processes import Running, calls, cpu_seconds, models, resident_mb
from tests.support.traffic import Asker, Event, Reader, World, asking, reading, world

PATIENCE_SECONDS = 120
TIMES_THE_LIMIT = 15
"""As long as the model's limit allows may a program take."""
ROUNDS = 3
"""Questions in every slot at least: those of the first and of the last do not count."""
DONE = "completed"
LOOK_SECONDS = 0.05
FIRST_TOKENS = 1_000
"""So many questions are looked at for it, the last ones."""


@dataclass(frozen=True)
class Stage:
    subject: Subject
    load: Load
    kafka: World
    provider: Running
    members: list[Running]
    asker: Asker
    completions: Reader
    tokens: Reader

    @property
    def patience(self) -> float:
        """Seconds, for all questions of the load."""
        return PATIENCE_SECONDS + TIMES_THE_LIMIT * self.load.questions / self.load.limit

    def say(self, what: str) -> None:
        say(f"{self.subject.name}: {what}")

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(member.pid) for member in self.members)

    def resident_mb(self, *, peak: bool = False) -> float:
        """Of all processes."""
        return sum(resident_mb(member.pid, peak=peak) for member in self.members)

    async def first_words(self, *ids: str) -> list[Event]:
        """Of the answer to each of these questions the record with its first word."""
        first = self.subject.first_word
        return await self.tokens.about(*ids, such=lambda event: event.body["sequence"] >= first)

    async def answered(self, ids: Iterable[str]) -> list[Event]:
        """The completions of these questions."""
        ended = await self.members[0].meanwhile(self.completions.about(*ids), self.patience)
        failed = [event.body for event in ended if event.body.get("status", DONE) != DONE]
        assert not failed, f"{len(failed)} questions fail, as {failed[0]}"
        return ended


@asynccontextmanager
async def stage(servers: str, subject: Subject, load: Load) -> AsyncIterator[Stage]:
    """Every slot has answered a question."""
    async with (
        world(servers, re.sub(r"\W+", "-", subject.name), load.partitions) as kafka,
        models(**load.paces) as provider,
        AsyncExitStack() as members,
        asking(kafka) as asker,
        reading(kafka, "completions") as completions,
        reading(kafka, "tokens") as tokens,
    ):
        running = [
            await members.enter_async_context(subject.start(kafka, provider, load))
            for _ in range(load.processes)
        ]
        await running[0].meanwhile(_joined(kafka, load.processes), PATIENCE_SECONDS)
        here = Stage(subject, load, kafka, provider, running, asker, completions, tokens)
        here.say(f"{load.all_slots} questions to warm up")
        warm = [f"warm-{number}" for number in range(load.all_slots)]
        await asker.ask_all(warm)
        await here.answered(warm)
        said = (await calls(provider, last=1))["calls"][0]["chunks"]
        assert said == load.chunks, f"the model says {said} chunks: the limit is another"
        yield here


async def _joined(kafka: World, members: int) -> None:
    """Until so many have their partitions."""
    async with admin(client_arguments(kafka.servers, {})) as connection:
        while True:
            group = await describe.group(connection, kafka.group, PATIENCE_SECONDS)
            if group and group.state == "Stable" and group.members == members:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def saturated(here: Stage) -> Figures:
    """All questions at once."""
    load = here.load
    if load.questions < ROUNDS * load.all_slots:
        raise SystemExit(f"{load.all_slots} slots take {ROUNDS * load.all_slots} questions or more")
    here.say(f"{load.questions} questions at once")
    ids = load.ids()
    records, cpu = await here.tokens.written(), here.cpu_seconds()
    await here.asker.ask_all(ids, load.key)
    ended = await here.answered(ids)
    cpu = here.cpu_seconds() - cpu
    records = await here.tokens.written() - records
    rate = per_second((event.timestamp for event in ended), load.all_slots, load.settle_ms)
    return {
        "questions_per_second": round(rate, 1),
        "ratio_to_limit": round(rate / load.limit, 3),
        "cpu_ms_per_question": round(cpu * 1e3 / load.questions, 2),
        "cpu_us_per_chunk": round(cpu * 1e6 / load.questions / load.chunks, 1),
        "token_records_per_question": round(records / load.questions, 1),
        **middle_and_tail("call_to_token_added_ms", await _added(here, set(ids))),
        "memory_mb": round(here.resident_mb(), 1),
        "peak_memory_mb": round(here.resident_mb(peak=True), 1),
    }


async def _added(here: Stage, ids: set[str]) -> list[float]:
    """From when the model was called to the record with the first word of the answer, in
    milliseconds, without the model's own time.

    So it is asked of every program alike, and however long a question waited for a slot.
    """
    # Calls are told on the monotonic clock, records on that of the wall.
    wall = time.time() - time.monotonic()
    called = {
        name: (call["started"] + wall) * 1000
        for call in (await calls(here.provider, last=FIRST_TOKENS))["calls"]
        if (name := _question_id(call)) in ids
    }
    return [
        event.timestamp - called[event.question_id] - here.load.first_word_ms(event.question_id)
        for event in await here.first_words(*called)
    ]


def _question_id(call: dict[str, Any]) -> str:
    found: str = re.findall(r"\? (\S+)", call["user_message"])[0]
    return found
