"""Topics of 64 partitions: what do partitions cost, which are commits and batches of their own?"""

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.subjects import FLOOR, REFERENCE, penstocks


async def many_partitions(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions, partitions=64)
    subjects = [*penstocks(wanted.intervals_ms), REFERENCE, FLOOR]
    return await side_by_side(servers, load, wanted, subjects)
