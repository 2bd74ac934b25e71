"""A hundred thousand questions: does anything grow with those that are answered? It must not."""

from collections.abc import Sequence

from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.stage import Stage
from tests.bench.subjects import penstocks
from tests.support.processes import calls

TENTHS = 10
SETTLED = 2
"""After so many tenths all is there that is needed once: what comes after is growth."""


async def memory(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions, slots=32, first_token_ms=50, token_ms=0, chunks=12)
    return await side_by_side(servers, load, wanted, penstocks(wanted.intervals_ms), _sampled)


async def _sampled(here: Stage) -> Figures:
    load = here.load
    here.say(f"{load.questions} questions at once")
    sampled = [here.resident_mb()]
    cpu, warm = here.cpu_seconds(), len(here.completions.seen)
    await here.asker.ask_all(load.ids())
    for tenth in range(1, TENTHS + 1):
        until = warm + load.questions * tenth // TENTHS
        await here.members[0].meanwhile(here.completions.until(until), here.patience)
        sampled.append(here.resident_mb())
    cpu = here.cpu_seconds() - cpu
    asked = (await calls(here.provider, last=0))["count"]
    assert asked == warm + load.questions, f"{asked} calls: not every question was asked once"
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
