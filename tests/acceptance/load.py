"""Questions that come steadily while something happens, and what those who asked saw of it."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count, pairwise
from statistics import quantiles
from typing import Any

from tests.acceptance.outcome import Outcome
from tests.chaos.evidence import Asked, Evidence
from tests.chaos.ordeal import Ordeal, Wanted
from tests.support.processes import Running, calls
from tests.support.traffic import Event, asking

PACES = {"first_token_ms": 200, "token_ms": 20, "tokens": 8}
PER_SECOND = 20.0
SLOTS = 48
PATIENCE_SECONDS = 120
ANSWER_SECONDS = 60
GAP_SECONDS = 1.0
LOOK_SECONDS = 0.02


def common(*, slow: bool = True) -> Iterator[Wanted]:
    """Every third in one of fifty lanes, every fifth slow."""
    for number in count():
        key = f"k{number % 50}" if number % 3 == 0 else None
        program = "slow" if slow and number % 5 == 0 else "plain"
        yield Wanted(f"q{number}", key, {"program": program})


class Load:
    """Times are Unix milliseconds."""

    def __init__(self, here: Ordeal) -> None:
        self.steps: list[tuple[str, float]] = []
        """What happened, and since when."""
        self.ended = time.time() * 1000
        self._here = here

    def step(self, name: str) -> None:
        """It lasts until the next one, or until the end."""
        self.steps.append((name, time.time() * 1000))

    async def answered(self, questions: int) -> None:
        """So many more, or nothing for long: then something is lost, and is found to be."""
        completions = self._here.completions
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await completions.rest()
                await completions.until_ended(len(completions.ended) + questions)

    def gaps(self, evidence: Evidence) -> dict[str, float]:
        """By step, the longest time in seconds without a completion."""
        times = sorted([self.ended, *(event.timestamp for event in evidence.completions)])
        bounds = [*self.steps, ("", self.ended)]
        return {
            name: max(
                (later - earlier) / 1000
                for earlier, later in pairwise(times)
                if later > begun and earlier < ended
            )
            for (name, begun), (_, ended) in pairwise(bounds)
        }


@asynccontextmanager
async def steadily(
    here: Ordeal, wanted: Iterable[Wanted], per_second: float = PER_SECOND
) -> AsyncIterator[Load]:
    """From when the first are answered to the end of the block."""
    load = Load(here)
    sent: list[tuple[asyncio.Future[Any], Wanted]] = []

    async with asking(here.world) as asker:

        async def ask() -> None:
            for one in wanted:
                sent.append((await asker.ask(one.question_id, key=one.key, **one.more), one))
                await asyncio.sleep(1 / per_second)

        asks = asyncio.create_task(ask())
        try:
            await load.answered(round(per_second))
            yield load
            load.ended = time.time() * 1000
        finally:
            asks.cancel()
            with suppress(asyncio.CancelledError):
                await asks
        for acknowledged, one in sent:
            at = await acknowledged
            asked = Asked(one.question_id, one.key, one.status, at.timestamp)
            here.asked[at.partition, at.offset] = asked


async def rest_ended(here: Ordeal) -> None:
    """And are committed. What does not end in time is found to be lost."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await here.all_ended()
            await here.all_committed()


async def called(provider: Running, *question_ids: str) -> dict[str, dict[str, Any]]:
    """Until the model has begun to answer all of these; the last call about each."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            begun = [call for call in (await calls(provider))["calls"] if call["chunks"]]
            asked = {re.findall(r"\? (\S+)", call["user_message"])[0]: call for call in begun}
            if asked.keys() >= set(question_ids):
                return {name: asked[name] for name in question_ids}
            await asyncio.sleep(LOOK_SECONDS)


async def tell(
    outcome: Outcome,
    here: Ordeal,
    evidence: Evidence,
    codes: Iterable[int] = (),
    *,
    repeats: bool = False,
    judged: Evidence | None = None,
) -> None:
    """The figures all have, and the promises.

    Args:
        outcome: what is told.
        here: where.
        evidence: of when all have ended.
        codes: with which those members ended that were not killed.
        repeats: whether a call may be repeated and a stream be cut.
        judged: what the guarantees are to be told, if not all.
    """
    lost, double = evidence.lost(), evidence.doubled()
    repeated, cut = evidence.repeated_calls, cut_streams(evidence)
    took = sorted(
        event.timestamp - event.body["source"]["timestamp"] for event in evidence.completions
    )
    percentiles = quantiles(took, n=100)
    outcome.figures |= {
        "questions": len(evidence.asked),
        "lost": lost,
        "double": double,
        "calls": len(evidence.calls),
        "repeated_calls": repeated,
        "cut_token_streams": len(cut),
        "latency_ms_p50": round(percentiles[49]),
        "latency_ms_p99": round(percentiles[98]),
        "latency_ms_max": took[-1],
    }
    outcome.promise(f"nothing is lost: {lost} are", kept=lost == 0)
    outcome.promise(f"nothing is said twice: {double} are", kept=double == 0)
    if not repeats:
        outcome.promise(f"no call is repeated: {repeated} are", kept=repeated == 0)
        outcome.promise(f"no stream is cut: {cut[:5]} are", kept=not cut)
    codes = list(codes)
    outcome.promise(f"exit code 0, not {codes}", kept=not any(codes))
    with outcome.promised():
        await here.judge(judged or evidence, committed=not any(codes))


def told_gaps(outcome: Outcome, gaps: Mapping[str, float], *, bound: bool = False) -> None:
    outcome.figures["longest_gap_seconds"] = {name: round(gap, 2) for name, gap in gaps.items()}
    if bound:
        outcome.bound(
            f"a completion every {GAP_SECONDS} s at least", kept=max(gaps.values()) < GAP_SECONDS
        )


def cut_streams(evidence: Evidence) -> list[str]:
    """The questions whose tokens are not numbered from 0 to one `end`, or that began anew."""
    streams: defaultdict[str, list[Event]] = defaultdict(list)
    for event in evidence.tokens:
        streams[event.question_id].append(event)
    return [name for name, stream in streams.items() if not _whole(stream)]


def _whole(stream: Iterable[Event]) -> bool:
    bodies = [event.body for event in stream]
    kinds = [body["type"] for body in bodies]
    numbered = [body["sequence"] for body in bodies] == list(range(len(bodies)))
    return numbered and "restart" not in kinds and kinds.count("end") == 1 and kinds[-1] == "end"
