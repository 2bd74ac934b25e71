"""A bad network: connections end amid an answer, and nothing goes through for a while."""

import asyncio
from random import Random, SystemRandom

from penstock.local.broker import Kafka
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
from tests.support.detour import detouring
from tests.support.processes import models
from tests.support.proxy import Network, proxies

EVERY_SECONDS = (0.5, 1.5)
"""Between two cuts, at random."""


async def connections_cut(
    kafka: Kafka,
    *,
    seconds: float = 30,
    holes: int = 3,
    hole_seconds: float = 5,
    members: int = 3,
    per_second: float = PER_SECOND,
    seed: int | None = None,
) -> Outcome:
    """All connections of all members at once: first cut again and again, then swallowed.

    Args:
        kafka: whose nodes are on the other side.
        seconds: in which connections are cut.
        holes: how often nothing goes through.
        hole_seconds: how long: less than the session timeout.
        members: in the group.
        per_second: questions.
        seed: of when connections are cut.
    """
    outcome = Outcome()
    seed = SystemRandom().randrange(2**32) if seed is None else seed
    async with (
        proxies(node.address for node in kafka.nodes) as network,
        models(**PACES) as provider,
        ordeal(
            kafka.bootstrap_servers,
            provider,
            detouring(network.detours),
            "connections-cut",
            partitions=6,
            slots=SLOTS,
        ) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(), per_second) as load:
            load.step("cut")
            await _cut(network, seconds, Random(seed))
            await load.answered(round(per_second))
            for number in range(1, holes + 1):
                load.step(f"hole {number}")
                with network.hole():
                    await asyncio.sleep(hole_seconds)
                await load.answered(round(per_second))
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        outcome.figures |= {"seed": seed, "cuts": network.cuts, "holes": network.holes}
        await tell(outcome, here, evidence, crew.codes.values(), repeats=True)
    outcome.promise("connections are cut", kept=network.cuts > 0)
    told_gaps(outcome, load.gaps(evidence))
    return outcome


async def _cut(network: Network, seconds: float, rng: Random) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        await asyncio.sleep(rng.uniform(*EVERY_SECONDS))
        network.cut()
