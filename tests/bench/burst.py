"""A backlog all at once: what of it is in memory, and what is left when it is done?"""

from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.stage import Stage, saturated
from tests.bench.subjects import FLOOR, penstocks


async def burst(servers: str, wanted: Wanted) -> Result:
    """Short answers, so that so many are done in minutes."""
    load = Load(questions=wanted.questions, first_token_ms=50, chunks=16)
    subjects = [*penstocks(wanted.intervals_ms), FLOOR]
    return await side_by_side(servers, load, wanted, subjects, _with_growth)


async def _with_growth(here: Stage) -> Figures:
    before = here.resident_mb()
    figures = await saturated(here)
    return {
        **figures,
        "memory_grown_mb": round(figures["memory_mb"] - before, 1),
        "peak_memory_grown_mb": round(figures["peak_memory_mb"] - before, 1),
    }
