"""A hundred thousand questions: does anything grow with those that are answered? It must not.

As in a service that runs for days, questions are asked while others are answered, and their ids,
which are known for the sake of duplicates, are forgotten again: within seconds here. That they are
known for minutes elsewhere is memory by the rate of questions, and not by their number.
"""

from collections.abc import Sequence

from tests.bench.backlog import Backlog
from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.stage import Stage
from tests.bench.subjects import penstock

WAITING = 1_000
WINDOW_MS = 10_000
TENTHS = 10
SETTLED = 2
"""After so many tenths all is there that is needed once: what comes after is growth."""


async def memory(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions, slots=64, first_token_ms=50, token_ms=0, chunks=12)
    subjects = [penstock(ms, DUPLICATES__WINDOW_MS=WINDOW_MS) for ms in wanted.intervals_ms]
    conditions = {"waiting": WAITING, "duplicates_window_ms": WINDOW_MS}
    return await side_by_side(servers, load, wanted, subjects, _sampled, **conditions)


async def _sampled(here: Stage) -> Figures:
    load = here.load
    here.say(f"{load.questions} questions, while {WAITING} wait")
    backlog = Backlog(here, WAITING)
    await backlog.fill()
    sampled, cpu = [here.resident_mb()], here.cpu_seconds()
    for _ in range(TENTHS):
        tenth = backlog.answered(load.questions // TENTHS)
        await here.members[0].meanwhile(tenth, here.patience)
        sampled.append(here.resident_mb())
    cpu = here.cpu_seconds() - cpu
    return {
        **grown(sampled, load.questions),
        "peak_memory_mb": round(here.resident_mb(peak=True), 1),
        "cpu_ms_per_question": round(cpu * 1e3 / load.questions, 2),
    }


def grown(sampled: Sequence[float], questions: int) -> Figures:
    """`sampled`: MB at the start and after every tenth of the questions."""
    growth_mb = sampled[-1] - sampled[SETTLED]
    counted = questions * (TENTHS - SETTLED) / TENTHS
    return {
        "memory_at_start_mb": round(sampled[0], 1),
        **{
            f"memory_at_{tenth * 100 // TENTHS}_percent_mb": round(mb, 1)
            for tenth, mb in enumerate(sampled[1:], 1)
        },
        "memory_grown_mb": round(growth_mb, 1),
        "memory_grown_kb_per_1000_questions": round(growth_mb * 1024 * 1000 / counted, 1),
    }
