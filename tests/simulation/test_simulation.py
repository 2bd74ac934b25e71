"""The guarantees hold in every world; a world is its seed.

`PENSTOCK_SIM_SEEDS=1000` tries more of them; `PENSTOCK_SIM_SEED=17` replays one and prints what
happened.
"""

import os

import pytest

from tests.simulation.world import World

SEEDS = 300
LAST_LINES = 25


def seeds() -> range:
    if one := os.environ.get("PENSTOCK_SIM_SEED"):
        return range(int(one), int(one) + 1)
    return range(int(os.environ.get("PENSTOCK_SIM_SEEDS", SEEDS)))


@pytest.mark.parametrize("seed", seeds())
def test_the_guarantees_hold(seed: int) -> None:
    replayed = "PENSTOCK_SIM_SEED" in os.environ
    world = World(seed, trace=replayed)
    try:
        world.run()
    except Exception as error:
        raise AssertionError(_report(seed, error)) from error
    finally:
        if replayed:
            print("\n".join(world.trace or ()))


def test_a_seed_is_a_world() -> None:
    first, second = World(3, trace=True), World(3, trace=True)
    first.run()
    second.run()
    assert first.trace == second.trace


def test_half_of_the_worlds_are_undisturbed() -> None:
    for seed in range(20):
        world = World(seed, trace=True)
        world.run()
        rebalances = sum(line.endswith("the group rebalances") for line in world.trace or ())
        assert (rebalances > 1) <= (seed % 2 == 1)


def _report(seed: int, error: Exception) -> str:
    """The same world once more, now with its trace: the last lines say how it came about."""
    world = World(seed, trace=True)
    with pytest.raises(type(error)):
        world.run()
    last = "\n".join((world.trace or [])[-LAST_LINES:])
    return (
        f"seed {seed}: {type(error).__name__}: {error}\n{last}\n"
        f"replay: PENSTOCK_SIM_SEED={seed} .venv/bin/python -m pytest -s -q "
        "tests/simulation/test_simulation.py -k guarantees"
    )
