"""Every member replaced by another, one after the other: whoever asks notices nothing."""

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


async def rolling_restart(
    servers: str,
    *,
    members: int = 3,
    rounds: int = 2,
    per_second: float = PER_SECOND,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """As Kubernetes does it with `maxSurge: 1`: the new one is ready before the old one is told.

    Args:
        servers: the Kafka.
        members: at any time.
        rounds: how often each place is taken anew.
        per_second: questions.
        start: of a member.
    """
    outcome = Outcome()
    async with (
        models(**PACES) as provider,
        ordeal(servers, provider, start, "rolling", partitions=6, slots=SLOTS) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(), per_second) as load:
            for number in range(1, rounds + 1):
                for seat, old in enumerate(list(crew.present), 1):
                    load.step(f"{number}.{seat}")
                    await crew.join()
                    await crew.leave(old)
            await load.answered(round(per_second))
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        codes = crew.codes
        outcome.figures |= {"members": len(codes), "exit_codes": list(codes.values())}
        await tell(outcome, here, evidence, codes.values())
    told_gaps(outcome, load.gaps(evidence), bound=True)
    return outcome
