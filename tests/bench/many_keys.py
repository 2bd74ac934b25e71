"""Every question has a key, and those of one key are answered in order: what does the order cost?

Only the service keeps it; the others answer as if there were none.
"""

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.subjects import FLOOR, REFERENCE, penstocks

KEYS = 500


async def many_keys(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions, keys=KEYS)
    subjects = [*penstocks(wanted.intervals_ms), REFERENCE, FLOOR]
    return await side_by_side(servers, load, wanted, subjects)
