"""The same questions for one program after the other, on the same Kafka."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from tests.bench.figures import Figures, beside_floor
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.rounds import in_rounds
from tests.bench.scenario import Wanted
from tests.bench.stage import Stage, saturated, stage
from tests.bench.subjects import Subject


async def side_by_side(
    servers: str,
    load: Load,
    wanted: Wanted,
    subjects: Iterable[Subject],
    measure: Callable[[Stage], Awaitable[Figures]] = saturated,
    **conditions: Any,
) -> Result:
    """`conditions`: those that the load knows nothing of."""
    measurements = {
        subject.name: partial(on_stage, servers, subject, load, measure) for subject in subjects
    }
    return await in_rounds(
        measurements, wanted.rounds, load.conditions() | conditions, beside_floor
    )


async def on_stage(
    servers: str, subject: Subject, load: Load, measure: Callable[[Stage], Awaitable[Figures]]
) -> Figures:
    async with stage(servers, subject, load) as here:
        return await measure(here)
