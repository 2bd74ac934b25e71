"""A long backlog: memory stays flat, no slot too many, and every question is answered once."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.outcome import Outcome
from tests.support.processes import Running, calls, metrics, models, resident_mb, service
from tests.support.traffic import asking, everything, reading, world

GROWTH_MB = 20
SAMPLE_SECONDS = 0.1


@dataclass
class _Watch:
    paused: list[float] = field(default_factory=list)

    @property
    def pauses_and_resumes(self) -> bool:
        """Whether some partition was paused, and later fewer were."""
        later = zip(self.paused, self.paused[1:], strict=False)
        return any(before > after for before, after in later)


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
    ids = [f"q{number}" for number in range(questions)]
    outcome = Outcome()
    async with (
        world(servers, "backlog") as kafka,
        models(first_token_ms=20, token_ms=2, tokens=8) as provider,
    ):
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        wanted = {"POOL__SLOTS": slots, **(settings or {})}
        async with (
            service(kafka, provider, wanted) as running,
            reading(kafka, "completions") as completions,
            _watching(running) as watch,
        ):
            begun = time.monotonic()

            async def ended() -> float:
                """Until every question has a completion; memory after the first of them."""
                seen, memory = set[str](), 0.0
                async for event in completions.follow():
                    seen.add(event.question_id)
                    if not memory and len(seen) >= warm:
                        memory = resident_mb(running.pid)
                    if len(seen) == questions:
                        break
                return memory

            early = await running.meanwhile(ended(), seconds=60 + questions / 20)
            seconds = time.monotonic() - begun
            late, peak = (resident_mb(running.pid, peak=peak) for peak in (False, True))
            paused = (await metrics(running))["penstock_paused_partitions"]
            code = await running.terminate()
        most = (await calls(provider, last=0))["peak_in_flight"]
        per_question = Counter(event.question_id for event in await everything(kafka, "completions"))
    outcome.figures |= {
        "questions": questions,
        "questions_per_second": round(questions / seconds, 1),
        "memory_mb_early": round(early, 1),
        "memory_mb_end": round(late, 1),
        "memory_mb_peak": round(peak, 1),
        "calls_at_once": most,
        "paused_partitions_most": max(watch.paused, default=0),
        "paused_partitions_end": paused,
    }
    outcome.bound(late - early <= GROWTH_MB, f"memory grew by {late - early:.1f} MB")
    outcome.promise(most <= slots, f"{most} calls ran at once, with {slots} slots")
    outcome.promise(most > slots // 2, f"only {most} calls ran at once, with {slots} slots")
    outcome.promise(watch.pauses_and_resumes, "no partition was seen to pause and to resume")
    outcome.promise(paused == 0, f"{paused:.0f} partitions were still paused at the end")
    outcome.promise(
        per_question == Counter(ids), f"not one completion each: {_odd(per_question, ids)}"
    )
    outcome.promise(code == 0, f"exit code {code}")
    return outcome


def _odd(per_question: Counter[str], ids: list[str]) -> dict[str, int]:
    """Some questions that have not one completion, and how many they have."""
    odd = {name: per_question[name] for name in ids if per_question[name] != 1}
    return dict(list(odd.items())[:5])


@asynccontextmanager
async def _watching(running: Running) -> AsyncIterator[_Watch]:
    """Looks at the metrics again and again, as Prometheus would."""
    watch = _Watch()

    async def look() -> None:
        while True:
            watch.paused.append((await metrics(running))["penstock_paused_partitions"])
            await asyncio.sleep(SAMPLE_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
