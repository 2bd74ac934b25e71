"""Answers of 2,000 tokens: what does a chunk cost, where a question costs nothing?"""

from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.subjects import FLOOR, REFERENCE, penstocks


async def long_answers(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions, chunks=2_000)
    subjects = [*penstocks(wanted.intervals_ms), REFERENCE, FLOOR]
    return await side_by_side(servers, load, wanted, subjects)
