"""Brokers that die: one after the other, and all at once."""

import asyncio
import time
from collections.abc import Mapping

from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from penstock.local.broker import Kafka
from tests.acceptance.crew import Crew, Member, joining
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
from tests.support.processes import PENSTOCK_SERVE, Start, cpu_seconds, models, probed
from tests.support.traffic import World

OFFSETS = "__consumer_offsets"
CPU = 0.1
"""Of a core, at most, while there is nothing to do."""
NOTICED_SECONDS = 15
BACK_SECONDS = 60
LOOK_SECONDS = 0.5


async def brokers_killed(
    kafka: Kafka,
    *,
    members: int = 3,
    per_second: float = PER_SECOND,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """kill -9 of each in turn; the next one when all copies are whole again."""
    outcome = Outcome()
    async with (
        models(**PACES) as provider,
        ordeal(
            kafka.bootstrap_servers, provider, start, "brokers-killed", partitions=6, slots=SLOTS
        ) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(), per_second) as load:
            for node in kafka.nodes:
                load.step(f"node {node.number}")
                await node.kill()
                await load.answered(round(2 * per_second))
                await node.start()
                await whole(kafka, here.world)
            await load.answered(round(per_second))
        await rest_ended(here)
        _check_alive(outcome, crew)
        await crew.all_leave()
        evidence = await here.evidence()
        await tell(outcome, here, evidence, crew.codes.values(), repeats=True)
    told_gaps(outcome, load.gaps(evidence))
    return outcome


async def brokers_away(
    kafka: Kafka,
    *,
    seconds: float = 30,
    members: int = 3,
    per_second: float = PER_SECOND,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """kill -9 of all at once, and a start after so many seconds."""
    outcome = Outcome()
    async with (
        models(**PACES) as provider,
        ordeal(
            kafka.bootstrap_servers, provider, start, "brokers-away", partitions=6, slots=SLOTS
        ) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(), per_second) as load:
            load.step("away")
            await asyncio.gather(*(node.kill() for node in kafka.nodes))
            began = time.monotonic()
            spent = {member: cpu_seconds(member.running.pid) for member in crew.present}
            noticed = await asyncio.gather(*(_probed_until(503, one) for one in crew.present))
            live = [await probed(one.running, "livez") for one in crew.present]
            await asyncio.sleep(began + seconds - time.monotonic())
            live += [await probed(one.running, "livez") for one in crew.present]
            cpu = _shares(spent, time.monotonic() - began)
            _check_alive(outcome, crew)
            load.step("back")
            await asyncio.gather(*(node.start() for node in kafka.nodes))
            back = await asyncio.gather(*(_probed_until(200, one) for one in crew.present))
            await load.answered(round(per_second))
        await rest_ended(here)
        _check_alive(outcome, crew)
        await crew.all_leave()
        evidence = await here.evidence()
        outcome.figures |= {
            "cpu_shares": cpu,
            "not_ready_after_seconds": noticed,
            "ready_after_seconds": back,
        }
        await tell(outcome, here, evidence, crew.codes.values(), repeats=True)
    outcome.promise(f"/readyz says no meanwhile: {noticed}", kept=None not in noticed)
    outcome.promise(f"/readyz says yes again: {back}", kept=None not in back)
    outcome.promise(f"/livez says yes all along: {live}", kept=all(s == 200 for s, _ in live))
    outcome.bound(f"{CPU:.0%} of a core at most", kept=max(cpu, default=0) < CPU)
    told_gaps(outcome, load.gaps(evidence))
    return outcome


async def whole(kafka: Kafka, world: World) -> None:
    """Until every copy of every partition is in sync."""
    async with admin(client_arguments(kafka.bootstrap_servers, {})) as connection:
        while True:
            found = await connection.describe_topics([*world.topics.values(), OFFSETS])
            partitions = [one for topic in found for one in topic["partitions"]]
            if all(len(one["isr"]) == len(kafka.nodes) for one in partitions):
                return
            await asyncio.sleep(LOOK_SECONDS)


async def _probed_until(status: int, member: Member) -> float | None:
    """Seconds until it says so of being ready."""
    began = time.monotonic()
    limit = NOTICED_SECONDS if status == 503 else BACK_SECONDS
    while (await probed(member.running, "readyz"))[0] != status:
        if time.monotonic() > began + limit:
            return None
        await asyncio.sleep(LOOK_SECONDS)
    return round(time.monotonic() - began, 1)


def _shares(spent: Mapping[Member, float], seconds: float) -> list[float]:
    return [
        round((cpu_seconds(one.running.pid) - before) / seconds, 3)
        for one, before in spent.items()
        if one.running.alive
    ]


def _check_alive(outcome: Outcome, crew: Crew) -> None:
    gone = [member.name for member in crew.present if not member.running.alive]
    outcome.promise(f"nobody exits: {gone} have", kept=not gone)
