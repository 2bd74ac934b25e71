"""A source, while partitions come and go: what it finds out, what it commits, what it refuses."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Assigned, Event, Head, RecordId, Recovered
from penstock.core.offset_map import DoneBeyond, encode
from penstock.errors import CommitError, KafkaError, LostPartitionsError
from penstock.kafka import arrivals, source
from penstock.kafka.codec import Raw
from penstock.kafka.membership import membership
from penstock.kafka.recovery import Arrival, Recovery
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import Target
from penstock.kafka.source import KafkaSource
from tests.support.decoding import codec
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.operating import Operator, operating

PATIENCE_S = 15.0
HEAD = Head(0, "", Bookmark(0, 2))


@dataclass
class Owner:
    """A source whose partitions somebody wants, and what it was told."""

    source: KafkaSource
    arrived: list[Mapping[int, Recovered]] = field(default_factory=list)
    revoked: list[frozenset[int]] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def tell(self, event: Event) -> None:
        if not isinstance(event, Assigned):
            return
        self.arrived.append(event.recovered)
        self._told = asyncio.ensure_future(self._tell())

    async def on_revoked(self, partitions: frozenset[int], *_: Any) -> None:
        self.revoked.append(partitions)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def has(self, times: int) -> None:
        """So many times partitions have arrived."""
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(lambda: len(self.arrived) >= times)


@asynccontextmanager
async def _owner(
    operator: Operator, clock: Clock | None = None, instance_id: str | None = None
) -> AsyncIterator[Owner]:
    """Nobody fetches; partitions come and go all the same."""
    client, topics, clock = (
        client_arguments(operator.servers, {}),
        operator.topics,
        clock or Clock(),
    )
    completions = Target(topics.name("completions"), 2, 2**20)
    tokens = Target(topics.name("tokens"), 2, 2**20)
    questions = topics.name("questions")
    scope = Scope(questions, operator.group, completions, tokens, 0, 10.0, 5.0)
    recovery = Recovery(client, scope, clock, "writer")
    read = KafkaSource(
        client,
        questions,
        operator.group,
        codec(),
        clock,
        recovery,
        "writer",
        instance_id=instance_id,
    )
    owner = Owner(read)
    await owner.source.start(owner.tell, owner.on_revoked)
    try:
        yield owner
    finally:
        await owner.source.stop()


def _topics(topics: Topics) -> None:
    for name in ("questions", "completions", "tokens"):
        topics.create(name, 2)


async def test_a_partition_revoked_while_recovering_is_not_committed(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty ledger would say that nothing is done."""
    _topics(topics)
    reading, recover = asyncio.Event(), Recovery.recover
    kept = '{"of": "who was here before"}'

    async def hangs(found: Recovery, *arguments: Any, **how: Any) -> dict[int, Arrival]:
        if not reading.is_set():
            reading.set()
            await asyncio.get_running_loop().create_future()
        return await recover(found, *arguments, **how)

    monkeypatch.setattr(Recovery, "recover", hangs)
    async with operating(bootstrap_servers, topics) as operator:
        for partition in range(2):
            await operator.reset(0, kept, partition)
        async with _owner(operator) as owner:
            await reading.wait()
            for partition in range(2):
                with pytest.raises(LostPartitionsError):
                    await owner.source.commit({partition: HEAD})
            async with _owner(operator) as other:
                await owner.has(1)
                await other.has(1)
                assert sorted([*owner.arrived[0], *other.arrived[0]]) == [0, 1]
                assert not owner.revoked
        for partition in range(2):
            assert await operator.commit(partition) == OffsetAndMetadata(0, kept)


async def test_a_member_that_missed_a_generation_keeps_nothing(
    bootstrap_servers: str, topics: Topics
) -> None:
    """What it had is taken from who listens, and its commits are refused."""
    _topics(topics)
    async with operating(bootstrap_servers, topics) as operator, _owner(operator) as owner:
        await owner.has(1)
        await owner.source.commit({0: HEAD, 1: HEAD})
        # As after a session timeout: the group has heard nothing, and went on without it.
        await owner.source._consumer._coordinator._maybe_leave_group()
        with pytest.raises(LostPartitionsError):
            await owner.source.commit({0: HEAD._replace(offset=5)})
        await owner.has(2)
        assert owner.revoked == [frozenset({0, 1})]
        await owner.source.commit({0: HEAD})


@pytest.mark.parametrize(
    ("owner", "point"),
    [(KafkaSource, "_committable"), (GroupCoordinator, "ensure_coordinator_known")],
    ids=["before-it-is-written", "before-it-is-sent"],
)
async def test_counterexample_12_a_commit_with_the_wrong_generation(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    point: str,
) -> None:
    """It comes from before a rebalance and reaches the group after it, from one of its members:
    under the generation of now it would say what the next owner knows better.
    """
    monkeypatch.setattr(source, "FLIGHT", PATIENCE_S)
    frozen, thawed, goes_on = asyncio.Event(), asyncio.Event(), getattr(owner, point)
    late: list[asyncio.Task[None]] = []

    async def freezes(*arguments: Any) -> Any:
        if asyncio.current_task() in late:
            frozen.set()
            await thawed.wait()
        return await goes_on(*arguments)

    monkeypatch.setattr(owner, point, freezes)
    _topics(topics)
    async with operating(bootstrap_servers, topics) as operator, _owner(operator) as first:
        await first.has(1)
        await first.source.commit({0: HEAD, 1: HEAD})
        before = [await operator.commit(partition) for partition in range(2)]
        generation = membership(first.source._consumer).generation
        more = Head(3, encode(DoneBeyond(3, ((4, 5),))), Bookmark(0, 2))
        late.append(asyncio.create_task(first.source.commit({0: more, 1: more})))
        await frozen.wait()
        async with _owner(operator) as second:
            await first.has(2)
            await second.has(1)
            assert membership(first.source._consumer).generation > generation
            thawed.set()
            with pytest.raises(LostPartitionsError):
                await late[0]
            assert [await operator.commit(partition) for partition in range(2)] == before
            # What it has now it goes on committing.
            [kept] = first.arrived[-1]
            await first.source.commit({kept: HEAD._replace(offset=5)})
            assert (await operator.commit(kept)).offset == 5


async def test_one_try_and_no_answer_is_an_error(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.kafka.source.FLIGHT", 0.1)
    _topics(topics)
    async with operating(bootstrap_servers, topics) as operator, _owner(operator) as owner:
        await owner.has(1)
        coordinator = owner.source._consumer._coordinator
        asked = coordinator._send_req

        async def unheard(request: Any) -> Any:
            await asked(request)
            await asyncio.get_running_loop().create_future()

        with monkeypatch.context() as patch:
            patch.setattr(coordinator, "_send_req", unheard)
            with pytest.raises(CommitError, match="no answer within"):
                await owner.source.commit({0: HEAD})
        # It is in the group all the same; the next says more, and comes after it.
        assert (await operator.commit()).offset == 0


async def test_what_cannot_be_read_is_read_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the error is, nobody is told of partitions before."""
    heard = hear(monkeypatch, arrivals)
    monkeypatch.setattr(arrivals, "FIRST_BACKOFF", 0.01)
    _topics(topics)
    errors = [KafkaError("no"), TimeoutError(), asyncio.CancelledError("of the client's own")]
    recover = Recovery.recover

    async def fails(found: Recovery, *arguments: Any, **how: Any) -> dict[int, Arrival]:
        if errors:
            raise errors.pop()
        return await recover(found, *arguments, **how)

    monkeypatch.setattr(Recovery, "recover", fails)
    async with operating(bootstrap_servers, topics) as operator, _owner(operator) as owner:
        await owner.has(2)
        assert not errors
        assert len(heard.said("what is done cannot be read yet")) == 3
        # Together first, then one by one.
        assert [sorted(recovered) for recovered in owner.arrived] == [[0], [1]]


async def test_a_missing_right_ends_the_fetching_and_is_told(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "NOTICE_MS", 10)
    _topics(topics)

    async def forbidden(_: Recovery, *__: Any, **___: Any) -> dict[int, Arrival]:
        raise TopicAuthorizationFailedError("penstock.completions")

    monkeypatch.setattr(Recovery, "recover", forbidden)
    async with operating(bootstrap_servers, topics) as operator, _owner(operator) as owner:
        with pytest.raises(KafkaError, match=r"read: topic 'penstock\.completions' lacks"):
            async with asyncio.timeout(PATIENCE_S):
                await owner.source.fetch()


async def test_what_was_said_of_a_partition_is_let_go_when_it_leaves(
    bootstrap_servers: str, topics: Topics
) -> None:
    _topics(topics)
    async with operating(bootstrap_servers, topics) as operator, _owner(operator) as owner:
        await owner.has(1)
        recovery, now = owner.source._recovery, Clock().monotonic()
        for partition in range(2):
            raw = Raw("questions", partition, 0, 0, None, b'{"question": "?"}', ())
            delivery = codec().decode(RecordId(partition, 1, 0), raw, 0.0, 0.0)
            assert await owner.source.said_until(delivery, now) is None
        assert recovery._tails.keys() == {0, 1}
        async with _owner(operator):
            await owner.has(2)
            assert not recovery._tails


WAITING = "waiting for whoever was this static member before"


@dataclass
class Time:
    """A session timeout passes with every answer to such a request."""

    request: type | None = None
    passed: float = 0.0

    def passes(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        send = AIOKafkaClient.send

        async def slow(client: AIOKafkaClient, node_id: int, request: Any, **more: Any) -> Any:
            answer = await send(client, node_id, request, **more)
            if self.request is not None and isinstance(request, self.request):
                self.passed += source.SESSION_TIMEOUT_MS / 1000
            return answer

        monkeypatch.setattr(AIOKafkaClient, "send", slow)
        return Clock(monotonic=lambda: Clock().monotonic() + self.passed)


async def test_a_static_member_waits_from_when_the_group_listens_to_it(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it may have answered the one before, however long we have been here."""
    heard, time = hear(monkeypatch, source), Time(JoinGroupRequest)
    clock = time.passes(monkeypatch)
    _topics(topics)
    async with (
        operating(bootstrap_servers, topics) as operator,
        _owner(operator, clock, "replica-1") as owner,
    ):
        line = await heard.until(WAITING)
        assert line["seconds"] == source.SESSION_TIMEOUT_MS / 1000
        assert not owner.arrived


async def test_a_static_member_waits_again_where_the_group_had_forgotten_it(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may have come by its name meanwhile; in a mere rebalance none has."""
    heard, time = hear(monkeypatch, source), Time(SyncGroupRequest)
    clock = time.passes(monkeypatch)
    _topics(topics)
    async with (
        operating(bootstrap_servers, topics) as operator,
        _owner(operator, clock, "replica-1") as owner,
    ):
        await owner.has(1)
        time.request = None
        coordinator = owner.source._consumer._coordinator
        coordinator.request_rejoin()
        await owner.has(2)
        assert not heard.said(WAITING)
        coordinator.reset_generation()
        coordinator.request_rejoin()
        await heard.until(WAITING)
        assert len(owner.arrived) == 2
