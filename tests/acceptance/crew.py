"""Members that come and go, each by its name, and who had which partition when."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import orjson

from tests.chaos.member import NAME
from tests.chaos.ordeal import Ordeal
from tests.support.openai_wire import pieces
from tests.support.processes import START_SECONDS, Child, Running, Start, probed

LOOK_SECONDS = 0.05
WORDS = 100
"""Of a slow answer."""
FRAME = "[[ ## answer ## ]]\n\n[[ ## completed ## ]]"
"""What a model says around it."""


class Member(NamedTuple):
    name: str
    running: Running


class Given(NamedTuple):
    """Partitions to a member. Monotonic seconds."""

    at: float
    member: str
    partitions: frozenset[int]


class Crew:
    def __init__(self, here: Ordeal, stack: AsyncExitStack, patience: float) -> None:
        self.present: list[Member] = []
        self.given: list[Given] = []
        self.codes: dict[str, int] = {}
        """How those have ended that were asked to leave."""
        self._here = here
        self._stack = stack
        self._patience = patience
        self._news = asyncio.Event()

    async def join(self, members: int = 1) -> list[Member]:
        """All at once; returns when they are ready, as an orchestrator would ask."""
        return list(await asyncio.gather(*(self._join() for _ in range(members))))

    async def leave(self, member: Member) -> None:
        self.present.remove(member)
        self.codes[member.name] = await member.running.terminate(self._patience)

    async def all_leave(self) -> None:
        await asyncio.gather(*(self.leave(member) for member in list(self.present)))

    def partitions(self, member: Member) -> frozenset[int]:
        """Which it has, as far as members have said."""
        return frozenset(p for p, owner in self._owners().items() if owner == member.name)

    async def taken_over(self, partitions: frozenset[int], member: Member) -> list[str]:
        """Until others than this member have them; gives their names."""
        while True:
            owners = self._owners()
            if all(owners.get(p, member.name) != member.name for p in partitions):
                return [owners[p] for p in sorted(partitions)]
            self._news.clear()
            await self._news.wait()

    def named(self, name: str) -> Member:
        [found] = [member for member in self.present if member.name == name]
        return found

    def owners(self, partition: int, began: float, ended: float) -> list[str]:
        """Who had the partition one after the other, from whom it had at the beginning."""
        found: list[str] = []
        for at, member, partitions in self.given:
            if partition in partitions and at <= ended:
                found = [*found, member] if at >= began else [member]
        return [name for n, name in enumerate(found) if n == 0 or found[n - 1] != name]

    async def _join(self) -> Member:
        number = len(self._here.members)
        running = await self._stack.enter_async_context(self._here.member())
        member = Member(self._here.members[number], running)
        running.hear(lambda line: self._hear(member, line))
        async with asyncio.timeout(self._patience):
            while (await probed(running, "readyz"))[0] != 200:  # noqa: ASYNC110 # its state
                await asyncio.sleep(LOOK_SECONDS)
        self.present.append(member)
        return member

    def _hear(self, member: Member, line: str) -> None:
        if "partitions assigned" in line:
            partitions = frozenset(map(int, orjson.loads(line)["offsets"]))
            self.given.append(Given(time.monotonic(), member.name, partitions))
            self._news.set()

    def _owners(self) -> dict[int, str]:
        return {p: given.member for given in self.given for p in given.partitions}


def speaker(model: str) -> str:
    """A member's models say its name."""
    return parse_qs(model.partition("?")[2])["text"][0]


@asynccontextmanager
async def joining(here: Ordeal, patience: float = START_SECONDS) -> AsyncIterator[Crew]:
    """Whoever is left in the end is killed.

    Args:
        here: where they join.
        patience: seconds that one may take to be ready, or to leave.
    """
    async with AsyncExitStack() as stack:
        yield Crew(here, stack, patience)


def slowly(start: Start, seconds: float) -> Start:
    """The model of the program `slow` takes so long, and speaks all along."""

    async def started(environment: Mapping[str, str], folder: Path) -> Child:
        name = environment[NAME]
        chunks = len(pieces(" ".join([name] * WORDS))) + len(pieces(FRAME))
        model = f"openai/ok?text={name}&tokens={WORDS}&token_ms={seconds * 1000 / chunks:.3f}"
        return await start({**environment, "PENSTOCK_MODELS__SLOW__NAME": model}, folder)

    return started
