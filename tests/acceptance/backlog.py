"""A long backlog: memory stays flat, no slot too many, and every question is answered once."""

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from tests.acceptance.outcome import Outcome
from tests.acceptance.sampling import sampling
from tests.support.processes import calls, metrics, models, resident_mb, service
from tests.support.traffic import asking, everything, reading, world

GROWTH_MB = 20


async def backlog(
    servers: str,
    *,
    questions: int = 10_000,
    slots: int = 64,
    warm: int = 1_000,
    settings: Mapping[str, Any] | None = None,
) -> Outcome:
    """All questions are there before the service starts.

    Args:
        servers: the Kafka.
        questions: how many, on six partitions.
        slots: of the service.
        warm: completions after which memory may grow no more.
        settings: more of the service, by their environment names without the prefix.
    """
    outcome = Outcome()
    ids = [f"q{number}" for number in range(questions)]
    async with (
        world(servers, "backlog") as kafka,
        models(first_token_ms=20, token_ms=2, tokens=8) as provider,
    ):
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        async with (
            reading(kafka, "completions") as completions,
            service(kafka, provider, {"POOL__SLOTS": slots, **(settings or {})}) as running,
            sampling(running, "penstock_paused_partitions") as paused,
        ):
            begun = time.monotonic()
            await running.meanwhile(completions.until(warm), seconds=60)
            early = resident_mb(running.pid)
            await running.meanwhile(completions.until(questions), seconds=60 + questions / 20)
            seconds = time.monotonic() - begun
            late, peak = resident_mb(running.pid), resident_mb(running.pid, peak=True)
            paused.append((await metrics(running))["penstock_paused_partitions"])
            code = await running.terminate()
        at_once = (await calls(provider, last=0))["peak_in_flight"]
        ended = await everything(kafka, "completions")
    outcome.figures |= {
        "questions": questions,
        "questions_per_second": round(questions / seconds, 1),
        "memory_mb_early": round(early, 1),
        "memory_mb_end": round(late, 1),
        "memory_mb_peak": round(peak, 1),
        "calls_at_once": at_once,
        "paused_partitions_most": max(paused),
        "paused_partitions_end": paused[-1],
    }
    outcome.bound(f"memory grows by at most {GROWTH_MB} MB", kept=late - early <= GROWTH_MB)
    outcome.promise(f"at most {slots} calls at once, not {at_once}", kept=at_once <= slots)
    outcome.promise(
        f"partitions pause and resume: {paused}",
        kept=any(before > after for before, after in pairwise(paused)),
    )
    outcome.promise("no partition is paused in the end", kept=paused[-1] == 0)
    outcome.promise("all are completed", kept=all(e.body["status"] == "completed" for e in ended))
    outcome.each_once(ids, (event.question_id for event in ended))
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)
    return outcome
