"""A backlog all at once: what of it is in memory, and what is left when it is done?"""

from tests.bench.figures import beside_floor
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.stage import saturated, stage
from tests.bench.subjects import FLOOR, REFERENCE, penstocks


async def burst(servers: str, wanted: Wanted) -> Result:
    """Short answers, so that so many are done in minutes."""
    load = Load(questions=wanted.questions, first_token_ms=50, chunks=16)
    found = {}
    for subject in [*penstocks(wanted.intervals_ms), REFERENCE, FLOOR]:
        async with stage(servers, subject, load) as here:
            before = here.resident_mb()
            figures = await saturated(here)
            found[subject.name] = {
                **figures,
                "memory_grown_mb": round(figures["memory_mb"] - before, 1),
                "peak_memory_grown_mb": round(figures["peak_memory_mb"] - before, 1),
            }
    return Result(load.conditions(), beside_floor(found))
