"""The same questions at once for one program after the other, on the same Kafka."""

from collections.abc import Iterable
from typing import Any

from tests.bench.figures import beside_floor
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.stage import saturated, stage
from tests.bench.subjects import Subject


async def side_by_side(
    servers: str, load: Load, subjects: Iterable[Subject], **conditions: Any
) -> Result:
    """`conditions`: those that the load knows nothing of."""
    found = {}
    for subject in subjects:
        async with stage(servers, subject, load) as here:
            found[subject.name] = await saturated(here)
    return Result(load.conditions() | conditions, beside_floor(found))
