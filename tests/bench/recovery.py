"""A process starts, and a hundred thousand completions are to be read: when does it serve?

What else is promised of such a start is the acceptance scenario of this name.
"""

from functools import partial

from tests.acceptance.recovery import CASES, Case, cases_of, recovered
from tests.bench.figures import Figures
from tests.bench.result import Result, say
from tests.bench.rounds import in_rounds
from tests.bench.scenario import Wanted

PARTITIONS = 6


async def recovery(servers: str, wanted: Wanted) -> Result:
    """Seconds are those from the start of the process, its imports among them: what is read costs
    the difference to a start with nothing to read."""
    known = cases_of(wanted.questions, PARTITIONS)
    measurements = {name: partial(_started, servers, name, known[name]) for name in CASES}
    conditions = {"completions": wanted.questions, "partitions": PARTITIONS}
    return await in_rounds(measurements, wanted.rounds, conditions)


async def _started(servers: str, name: str, case: Case) -> Figures:
    say(f"{name}: {case.answered} completions")
    measured = await recovered(servers, case, PARTITIONS)
    return {
        "open_seconds": round(measured.opened, 2),
        "caught_up_seconds": round(measured.caught_up, 2),
        "cpu_seconds": round(measured.cpu, 2),
        "memory_mb": round(measured.memory_mb, 1),
        "peak_memory_mb": round(measured.memory_mb_peak, 1),
    }
