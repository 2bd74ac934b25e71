"""Every question has a key: what does it cost to keep the order of each?

The keys come in turn, and are so many that no question waits for the one before it: what waiting
costs is a matter of the keys, and of no program. Only the service keeps an order.
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
