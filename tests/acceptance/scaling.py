"""More members, then fewer, under load: whoever asks notices nothing."""

import asyncio
from collections.abc import Sequence

from tests.acceptance.crew import joining
from tests.acceptance.load import (
    PACES,
    PER_SECOND,
    SLOTS,
    common,
    rest_ended,
    steadily,
    tell,
    told_gaps,
)
from tests.acceptance.outcome import Outcome
from tests.chaos.ordeal import ordeal
from tests.support.processes import PENSTOCK_SERVE, Start, models


async def scaling(
    servers: str,
    *,
    sizes: Sequence[int] = (1, 2, 4, 2),
    per_second: float = PER_SECOND,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """All that are too few join at once, and the oldest that are too many leave at once.

    Args:
        servers: the Kafka.
        sizes: of the group, one after the other.
        per_second: questions.
        start: of a member.
    """
    outcome = Outcome()
    async with (
        models(**PACES) as provider,
        ordeal(servers, provider, start, "scaling", partitions=6, slots=SLOTS) as here,
        joining(here) as crew,
    ):
        await crew.join(sizes[0])
        async with steadily(here, common(), per_second) as load:
            for size in sizes[1:]:
                load.step(f"{len(crew.present)} to {size}")
                too_many = crew.present[: max(0, len(crew.present) - size)]
                await asyncio.gather(*(crew.leave(member) for member in too_many))
                await crew.join(size - len(crew.present))
                await load.answered(round(per_second))
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        outcome.figures |= {"sizes": list(sizes), "exit_codes": list(crew.codes.values())}
        await tell(outcome, here, evidence, crew.codes.values())
    told_gaps(outcome, load.gaps(evidence), bound=True)
    return outcome
