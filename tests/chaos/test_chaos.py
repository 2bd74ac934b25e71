"""Members die by SIGKILL, where it hurts and where it pleases; nothing is lost and nothing doubled.

All stories are told at once, on one Kafka, as they are mostly waits for the group to give a dead
member up; each is a test of its own. `PENSTOCK_CHAOS_SEED` replays the choices of a random one,
`PENSTOCK_CHAOS_KILLS` says of how many kills it is.
"""

import os
from random import SystemRandom

import pytest

from tests.chaos.evidence import Evidence
from tests.chaos.nursery import nursery
from tests.chaos.ordeal import PACES
from tests.chaos.stories import DEATHS, at_once, dies_at, dies_at_random
from tests.support.kafka import Call
from tests.support.processes import Running, Start, models

KILLS = 3
RANDOM = "random"

Told = dict[str, Evidence | BaseException]


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("PENSTOCK_CHAOS_SEED") or SystemRandom().randrange(2**32))


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest, bootstrap_servers: str, session_loop: Call, seed: int
) -> Told:
    """How those that are asked for have ended."""
    wanted = [item.name for item in request.session.items if item.path == request.path]
    names = [death for death in DEATHS if f"test_a_death[{death}]" in wanted]
    if "test_random_deaths" in wanted:
        # The longest first.
        names.insert(0, RANDOM)
    number = int(os.environ.get("PENSTOCK_CHAOS_KILLS", KILLS))

    async def tell(provider: Running, start: Start, name: str) -> Evidence:
        if name == RANDOM:
            return await dies_at_random(bootstrap_servers, provider, start, seed, number)
        return await dies_at(bootstrap_servers, provider, start, name)

    async def all_told() -> Told:
        async with models(**PACES) as provider, nursery() as born:
            return await at_once(names, lambda name: tell(provider, born.start, name))

    told: Told = session_loop(all_told())
    return told


def _evidence(stories: Told, name: str) -> Evidence:
    found = stories[name]
    if isinstance(found, BaseException):
        raise found
    return found


@pytest.mark.parametrize("death", DEATHS)
def test_a_death(stories: Told, death: str) -> None:
    evidence = _evidence(stories, death)
    assert (evidence.lost(), evidence.doubled()) == (0, 0)
    assert evidence.repeated_calls <= sum(evidence.running_at_deaths.values())


def test_random_deaths(stories: Told, seed: int) -> None:
    print(f"PENSTOCK_CHAOS_SEED={seed}")
    evidence = _evidence(stories, RANDOM)
    print(f"{len(evidence.deaths)} deaths, {evidence.repeated_calls} calls again")
    assert (evidence.lost(), evidence.doubled()) == (0, 0)
    assert evidence.repeated_calls <= sum(evidence.running_at_deaths.values())
