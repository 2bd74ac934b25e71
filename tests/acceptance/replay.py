"""Questions answered again: by two processes at once, one of them killed; and how fast."""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.acceptance.outcome import Outcome
from tests.support.processes import Running, begun, calls, command, models, service
from tests.support.traffic import Event, World, asking, everything, reading, world

PENSTOCK = str(Path(sys.executable).with_name("penstock"))
SLOTS = 64
PACES = {"first_token_ms": 20, "token_ms": 2, "tokens": 4}
LIKE_SERVING = 0.95
"""The rate of a replay, beside that of the service on the same load."""
PATIENCE_SECONDS = 600


async def replay(servers: str, *, questions: int = 20_000) -> Outcome:
    """Answered by a fast model; then the middle half of them, by their time, by another program."""
    outcome = Outcome()
    async with (
        world(servers, "replay") as kafka,
        models(**PACES) as provider,
        reading(kafka, "completions") as completions,
    ):
        settings = _settings(kafka, provider)
        async with service(kafka, provider, _own(settings)) as running, asking(kafka) as asker:
            moments = [await _now()]
            for wave in (questions // 4, questions // 2, questions // 4):
                base = len(completions.ended)
                await asker.ask_all(f"q{base + number}" for number in range(wave))
                await running.meanwhile(completions.until_ended(base + wave), PATIENCE_SECONDS)
                moments.append(await _now())
            assert await running.terminate() == 0
        wanted = _between(await everything(kafka, "completions"), moments[1], moments[2])
        outcome.promise(
            f"{questions // 2} questions of the range, not {len(wanted)}",
            kept=len(wanted) == questions // 2,
        )
        words = ["--from-datetime", _iso(moments[1]), "--to-datetime", _iso(moments[2])]
        words += ["--program", "v2", "--execute"]
        asked = (await calls(provider, last=0))["count"]
        figures = await _by_two(kafka, settings, words, wanted, outcome)
        again = (await calls(provider, last=0))["count"] - asked
        outcome.promise(f"{again} calls for {len(wanted)} questions", kept=again == len(wanted))
        outcome.figures["two_processes"] = {**figures, "calls": again}
        asked += again
        figures = await _one_killed(kafka, settings, words, wanted, outcome)
        again = (await calls(provider, last=0))["count"] - asked
        figures["calls_again"] = again - len(wanted)
        outcome.figures["one_killed"] = figures
        outcome.bound(
            f"{figures['calls_again']} calls again: {SLOTS} ran at the kill, others were answered "
            "and not yet said",
            kept=figures["calls_again"] <= 2 * SLOTS,
        )
    return outcome


async def replay_rate(servers: str, *, questions: int = 3_000) -> Outcome:
    """The service on a backlog, then a replay of it: where slots are short, and where CPU is."""
    outcome = Outcome()
    cases = {
        "slots": {"first_token_ms": 200, "token_ms": 5, "tokens": 53},
        "cpu": {"first_token_ms": 5, "token_ms": 1, "tokens": 4},
    }
    for name, paces in cases.items():
        async with (
            world(servers, f"rate-{name}") as kafka,
            models(**paces) as provider,
            reading(kafka, "completions") as completions,
        ):
            settings = _settings(kafka, provider) | {"MODEL__NAME": "openai/bench"}
            async with asking(kafka) as asker:
                await asker.ask_all(f"q{number}" for number in range(questions))
            async with service(kafka, provider, _own(settings)) as running:
                await running.meanwhile(completions.until_ended(questions), PATIENCE_SECONDS)
                assert await running.terminate() == 0
            served = _per_second(await everything(kafka, "completions"))
            async with _replaying(settings, "--id", name, "--execute") as job:
                code = await asyncio.wait_for(job.ended(), PATIENCE_SECONDS)
            outcome.promise(f"{name}: exit code {code}", kept=code == 0)
            replayed = _per_second(await _answered(kafka, name))
            ratio = replayed / served
            outcome.figures[name] = {
                "served_per_second": round(served, 1),
                "replayed_per_second": round(replayed, 1),
                "ratio": round(ratio, 3),
            }
            outcome.bound(f"{name}: {ratio:.3f} of serving", kept=ratio >= LIKE_SERVING)
    return outcome


async def _by_two(
    kafka: World,
    settings: Mapping[str, Any],
    words: Sequence[str],
    wanted: set[tuple[int, int]],
    outcome: Outcome,
) -> dict[str, Any]:
    begun_at = time.monotonic()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_replaying(settings, *words, "--id", "two"))
        second = await stack.enter_async_context(_joined(settings, "two"))
        ends = await asyncio.wait_for(asyncio.gather(first.ended(), second.ended()), 600)
    seconds = time.monotonic() - begun_at
    outcome.promise(f"exit codes {ends}", kept=list(ends) == [0, 0])
    found = await _answered(kafka, "two")
    _each_once(outcome, "two", wanted, found)
    outcome.promise(
        "answered by v2, in two processes",
        kept={event.body["program"]["name"] for event in found} == {"v2"}
        and len({_writer(event) for event in found}) == 2,
    )
    shares = [
        sum(_writer(event) == writer for event in found) for writer in set(map(_writer, found))
    ]
    return {"questions": len(found), "seconds": round(seconds, 1), "by_process": shares}


async def _one_killed(
    kafka: World,
    settings: Mapping[str, Any],
    words: Sequence[str],
    wanted: set[tuple[int, int]],
    outcome: Outcome,
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_replaying(settings, *words, "--id", "killed"))
        second = await stack.enter_async_context(_joined(settings, "killed"))
        again = replace(kafka, topics=_topics(kafka, "killed"))
        async with reading(again, "completions") as completions:
            await first.meanwhile(completions.until_ended(len(wanted) // 3), PATIENCE_SECONDS)
        first.kill()
        third = await stack.enter_async_context(_joined(settings, "killed"))
        ends = await asyncio.wait_for(asyncio.gather(second.ended(), third.ended()), 600)
    outcome.promise(f"exit codes {ends} after the kill", kept=list(ends) == [0, 0])
    found = await _answered(kafka, "killed")
    _each_once(outcome, "killed", wanted, found)
    return {"questions": len(found), "processes": len({_writer(event) for event in found})}


def _each_once(
    outcome: Outcome, name: str, wanted: set[tuple[int, int]], found: Sequence[Event]
) -> None:
    outcome.each_once(
        (f"{name} {place}" for place in wanted), (f"{name} {_place(event)}" for event in found)
    )


def _settings(kafka: World, provider: Running) -> dict[str, Any]:
    return {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.servers,
        "KAFKA__GROUP_ID": kafka.group,
        **{f"TOPICS__{name.upper()}": topic for name, topic in kafka.topics.items()},
        "MODEL__NAME": "openai/ok",
        "MODEL__API_BASE": provider.address,
        "MODEL__API_KEY": "none",
        "POOL__SLOTS": SLOTS,
        "PROGRAMS__QA": "question -> answer",
        "PROGRAMS__V2": "question -> answer",
        "DEFAULT_PROGRAM": "qa",
    }


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `service` does not say by itself."""
    return {
        name: value
        for name, value in settings.items()
        if name.startswith(("POOL", "PROGRAMS", "DEFAULT", "MODEL__NAME"))
    }


@asynccontextmanager
async def _replaying(settings: Mapping[str, Any], *words: str) -> AsyncIterator[Running]:
    environment = {f"PENSTOCK_{name}": str(value) for name, value in settings.items()}
    with tempfile.TemporaryDirectory(prefix="penstock-") as empty:
        start = command(PENSTOCK, "replay", *words)
        async with begun(start, r"penstock: replay \S+", environment, Path(empty)) as running:
            yield running


def _joined(settings: Mapping[str, Any], name: str) -> Any:
    return _replaying(settings, "--resume", name, "--execute")


def _topics(kafka: World, name: str) -> dict[str, str]:
    return {**kafka.topics, "completions": f"penstock.replay.{name}.completions"}


async def _answered(kafka: World, name: str) -> list[Event]:
    return await everything(replace(kafka, topics=_topics(kafka, name)), "completions")


def _between(completions: Sequence[Event], start: float, end: float) -> set[tuple[int, int]]:
    """The questions asked meanwhile."""
    return {
        _place(event)
        for event in completions
        if start * 1000 <= event.body["source"]["timestamp"] < end * 1000
    }


def _place(event: Event) -> tuple[int, int]:
    source = event.body["source"]
    return source["partition"], source["offset"]


def _writer(event: Event) -> str:
    """The process that has said it, as the event's id has it."""
    found = re.search(r"/(\w+)/completion$", event.headers["ce_id"].decode())
    assert found is not None
    return found[1]


def _per_second(completions: Sequence[Event]) -> float:
    """Without those of the first and the last questions in every slot."""
    full = sorted(event.timestamp for event in completions)[SLOTS - 1 : -SLOTS]
    return (len(full) - 1) * 1000 / (full[-1] - full[0])


async def _now() -> float:
    """A moment with nothing asked just before or after."""
    await asyncio.sleep(0.05)
    now = time.time()
    await asyncio.sleep(0.05)
    return now


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f"{moment % 1:.3f}"[1:]
