"""Where members die: questions of all kinds, and the processes that answer them."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from penstock.kafka import metadata
from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from tests.chaos.evidence import Asked, Death, Evidence, gathered, judge
from tests.chaos.member import FAULT, NAME
from tests.simulation.guarantees import Place
from tests.support.processes import Running, Start, service
from tests.support.traffic import Reader, World, asking, reading, world

LOOK_SECONDS = 0.1

PARTITIONS = 4
SLOTS = 12
PACES = {"first_token_ms": 40, "token_ms": 10, "tokens": 8}
MODELS = {"PLAIN": "ok?text={}", "SLOW": "ok?first_ms=1500&text={}", "POISON": "400?text={}"}


Look = Callable[[], Awaitable[dict[TopicPartition, OffsetAndMetadata]]]
"""What the group has committed."""


class Wanted(NamedTuple):
    """A question to ask, and how it has to end. `more` goes into it."""

    question_id: str
    key: str | None = None
    more: Mapping[str, Any] = {}
    status: str = "completed"


def mixed(questions: int) -> Iterator[Wanted]:
    """Slow ones, such as fail, such as cannot be read, and repeated ids; in eleven lanes, and
    every third in none.
    """
    for number in range(questions):
        name, key = f"q{number}", None if number % 3 == 0 else f"k{number % 11}"
        match number % 24:
            case 3 | 15:
                yield Wanted(name, key, {"program": "slow"})
            case 7 | 18:
                yield Wanted(name, key, {"program": "poison"}, "failed")
            case 10:
                yield Wanted(name, key, {"question": None}, "failed")
            case 22 if number >= 66:
                # In the same lane, and so in the same partition.
                yield Wanted(f"q{number - 66}", key, status="duplicate")
            case _:
                yield Wanted(name, key)


class Ordeal:
    """`ask`, and let a `member` die; then `judge` the `evidence`, when nobody is left."""

    def __init__(
        self, world: World, provider: Running, start: Start, completions: Reader, slots: int
    ) -> None:
        self.world = world
        self.completions = completions
        self.asked: dict[Place, Asked] = {}
        self.members: list[str] = []
        self.deaths: list[Death] = []
        self._provider = provider
        self._start = start
        self._slots = slots

    async def ask(self, wanted: Iterable[Wanted]) -> None:
        """Returns when all are acknowledged."""
        async with asking(self.world) as asker:
            sent = [
                (await asker.ask(one.question_id, key=one.key, **one.more), one) for one in wanted
            ]
            for acknowledged, one in sent:
                at = await acknowledged
                asked = Asked(one.question_id, one.key, one.status, at.timestamp)
                self.asked[at.partition, at.offset] = asked

    async def ask_again(self, questions: int = 10) -> None:
        """What is answered already, which now is a duplicate."""
        answered = [
            # In its lane, and so in its partition.
            Wanted(asked.question_id, asked.key, status="duplicate")
            for place, asked in self.asked.items()
            if place in self.completions.ended
            and asked.key is not None
            and asked.status == "completed"
        ]
        await self.ask(answered[:questions])

    @asynccontextmanager
    async def member(self, fault: str | None = None) -> AsyncIterator[Running]:
        """`fault`: where it is to die, and at the how manieth time it comes there."""
        # A writer's name has twelve characters.
        name = f"{self.world.group[-8:]}-{len(self.members) + 1}"
        self.members.append(name)
        own = {
            NAME.removeprefix("PENSTOCK_"): name,
            "POOL__SLOTS": self._slots,
            "DEFAULT_PROGRAM": "plain",
            **_programs(name, self._provider),
        }
        if fault is not None:
            own[FAULT.removeprefix("PENSTOCK_")] = fault
        async with service(self.world, self._provider, own, self._start) as running:
            watching = asyncio.create_task(self._watch(name, running))
            try:
                yield running
            finally:
                if running.alive:
                    watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, name: str, running: Running) -> None:
        if await running.ended() == -signal.SIGKILL:
            self.deaths.append(Death(name, time.monotonic()))

    async def all_ended(self) -> None:
        """Until every question has a completion."""
        await self.completions.until_ended(len(self.asked))

    async def evidence(self) -> Evidence:
        return await gathered(self.world, self._provider, self.asked, self.members, self.deaths)

    async def judge(self, evidence: Evidence, *, committed: bool = True) -> None:
        """Raises AssertionError where a promise is broken.

        Args:
            evidence: of now.
            committed: whether all left alive, and so could commit for the last time.
        """
        judge(evidence, self._slots)
        if committed:
            await self._check_commits()

    async def all_committed(self) -> None:
        """Until the group knows that all is done. Whoever leaves does not wait to hear what another
        has just ended of its partitions: that stands in the completions, for the next owner.
        """
        async with self._group() as look:

            async def committed() -> bool:
                return {place: at.offset for place, at in (await look()).items()} == records

            records = self._records()
            while not await committed():  # noqa: ASYNC110 - its state
                await asyncio.sleep(LOOK_SECONDS)

    async def _check_commits(self) -> None:
        """The last to leave has said that all is done, and that nothing is to be done again."""
        async with self._group() as look:
            found = await look()
        for place, records in self._records().items():
            offset, said = found[place].offset, found[place].metadata
            assert offset == records, f"{place} is committed up to {offset} of {records}"
            assert metadata.read(offset, said, 0.0).clean, f"{place}: {said}"

    def _records(self) -> dict[TopicPartition, int]:
        """In each partition of the questions."""
        topic, asked = self.world.topics["questions"], Counter(number for number, _ in self.asked)
        return {TopicPartition(topic, n): asked[n] for n in range(self.world.partitions)}

    @asynccontextmanager
    async def _group(self) -> AsyncIterator[Look]:
        places = list(self._records())
        async with admin(client_arguments(self.world.servers, {})) as connection:

            async def look() -> dict[TopicPartition, OffsetAndMetadata]:
                found: dict[TopicPartition, OffsetAndMetadata]
                found = await connection.list_consumer_group_offsets(
                    self.world.group, partitions=places
                )
                return found

            yield look


def _programs(member: str, provider: Running) -> dict[str, str]:
    """One for each model; a member's models say its name, here and in the model server's log."""
    own = {}
    for name, model in MODELS.items():
        own[f"PROGRAMS__{name}__ENTRY"] = "question -> answer"
        own[f"PROGRAMS__{name}__MODEL"] = name.lower()
        own[f"MODELS__{name}__NAME"] = f"openai/{model.format(member)}"
        own[f"MODELS__{name}__API_BASE"] = provider.address
        own[f"MODELS__{name}__API_KEY"] = "none"
    return own


@asynccontextmanager
async def ordeal(
    servers: str,
    provider: Running,
    start: Start,
    name: str,
    *,
    partitions: int = PARTITIONS,
    slots: int = SLOTS,
) -> AsyncIterator[Ordeal]:
    """With its own topics and group."""
    async with (
        world(servers, name, partitions) as kafka,
        reading(kafka, "completions") as completions,
    ):
        yield Ordeal(kafka, provider, start, completions, slots)
