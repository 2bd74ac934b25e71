"""Everything that can go wrong, at random: members die, freeze, come and go, brokers die, the
network fails. Nothing is lost, and nothing is said twice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random, SystemRandom

from penstock.local.broker import Kafka
from tests.acceptance.brokers import whole
from tests.acceptance.crew import Crew, joining
from tests.acceptance.freezes import begun_again, check_answers, without
from tests.acceptance.load import PACES, SLOTS, Load, common, rest_ended, steadily, tell, told_gaps
from tests.acceptance.outcome import Outcome
from tests.chaos.ordeal import Ordeal, ordeal
from tests.support.detour import detouring
from tests.support.processes import models
from tests.support.proxy import Network, proxies

PER_SECOND = 8.0
MOST, FEWEST = 4, 2
PAUSE_SECONDS = (0.5, 4.0)
FROZEN_SECONDS = 12.0
BROKER_AWAY_SECONDS = 3.0
CUTS = 3
HOLE_SECONDS = (1.0, 5.0)


class Fates:
    """What happens next, and to whom. One thing after the other, but a freeze lasts."""

    def __init__(
        self, kafka: Kafka, network: Network, here: Ordeal, crew: Crew, load: Load, rng: Random
    ) -> None:
        self.seen: Counter[str] = Counter()
        self._kafka = kafka
        self._network = network
        self._here = here
        self._crew = crew
        self._load = load
        self._rng = rng
        self._frozen: dict[str, asyncio.Task[None]] = {}
        self._deeds: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "replace": self._replace,
            "scale": self._scale,
            "freeze": self._freeze,
            "broker": self._broker,
            "cut": self._cut,
            "hole": self._hole,
        }

    async def strike(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            name = self._rng.choice(list(self._deeds))
            self.seen[name] += 1
            self._load.step(f"{sum(self.seen.values())} {name}")
            await self._deeds[name]()
            await asyncio.sleep(self._rng.uniform(*PAUSE_SECONDS))
        await asyncio.gather(*self._frozen.values())

    def _awake(self) -> list[int]:
        names = [member.name for member in self._crew.present]
        return [n for n, name in enumerate(names) if name not in self._frozen]

    async def _kill(self) -> None:
        member = self._crew.present.pop(self._rng.choice(self._awake()))
        member.running.kill()
        await self._crew.join()

    async def _replace(self) -> None:
        old = self._crew.present[self._rng.choice(self._awake())]
        await self._crew.join()
        await self._crew.leave(old)

    async def _scale(self) -> None:
        if len(self._crew.present) < MOST and self._rng.random() < 0.5:
            await self._crew.join()
        elif len(self._awake()) > FEWEST:
            await self._crew.leave(self._crew.present[self._rng.choice(self._awake())])

    async def _freeze(self) -> None:
        if len(self._awake()) < FEWEST:
            return
        member = self._crew.present[self._rng.choice(self._awake())]
        member.running.freeze()

        async def thawed() -> None:
            await asyncio.sleep(FROZEN_SECONDS)
            member.running.thaw()
            del self._frozen[member.name]

        self._frozen[member.name] = asyncio.create_task(thawed())

    async def _broker(self) -> None:
        node = self._rng.choice(self._kafka.nodes)
        await node.kill()
        await asyncio.sleep(BROKER_AWAY_SECONDS)
        await node.start()
        await whole(self._kafka, self._here.world)

    async def _cut(self) -> None:
        for _ in range(CUTS):
            self._network.cut()
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))

    async def _hole(self) -> None:
        with self._network.hole():
            await asyncio.sleep(self._rng.uniform(*HOLE_SECONDS))


async def chaos(
    kafka: Kafka,
    *,
    seconds: float = 900,
    members: int = 3,
    per_second: float = PER_SECOND,
    seed: int | None = None,
) -> Outcome:
    """Calls are repeated where a process has died or frozen, or where Kafka was away too long for
    a last commit.
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
            "all-of-it",
            partitions=6,
            slots=SLOTS,
        ) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(), per_second) as load:
            load.step("calm")
            fates = Fates(kafka, network, here, crew, load, Random(seed))
            await fates.strike(seconds)
            await load.answered(round(per_second))
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        outcome.figures |= {"seed": seed, "seconds": seconds, **fates.seen}
        again = begun_again(evidence)
        others = without(evidence, again.keys())
        codes = crew.codes.values()
        await tell(outcome, here, evidence, codes, repeats=True, judged=others)
    with outcome.promised():
        check_answers(evidence, again.keys())
    gaps = load.gaps(evidence)
    told_gaps(outcome, {name: gap for name, gap in gaps.items() if gap == max(gaps.values())})
    return outcome
