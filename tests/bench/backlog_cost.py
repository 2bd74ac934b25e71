"""Does a question cost more when more of them wait? It must not.

At each depth the same number of questions is measured, and for every one that is answered another
is asked: the backlog stays as deep. Answers are short, and slots so few that a core has time left:
what a token costs, and what it costs to be late, is measured elsewhere and would hide a growth.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from tests.bench.backlog import Backlog
from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.rounds import in_rounds
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import on_stage
from tests.bench.stage import Stage
from tests.bench.subjects import penstock

DEPTHS = (100, 1_000, 10_000, 100_000)


async def backlog_cost(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions, slots=16, first_token_ms=50, token_ms=0, chunks=12)
    measurements = {}
    for depth in DEPTHS:
        for interval_ms in wanted.intervals_ms:
            subject = penstock(interval_ms, name=f"{depth:,} wait")
            measure = partial(_kept, depth=depth)
            measurements[subject.name] = partial(on_stage, servers, subject, load, measure)
    return await in_rounds(measurements, wanted.rounds, load.conditions(), _beside_first)


def _beside_first(subjects: Mapping[str, Figures]) -> dict[str, Figures]:
    first = next(iter(subjects.values()))["cpu_ms_per_question"]
    return {
        name: figures | {"cpu_to_first": round(figures["cpu_ms_per_question"] / first, 3)}
        for name, figures in subjects.items()
    }


async def _kept(here: Stage, depth: int) -> Figures:
    load = here.load
    here.say("they are asked")
    backlog = Backlog(here, depth)
    await backlog.fill()
    # What was answered in the meantime is none of those that are measured.
    await here.completions.rest()
    await backlog.fill()
    here.say(f"{load.questions} questions are measured")
    # Every slot is taken anew: what was asked at once has come to its pace.
    await here.members[0].meanwhile(backlog.answered(load.slots), here.patience)
    before = await _look(here)
    await here.members[0].meanwhile(backlog.answered(load.questions), here.patience)
    after = await _look(here)
    done = after.completions - before.completions
    rate = done / (after.at - before.at)
    cpu = after.cpu - before.cpu
    return {
        "questions_per_second": round(rate, 1),
        "ratio_to_limit": round(rate / load.limit, 3),
        "cpu_ms_per_question": round(cpu * 1e3 / done, 3),
        # Of the same answer more records cost more: depths compare where these are alike.
        "token_records_per_question": round((after.tokens - before.tokens) / done, 1),
        "memory_mb": round(here.resident_mb(), 1),
        "peak_memory_mb": round(here.resident_mb(peak=True), 1),
    }


class _Look(NamedTuple):
    """What there is at a time: records, and seconds of a processor. Whoever asks and reads may lag
    behind, and these do not."""

    at: float
    completions: int
    tokens: int
    cpu: float


async def _look(here: Stage) -> _Look:
    completions, tokens = await here.completions.written(), await here.tokens.written()
    return _Look(time.monotonic(), completions, tokens, here.cpu_seconds())
