"""The guarantees hold in every world; a world is its seed.

`PENSTOCK_SIM_SEEDS=100000` tries more of them; `PENSTOCK_SIM_SEED=17` replays one and prints what
happened.
"""

import os
import sys
from collections import Counter
from itertools import takewhile

import pytest

from tests.simulation.draw import SCOPES
from tests.simulation.faults import MOMENTS
from tests.simulation.mutations import resolves_before_the_acknowledgement
from tests.simulation.seeds import outcome, outcomes
from tests.simulation.world import World

SEEDS = 2_000
SHOWN = 1_000
"""Seeds after which a long run says how far it is."""
ENOUGH = 1_000
"""Seeds among which everything happens that can."""

HAPPENS = {
    *(f"struck: {moment}" for moment in MOMENTS),
    *("repeated", "restarted", "found", "position unknown", "generation over"),
    *("claimed", "nearly full", "did not fit"),
    *(f"paused: {scope}" for scope in SCOPES),
    *("revoked while arriving", "revoked before it was open"),
    *("evicted", "too slow", "killed"),
    *("recreated", "reset", "retained", "forgotten"),
}


@pytest.mark.skipif("PENSTOCK_SIM_SEED" in os.environ, reason="one world is replayed")
def test_the_guarantees_hold(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = range(int(os.environ.get("PENSTOCK_SIM_SEEDS", SEEDS)))
    seen: Counter[str] = Counter()
    for seed, report, happened in outcomes(seeds):
        assert report is None, report
        seen += happened
        if len(seeds) > SEEDS and (seed + 1) % SHOWN == 0:
            with capsys.disabled():
                print(f"{seed + 1} of {len(seeds)} worlds", file=sys.stderr, flush=True)
    assert len(seeds) < ENOUGH or seen.keys() >= HAPPENS, HAPPENS - seen.keys()


@pytest.mark.skipif("PENSTOCK_SIM_SEED" not in os.environ, reason="no world is replayed")
def test_the_guarantees_hold_in_one_world() -> None:
    world = World(int(os.environ["PENSTOCK_SIM_SEED"]), trace=True)
    try:
        world.run()
    finally:
        print("\n".join(world.trace or ()))


def test_a_seed_is_a_world() -> None:
    first, second = World(3, trace=True), World(3, trace=True)
    first.run()
    second.run()
    assert first.trace == second.trace


def test_a_broken_world_says_how_it_came_about(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_before_the_acknowledgement(monkeypatch)
    report = outcome(6).report or ""
    what, *trace, replay = report.splitlines()
    assert what.startswith("seed 6: AssertionError: NothingCommittedEarly: m")
    assert "Commit(heads=" in "".join(trace)
    assert replay.startswith("replay: PENSTOCK_SIM_SEED=6 ")


def test_half_of_the_worlds_are_undisturbed() -> None:
    for seed in range(24):
        world = World(seed, trace=True)
        world.run()
        lived = takewhile(lambda line: "Depart()" not in line, world.trace or ())
        rebalances = sum(line.endswith("the group rebalances") for line in lived)
        assert (rebalances > 1) <= (seed % 2 == 1)


def test_in_some_worlds_members_only_come_and_go() -> None:
    worlds = [World(seed) for seed in range(64)]
    calm = [world for world in worlds if world.weather.moving and not world.weather.disturbed]
    assert len(calm) == len(worlds) // 8
    for world in calm:
        world.run()
    seen = sum((world.seen for world in calm), Counter[str]())
    assert seen.keys() >= {"handed over", "held", "came back"}
    assert not seen.keys() & {"evicted", "commit failed"}
    assert not seen.keys() & {"recreated", "reset", "retained", "forgotten"}
