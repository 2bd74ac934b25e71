"""How members die: at a named point, or when it pleases a random generator."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from tests.chaos.evidence import Evidence
from tests.chaos.ordeal import Ordeal, mixed, ordeal
from tests.support.processes import Running, Start, with_settings

QUESTIONS = 240
PATIENCE_SECONDS = 180
AT_ONCE = 4

DEADLINES = {"DEADLINE__DEFAULT_MS": 20_000}
"""The longest run is 1.5 s. Whoever dies when it has handed over what it ran leaves the others
waiting for as long as that may run, and every test with them.
"""

DEATHS = {
    "completion-sent": "completion-sent:30",
    "completion-acknowledged": "completion-acknowledged:45",
    # The first is the opening one, and about a second lies between two.
    "commit-sent": "commit-sent:2",
    "commit-acknowledged": "commit-acknowledged:2",
    # The first ten are of those that cannot be read, and come before any run has ended.
    "dead-letter-acknowledged": "dead-letter-acknowledged:18",
    "end-acknowledged": "end-acknowledged:40",
    # Of one of those ten.
    "end-without-a-run-acknowledged": "end-acknowledged:1",
    "recovery-begun": "recovery-begun:1",
    "recovery-read": "recovery-read:1",
    "opening-committed": "opening-committed:1",
}
"""In the middle of the work of one member of two; the last three: of one that takes over."""

OF_AN_HEIR = frozenset({"recovery-begun", "recovery-read", "opening-committed"})
ALONE = frozenset(
    {
        "completion-acknowledged",
        "commit-sent",
        "dead-letter-acknowledged",
        "end-without-a-run-acknowledged",
    }
)
"""Whoever dies there has all partitions; its heir starts after its death."""


async def dies_at(servers: str, provider: Running, start: Start, death: str) -> Evidence:
    """A member dies, another takes over."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        ordeal(servers, provider, with_settings(start, DEADLINES), death) as here,
        AsyncExitStack() as members,
    ):
        await here.ask(mixed(QUESTIONS))
        if death in OF_AN_HEIR:
            await _dies_in_the_middle(here)
        fault = DEATHS[death]
        if death in ALONE:
            victim = await members.enter_async_context(here.member(fault))
            assert await victim.ended() == -signal.SIGKILL
            heir = await members.enter_async_context(here.member())
        else:
            victim, heir = await asyncio.gather(
                members.enter_async_context(here.member(fault)),
                members.enter_async_context(here.member()),
            )
            assert await victim.ended() == -signal.SIGKILL
        await here.completions.rest()
        await here.ask_again()
        assert len(here.completions.ended) < QUESTIONS, "nothing is left to take over"
        await heir.meanwhile(here.all_ended(), PATIENCE_SECONDS)
        assert await heir.terminate() == 0
        evidence = await here.evidence()
        await here.judge(evidence)
        assert len(here.deaths) == 1 + (death in OF_AN_HEIR)
        return evidence


async def _dies_in_the_middle(here: Ordeal) -> None:
    async with here.member() as first:
        await first.meanwhile(here.completions.until_ended(QUESTIONS // 4), PATIENCE_SECONDS)
        first.kill()
        await first.ended()


# --- at random ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kill:
    """From outside, when so many questions have ended; whose place, and where who takes that
    place dies by itself, if it comes so far.
    """

    ended: int
    seat: int
    fault: str | None


def kills(seed: int, number: int, questions: int, seats: int) -> list[Kill]:
    """Over the first three quarters of the work."""
    rng = Random(seed)
    moments = sorted(rng.randrange(1, questions * 3 // 4) for _ in range(number))
    return [Kill(moment, rng.randrange(seats), _fault(rng)) for moment in moments]


def _fault(rng: Random) -> str | None:
    point, _, times = rng.choice(sorted(DEATHS.values())).partition(":")
    return rng.choice((None, f"{point}:{rng.randint(1, int(times))}"))


async def dies_at_random(
    servers: str, provider: Running, start: Start, seed: int, number: int, *, seats: int = 2
) -> Evidence:
    """Whoever dies is replaced."""
    questions = QUESTIONS + 60 * number
    async with (
        asyncio.timeout(PATIENCE_SECONDS + 15 * number),
        ordeal(servers, provider, with_settings(start, DEADLINES), "random") as here,
    ):
        await here.ask(mixed(questions))
        plan = kills(seed, number, questions, seats)
        taken = [Seat(here, (kill.fault for kill in plan if kill.seat == n)) for n in range(seats)]
        async with asyncio.TaskGroup() as group:
            sitting = [group.create_task(seat.occupied()) for seat in taken]
            for kill in plan:
                await here.completions.until_ended(kill.ended)
                await taken[kill.seat].kill()
                await here.ask_again()
            await here.all_ended()
            for seat in taken:
                await seat.vacate()
        alive = all([await left for left in sitting])
        evidence = await here.evidence()
        await here.judge(evidence, committed=alive)
        return evidence


class Seat:
    """A place in the group; who sits there may die, and is followed by another.

    Args:
        here: where.
        faults: of those that follow.
    """

    def __init__(self, here: Ordeal, faults: Iterable[str | None] = ()) -> None:
        self.taken = asyncio.Event()
        self._here = here
        self._faults = iter(faults)
        self._running: Running | None = None
        self._leaving = False

    async def occupied(self) -> bool:
        """Until it is to be vacated; then whether the last one has left alive."""
        fault = None
        while not self._leaving:
            async with self._here.member(fault) as self._running:
                self.taken.set()
                code = await self._running.ended()
                self.taken.clear()
            assert code in {0, -signal.SIGKILL}, f"a member has ended with {code}"
            fault = next(self._faults, None)
        return code == 0

    async def kill(self) -> None:
        await self.taken.wait()
        self.taken.clear()
        assert self._running is not None
        self._running.kill()

    async def vacate(self) -> None:
        await self.taken.wait()
        self._leaving = True
        assert self._running is not None
        await self._running.terminate()


# --- many at once -------------------------------------------------------------------------------


async def at_once(
    names: Iterable[str], tell: Callable[[str], Awaitable[Evidence]]
) -> dict[str, Evidence | BaseException]:
    """How each has ended. Most of a story is waiting for the group to give a dead member up."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Evidence:
        async with limit:
            return await tell(name)

    wanted = list(names)
    endings = await asyncio.gather(*map(one, wanted), return_exceptions=True)
    return dict(zip(wanted, endings, strict=True))
