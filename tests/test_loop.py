"""The loop with a source and jobs that do what the test says."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import pytest

from penstock.clock import Clock
from penstock.core import duplicates, facts
from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.engine import Engine
from penstock.core.facts import Head, RecordId, Recovered, Status
from penstock.core.failure import Failure
from penstock.core.offset_map import DoneBeyond
from penstock.core.policy import Policy
from penstock.errors import KafkaError
from penstock.loop import Loop


@dataclass(frozen=True)
class Asked:
    record: RecordId
    lane: str | None = None
    budget: float = 60.0
    expires_at: float | None = None
    failure: Failure | None = None
    timestamp: int = 0
    question_id: str = ""
    own_id: bool = True
    model: str = ""
    program: str | None = None
    asked_at: int = 0


async def _nothing() -> None: ...


class Questions:
    """Gives what is put in, and commits when it is allowed to."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[list[Asked] | Exception] = asyncio.Queue()
        self.commits: list[Mapping[int, int]] = []
        self.committing = asyncio.Event()
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.before_it_leaves: Callable[[], Awaitable[None]] = _nothing

    async def fetch(self) -> list[Asked]:
        batch = await self.batches.get()
        if isinstance(batch, Exception):
            raise batch
        return batch

    def pause(self, partitions: Iterable[int]) -> None: ...

    def resume(self, partitions: Iterable[int]) -> None: ...

    def follow(self, partitions: Mapping[int, tuple[int, int]]) -> None: ...

    async def leave(self) -> None:
        await self.before_it_leaves()

    async def commit(self, heads: Mapping[int, Head]) -> None:
        assert not any(head.done for head in heads.values())
        self.committing.set()
        await self.may_commit.wait()
        self.commits.append({partition: head.offset for partition, head in heads.items()})


class Work:
    """Runs until told to end; `troubles` are raised by its first conclusions."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.concluded: list[Status] = []
        self.troubles: list[Exception] = []
        self.done = asyncio.Event()

    @property
    def used(self) -> facts.Used:
        return facts.Used(requests=2, tokens=3)

    async def run(self, attempt: int) -> Failure | None:
        assert attempt == 1
        self.started.set()
        await self.may_end.wait()
        return None

    async def conclude(
        self,
        status: Status,
        failure: Failure | None = None,
        *,
        dead_letter: bool = False,
        first: duplicates.Asked | None = None,
    ) -> int | None:
        assert (failure is None) == (status == "completed")
        assert not dead_letter
        assert first is None
        if self.troubles:
            raise self.troubles.pop(0)
        self.concluded.append(status)
        self.done.set()
        return None

    def take_over(self, since: float) -> None: ...
    def drop(self, *, cut_off: bool) -> None: ...


class World:
    """`watch` is told of every event and command, before it is carried out."""

    def __init__(
        self,
        *,
        republish: float = 1.0,
        watch: Callable[[facts.Event | facts.Command], None] = lambda _: None,
    ) -> None:
        self.source = Questions()
        self.begun: list[Work] = []
        self.begin_called = asyncio.Event()
        policy = Policy(republish=republish)
        self.loop = Loop(
            Engine(policy), self.source, self._begin, Clock(), lambda fact, _: watch(fact)
        )
        begin = Bookmark(0, 1)
        nothing = Recovered(DoneBeyond(), Claims(), begin, begin)
        self.loop.tell(facts.Heard(Clock().monotonic()))
        self.loop.tell(facts.Assigned({0: 1}, {0: nothing}))
        self.running = asyncio.ensure_future(self.loop.run())

    def _begin(self, asked: Asked) -> Work:
        self.begun.append(Work(asked))
        self.begin_called.set()
        return self.begun[-1]

    async def ask(self, *offsets: int) -> Work:
        self.begin_called.clear()
        await self.source.batches.put([Asked(RecordId(0, 1, offset)) for offset in offsets])
        await self.begin_called.wait()
        return self.begun[-1]

    async def stop(self) -> Failure | None:
        self.loop.tell(facts.Draining(Clock().monotonic() + 10, alone=True))
        return await self.running


async def test_a_question_is_run_concluded_and_committed_at_the_end() -> None:
    world = World()
    work = await world.ask(5)
    await work.started.wait()
    work.may_end.set()
    assert await world.stop() is None
    assert work.concluded == ["completed"]
    assert world.source.commits[-1] == {0: 6}


async def test_a_record_delivered_twice_keeps_the_job_that_works_on_it() -> None:
    world = World()
    work = await world.ask(5)
    await work.started.wait()
    await world.source.batches.put([Asked(RecordId(0, 1, 5))])
    await world.ask(6)
    work.may_end.set()
    await work.done.wait()
    assert [one.asked.record.offset for one in world.begun] == [5, 6]
    world.begun[-1].may_end.set()
    await world.stop()


async def test_a_revoked_partition_is_not_let_go_before_its_commit() -> None:
    world = World()
    work = await world.ask(5)
    await work.started.wait()
    work.may_end.set()
    await work.done.wait()
    world.source.may_commit.clear()
    world.source.committing.clear()
    revoked = asyncio.ensure_future(world.loop.revoke(frozenset({0}), Clock().monotonic() + 10))
    await world.source.committing.wait()
    stopped = asyncio.ensure_future(world.stop())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not revoked.done(), "the group went on while the last commit was under way"
    world.source.may_commit.set()
    await asyncio.gather(revoked, stopped)
    assert world.source.commits[-1] == {0: 6}


@pytest.mark.parametrize("turns", range(12))
async def test_the_group_may_ask_for_partitions_while_it_is_being_left(turns: int) -> None:
    """The client ends its rebalance before it leaves, however far we are by then."""
    world = World()
    work = await world.ask(5)
    await work.started.wait()

    async def rebalances() -> None:
        work.may_end.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await world.loop.revoke(frozenset({0}), Clock().monotonic() + 10)

    world.source.before_it_leaves = rebalances
    world.loop.tell(facts.Draining(Clock().monotonic() + 10, alone=False))
    async with asyncio.timeout(5):
        await world.running
    assert work.concluded == ["completed"]


async def test_one_that_is_cancelled_before_its_run_begins_has_ended_all_the_same() -> None:
    seen: list[facts.Event | facts.Command] = []

    def cancel(fact: facts.Event | facts.Command) -> None:
        seen.append(fact)
        if isinstance(fact, facts.Start):
            world.loop.tell(facts.CancelRequested("", at=0, until=Clock().monotonic() + 10))

    world = World(watch=cancel)
    work = await world.ask(5)
    await work.done.wait()
    assert not work.started.is_set()
    assert facts.Cancelled(work.asked.record) in seen, "it was given up as if it went on"
    assert work.concluded == ["cancelled"]
    await world.stop()


async def test_a_completion_that_cannot_be_published_is_tried_again_whatever_it_raises() -> None:
    world = World(republish=0.01)
    work = await world.ask(5)
    work.troubles = [KafkaError("away"), TypeError("nobody foresaw this")]
    work.may_end.set()
    await work.done.wait()
    await world.stop()
    assert work.concluded == ["completed"]
    assert world.source.commits[-1] == {0: 6}


@pytest.mark.parametrize("error", [KafkaError("no right to read"), RuntimeError("a bug")])
async def test_what_ends_fetching_ends_the_loop_and_lets_the_group_go_on(error: Exception) -> None:
    world = World()
    await world.source.batches.put(error)
    with pytest.raises(type(error)):
        await world.running
    await world.loop.revoke(frozenset({0}), 0.0)
