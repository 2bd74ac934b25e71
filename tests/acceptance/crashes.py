"""kill -9, again and again: nothing is lost or said twice, and only what ran runs again."""

import asyncio
import time
from collections.abc import Iterator
from random import Random, SystemRandom

from tests.acceptance.outcome import Outcome
from tests.chaos.ordeal import Ordeal, Wanted, ordeal
from tests.chaos.stories import Seat
from tests.support.processes import PENSTOCK_SERVE, models

HELD_SECONDS = 240
"""What a member has handed over when it dies waits until its time is over: two minutes by default,
and as many questions as it had slots.
"""


async def crashes(
    servers: str,
    *,
    questions: int = 3_000,
    kills: int = 20,
    members: int = 3,
    slots: int = 64,
    seed: int | None = None,
) -> Outcome:
    """One of the members dies at a random moment, and another process takes its place.

    The questions come in as many waves as there are kills, so that each falls into the work.
    """
    outcome = Outcome()
    seed = SystemRandom().randrange(2**32) if seed is None else seed
    begun = time.monotonic()
    async with (
        models(first_token_ms=1_000, token_ms=100, tokens=8) as provider,
        ordeal(servers, provider, PENSTOCK_SERVE, "crashes", partitions=6, slots=slots) as here,
    ):
        seats = [Seat(here) for _ in range(members)]
        async with asyncio.TaskGroup() as group:
            sitting = [group.create_task(seat.occupied()) for seat in seats]
            for seat in seats:
                await seat.taken.wait()
            await _kill_again_and_again(here, seats, questions, kills, Random(seed))
            async with asyncio.timeout(HELD_SECONDS):
                await here.all_ended()
            for seat in seats:
                await seat.vacate()
        alive = all([await left for left in sitting])
        evidence = await here.evidence()
        with outcome.promised():
            await here.judge(evidence, committed=alive)
    running = evidence.running_at_deaths
    outcome.figures |= {
        "seed": seed,
        "questions": questions,
        "members": members,
        "slots": slots,
        "kills": len(evidence.deaths),
        "lost": evidence.lost(),
        "double": evidence.doubled(),
        "calls": len(evidence.calls),
        "repeated_calls": evidence.repeated_calls,
        "running_at_deaths": [running.get(death.member, 0) for death in evidence.deaths],
        "seconds": round(time.monotonic() - begun),
    }
    outcome.promise(f"{kills} kills", kept=len(evidence.deaths) == kills)
    outcome.promise(
        "a call is repeated only where its process died",
        kept=evidence.repeated_calls <= sum(running.values()),
    )
    return outcome


async def _kill_again_and_again(
    here: Ordeal, seats: list[Seat], questions: int, kills: int, rng: Random
) -> None:
    size = questions // kills
    for wave in range(kills):
        first, last = wave * size, questions if wave == kills - 1 else (wave + 1) * size
        await here.ask(_wave(first, last))
        # Counted from now: what a dead member had waits for its successor.
        ended = len(here.completions.ended)
        async with asyncio.timeout(HELD_SECONDS):
            await here.completions.until_ended(ended + rng.randint(1, size // 2))
        serving = [seat for seat in seats if seat.taken.is_set()]
        await rng.choice(serving or seats).kill()


def _wave(first: int, last: int) -> Iterator[Wanted]:
    """Every fifth waits for others: some of one key are in most waves."""
    for number in range(first, last):
        yield Wanted(f"q{number}", f"k{number % 500}" if number % 5 == 0 else None)
