"""One, two and four processes in one group: do more of them answer more?

Each has 64 slots, and all share the machine's cores with the broker, the model and the bench.
"""

from functools import partial

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.rounds import in_rounds
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import on_stage
from tests.bench.stage import saturated
from tests.bench.subjects import penstock

SIZES = (1, 2, 4)
PARTITIONS = 12


async def scaling(servers: str, wanted: Wanted) -> Result:
    """So many questions, and such a limit, for each process; memory is that of all of them."""
    measurements = {}
    for size in SIZES:
        load = Load(questions=wanted.questions * size, processes=size, partitions=PARTITIONS)
        for interval_ms in wanted.intervals_ms:
            subject = penstock(interval_ms, name=f"{size} at work")
            measurements[subject.name] = partial(on_stage, servers, subject, load, saturated)
    each = Load(questions=wanted.questions, partitions=PARTITIONS)
    return await in_rounds(measurements, wanted.rounds, each.conditions())
