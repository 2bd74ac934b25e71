"""One world after the other, on all cores."""

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.simulation.world import World

LAST_LINES = 25
CHUNK = 20
"""Worlds that a process lives through before it reports."""


class Outcome(NamedTuple):
    """`report`: what was broken, if anything. `seen`: how often what happened."""

    seed: int
    report: str | None
    seen: Counter[str]


def outcomes(seeds: range) -> Iterator[Outcome]:
    """In order."""
    spawned = multiprocessing.get_context("spawn")
    # A world is a heap of small things that die together: looking for garbage less often pays.
    with ProcessPoolExecutor(os.cpu_count(), spawned, gc.set_threshold, (50_000,)) as pool:
        try:
            yield from pool.map(outcome, seeds, chunksize=CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def outcome(seed: int) -> Outcome:
    world = World(seed)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's
        return Outcome(seed, _report(seed, error), world.seen)
    return Outcome(seed, None, world.seen)


def _report(seed: int, error: Exception) -> str:
    """The same world once more, now with its trace: the last lines say how it came about."""
    world = World(seed, trace=True)
    try:
        world.run()
    except Exception as again:  # noqa: BLE001 - the same one
        error = again
    last = "\n".join((world.trace or [])[-LAST_LINES:])
    return (
        f"seed {seed}: {type(error).__name__}: {error}\n{last}\n"
        f"replay: PENSTOCK_SIM_SEED={seed} .venv/bin/pytest -s -q "
        "tests/simulation/test_simulation.py -k guarantees"
    )
