"""Some questions take far longer: do the others wait for them?"""

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.subjects import everyone


async def skew(servers: str, wanted: Wanted) -> Result:
    """Of a hundred questions five are 20 times slower; what is measured begins when their share of
    the slots is as large as it will be."""
    load = Load(questions=wanted.questions, slow=5, slower=20)
    return await side_by_side(servers, load, wanted, everyone(wanted.intervals_ms))
