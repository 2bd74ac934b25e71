"""One, two and four processes in one group: do more of them answer more?

Each has 64 slots, and all share the machine's cores with the broker, the model and the bench.
"""

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.stage import saturated, stage
from tests.bench.subjects import penstock

SIZES = (1, 2, 4)
PARTITIONS = 12


async def scaling(servers: str, wanted: Wanted) -> Result:
    """So many questions, and such a limit, for each process; memory is that of all of them."""
    found = {}
    for size in SIZES:
        for interval_ms in wanted.intervals_ms:
            subject = penstock(interval_ms, name=f"{size} at work")
            load = Load(questions=wanted.questions * size, processes=size, partitions=PARTITIONS)
            async with stage(servers, subject, load) as here:
                found[subject.name] = await saturated(here)
    each = Load(questions=wanted.questions, partitions=PARTITIONS)
    return Result(each.conditions(), found)
