"""More questions than slots: how near to the model's own limit, and at what cost?"""

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.subjects import everyone


async def saturation(servers: str, wanted: Wanted) -> Result:
    """64 slots; 200 ms to the model's first token, 64 tokens, 5 ms from one to the next."""
    load = Load(questions=wanted.questions)
    return await side_by_side(servers, load, wanted, everyone(wanted.intervals_ms))


async def saturation_256(servers: str, wanted: Wanted) -> Result:
    """In 256 slots what is short on two cores is the cores."""
    load = Load(questions=wanted.questions, slots=256)
    return await side_by_side(servers, load, wanted, everyone(wanted.intervals_ms))
