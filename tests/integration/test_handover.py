"""What runs goes on when its partition is another member's: in a rebalance, and at SIGTERM."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock import app, assembly, job, loop
from penstock.core.facts import Head, RecordId
from penstock.errors import CommitError
from penstock.kafka import producer, recovery, source
from penstock.kafka.producer import Producer
from penstock.kafka.source import KafkaSource
from penstock.telemetry import journal
from tests.support.conversation import PATIENCE_S, Conversation, conversation
from tests.support.hearing import Heard, hear
from tests.support.kafka import Topics
from tests.support.operating import commits
from tests.support.stage import Stage, sample, stage

# pytest finds fixtures by their names in this module.
__all__ = ["commits"]

SHORTEST_SESSION_MS = 6000
"""That the broker allows by itself."""

HELD = "held?token_ms=20&tokens=2000"
"""Speaks all the time, until it is let end."""

HANDED_OVER = "running questions are handed over"
PARTITIONS = (0, 1)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return hear(monkeypatch, journal, job)


@asynccontextmanager
async def _stage(
    bootstrap_servers: str, topics: Topics, *slow: str, partitions: int = 2
) -> AsyncIterator[Stage]:
    """The model `moody` holds the first answers to these questions, and only those."""
    async with stage(bootstrap_servers, topics, partitions) as on:
        held = Counter(slow)

        def moody(_: int, request: Any) -> str:
            if held[request.question]:
                held[request.question] -= 1
                return HELD
            return "ok"

        on.models.script["moody"] = moody
        yield on


def _speakers(talk: Conversation, question_id: str) -> list[str]:
    """Who said the token events and the completion of a question, each named once in a row."""
    said = [
        record.header("ce_id").split("/")[3]
        for record in (*talk.tokens, *talk.completed)
        if record.body["question_id"] == question_id
    ]
    return [who for at, who in enumerate(said) if at == 0 or said[at - 1] != who]


async def _speaks(
    talk: Conversation, question_id: str, more_than: int = 0, within: float = PATIENCE_S
) -> None:
    await talk.until(lambda: len(talk.said(question_id)), lambda said: said > more_than, within)


def _has_one(service: app.Service) -> int:
    """The partition of a member that has only one."""
    [partition] = service.engine.partitions
    return partition


def _unbroken(said: list[dict[str, Any]]) -> None:
    assert [event["sequence"] for event in said] == list(range(len(said)))
    assert "restart" not in {event["type"] for event in said}
    assert {event["attempt"] for event in said} == {1}


async def _each_once(talk: Conversation, *ids: str) -> None:
    await talk.to_the_end()
    assert Counter(c.body["question_id"] for c in talk.completed) == Counter(ids)
    assert {c.body["status"] for c in talk.completed} == {"completed"}


def _started_again(said: list[dict[str, Any]]) -> None:
    """By somebody who went on one past the last."""
    assert [event["sequence"] for event in said] == list(range(len(said)))
    [restart] = [event["sequence"] for event in said if event["type"] == "restart"]
    assert restart > 0
    assert {event["attempt"] for event in said[:restart]} == {1}
    assert {event["attempt"] for event in said[restart:]} == {2}


@pytest.mark.parametrize(
    "assignors",
    [
        ("roundrobin", "roundrobin"),
        ("range", "range"),
        ("sticky", "sticky"),
    ],
    ids="-".join,
)
async def test_what_runs_goes_on_when_a_second_member_joins(
    bootstrap_servers: str, topics: Topics, assignors: tuple[str, str]
) -> None:
    first_of, second_of = ({"kafka": {"assignor": name}} for name in assignors)
    slow, behind, quick = (
        [f"{what} {partition}" for partition in PARTITIONS] for what in ("slow", "behind", "quick")
    )
    async with _stage(bootstrap_servers, topics, *slow) as on:
        async with on.serving("openai/moody", **first_of) as (first, talk):
            for partition in PARTITIONS:
                await talk.ask_all([slow[partition]], b"k", partition)
                await _speaks(talk, slow[partition])
            async with on.member("openai/moody", **second_of) as second:
                before = [len(talk.said(question)) for question in slow]
                for partition in PARTITIONS:
                    # One that is answered was fetched after the one that has to wait.
                    await talk.ask_all([behind[partition]], b"k", partition)
                    await talk.ask_all([quick[partition]], b"other", partition)
                for partition in PARTITIONS:
                    await talk.completion(quick[partition])
                    await _speaks(talk, slow[partition], before[partition] + 1)
                given = _has_one(second)
                assert _speakers(talk, quick[given]) == [second.engine.writer]
                assert _speakers(talk, quick[1 - given]) == [first.engine.writer]
                assert (len(on.models.calls), on.models.calls.in_flight) == (4, 2)

                on.models.let_end()
                for partition in PARTITIONS:
                    _unbroken(await talk.ended(slow[partition]))
                    await talk.completion(slow[partition])
                    assert _speakers(talk, slow[partition]) == [first.engine.writer]
                    await talk.completion(behind[partition])
                assert _speakers(talk, behind[given]) == [second.engine.writer]
                assert _speakers(talk, behind[1 - given]) == [first.engine.writer]
                # The other partition came back.
                assert await sample(first, "penstock_questions_handed_over_total") == 1
                assert await sample(first, "penstock_rebalance_duration_seconds_count") == 1
                assert await sample(second, "penstock_rebalance_duration_seconds_count") == 0
        await _all_done(on, talk, [*slow, *behind, *quick], 6)


async def _all_done(on: Stage, talk: Conversation, ids: Iterable[str], calls: int) -> None:
    """When all members have gone."""
    async with conversation(talk.kafka, talk.topics) as after:
        await _each_once(after, *ids)
        asked = Counter(completion.asked[0] for completion in after.completed)
        assert await after.committed() == {number: asked[number] for number in PARTITIONS}
    assert len(on.models.calls) == calls


async def test_a_drained_member_leaves_at_once_and_ends_what_it_runs(
    bootstrap_servers: str, topics: Topics, heard: Heard
) -> None:
    async with _stage(bootstrap_servers, topics, "slow") as on:
        async with on.serving("openai/moody") as (stays, talk):
            async with on.member("openai/moody", drain_ms=30_000) as leaves:
                partition = _has_one(leaves)
                await talk.ask_all(["slow"], b"k", partition)
                await _speaks(talk, "slow")

                leaves.drain()
                line = await heard.until(HANDED_OVER)
                assert (line["questions"], line["leaving_the_group"]) == (1, True)
                assert 25 < line["seconds"] <= 30
                assert [line["other_members"] for line in heard.said("draining")] == [True]
                said = len(talk.said("slow"))
                await talk.ask_all(["behind"], b"k", partition)
                await talk.ask_all(["quick"], b"other", partition)
                await talk.completion("quick")
                assert _speakers(talk, "quick") == [stays.engine.writer]
                await _speaks(talk, "slow", said + 1)
                assert stays.engine.partitions.keys() == set(PARTITIONS)
                assert await stays.source.alone()
                assert len(on.models.calls) == 2
                assert not heard.said("stopped")

                on.models.let_end()
                ended = await heard.until("stopped")
                assert (ended["finished"], ended["cut_off"]) == (1, 0)
                _unbroken(await talk.ended("slow"))
                assert _speakers(talk, "slow") == [leaves.engine.writer]
            await talk.completion("behind")
            assert _speakers(talk, "behind") == [stays.engine.writer]
        await _all_done(on, talk, ["slow", "behind", "quick"], 3)
        assert on.models.calls.disconnects == 0


@pytest.fixture
def short_margin(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds; longer than it takes the next owner to have the partition."""
    for module in (assembly, recovery):
        monkeypatch.setattr(module, "MARGIN", 2.0)
    monkeypatch.setattr(producer, "FLIGHT", 0.2)
    return 2.0


async def test_what_is_handed_over_and_does_not_end_starts_again_and_not_before(
    bootstrap_servers: str, topics: Topics, heard: Heard, short_margin: float
) -> None:
    async with _stage(bootstrap_servers, topics, "slow") as on:
        async with on.serving("openai/moody") as (stays, talk):
            async with on.member("openai/moody", drain_ms=1_000) as leaves:
                partition = _has_one(leaves)
                await talk.ask_all(["slow", "behind"], b"k", partition)
                await _speaks(talk, "slow")
                drained_at = time.monotonic()
                leaves.drain()
                await heard.until(HANDED_OVER)
                await heard.until("a question was cut off")
                await on.models.disconnected(1)
                ended = await heard.until("stopped")
                assert (ended["finished"], ended["cut_off"]) == (0, 1)

                line = await heard.until("a question starts again")
                assert (line["partition"], line["question_id"]) == (partition, "slow")
                _started_again(await talk.ended("slow"))
                assert on.models.calls[1].started - drained_at >= 1.0 + short_margin
                assert _speakers(talk, "slow") == [leaves.engine.writer, stays.engine.writer]
            await talk.completion("behind")
        await _all_done(on, talk, ["slow", "behind"], 3)
        assert len(heard.said("a question starts again")) == 1


def _refuse_commits(monkeypatch: pytest.MonkeyPatch, *, landed: bool) -> list[KafkaSource]:
    """Of these sources, from the moment they are in the list; perhaps they arrive all the same."""
    refused: list[KafkaSource] = []
    commit = KafkaSource.commit

    async def refuses(source_: KafkaSource, heads: Mapping[int, Head]) -> None:
        if landed or source_ not in refused:
            await commit(source_, heads)
        if source_ in refused:
            raise CommitError("no answer")

    monkeypatch.setattr(KafkaSource, "commit", refuses)
    monkeypatch.setattr(loop, "LAST_SECONDS", 0.5)
    return refused


@pytest.mark.parametrize("landed", [False, True])
async def test_what_no_commit_names_is_given_up_by_who_is_drained(
    bootstrap_servers: str,
    topics: Topics,
    heard: Heard,
    short_margin: float,
    monkeypatch: pytest.MonkeyPatch,
    landed: bool,
) -> None:
    refused = _refuse_commits(monkeypatch, landed=landed)
    async with _stage(bootstrap_servers, topics, "slow") as on:
        async with (
            on.serving("openai/moody") as (stays, talk),
            on.member("openai/moody", drain_ms=2_000) as leaves,
        ):
            partition = _has_one(leaves)
            await talk.ask_all(["slow"], b"k", partition)
            await _speaks(talk, "slow")
            refused.append(leaves.source)
            leaves.drain()
            line = await heard.until("whether the last commit is there is not known")
            assert line["partitions"] == [partition]
            await on.models.disconnected(1)
            ended = await heard.until("stopped")
            assert (ended["finished"], ended["cut_off"]) == (0, 1)

            _started_again(await talk.ended("slow"))
            assert _speakers(talk, "slow") == [leaves.engine.writer, stays.engine.writer]
            # It is waited for only where the commit says so.
            assert len(heard.said("a question starts again")) == landed
        await _all_done(on, talk, ["slow"], 2)


async def test_what_no_commit_names_is_given_up_in_a_rebalance(
    bootstrap_servers: str, topics: Topics, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [f"slow {partition}" for partition in PARTITIONS]
    refused = _refuse_commits(monkeypatch, landed=False)
    async with _stage(bootstrap_servers, topics, *slow) as on:
        async with on.serving("openai/moody") as (first, talk):
            for partition in PARTITIONS:
                await talk.ask_all([slow[partition]], b"k", partition)
                await _speaks(talk, slow[partition])
            refused.append(first.source)
            joining = asyncio.create_task(heard.until("whether the last commit is there"))
            joining.add_done_callback(lambda _: refused.clear())
            async with on.member("openai/moody") as second:
                for question in slow:
                    _started_again(await talk.ended(question))
                given = _has_one(second)
                writers = [first.engine.writer, second.engine.writer]
                assert _speakers(talk, slow[given]) == writers
                assert _speakers(talk, slow[1 - given]) == writers[:1]
        await _all_done(on, talk, slow, 4)
        assert on.models.calls.disconnects == 2
        assert len(heard.said("a question was cut off")) == 2


@dataclass
class Cut:
    """A member whose questions to the group reach nobody while it is cut off."""

    service: app.Service
    _again: asyncio.Event = field(default_factory=asyncio.Event)
    _silent: asyncio.Event = field(default_factory=asyncio.Event)

    def off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        coordinator = self.service.source._consumer._coordinator
        ask, turn = coordinator._send_req, Producer._turn

        async def unheard(request: Any) -> Any:
            await self._again.wait()
            return await ask(request)

        async def waits(producer_: Producer, record: RecordId) -> None:
            if producer_ is self.service.sink._producer:
                self._silent.set()
            await turn(producer_, record)

        monkeypatch.setattr(coordinator, "_send_req", unheard)
        monkeypatch.setattr(Producer, "_turn", waits)

    async def silent(self) -> None:
        """Until it has something to say, and does not."""
        async with asyncio.timeout(SHORTEST_SESSION_MS / 1000):
            await self._silent.wait()

    def on(self) -> None:
        self._again.set()


@pytest.fixture
def short_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assembly, source):
        monkeypatch.setattr(module, "SESSION_TIMEOUT_MS", SHORTEST_SESSION_MS)


@pytest.mark.usefixtures("short_session")
async def test_who_hears_nothing_of_the_group_says_nothing_until_it_does(
    bootstrap_servers: str, topics: Topics, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _stage(bootstrap_servers, topics, "slow") as on:
        async with on.serving("openai/moody") as (service, talk):
            await talk.ask_all(["slow"])
            await _speaks(talk, "slow")
            clock, lease, cut = service.clock, service.engine.lease, Cut(service)
            cut.off(monkeypatch)
            cut_at = clock.monotonic()
            await cut.silent()
            # Another would have its partitions a margin later.
            assert clock.monotonic() < lease.until
            assert lease.until <= cut_at + (SHORTEST_SESSION_MS / 1000 - producer.MARGIN)
            await talk.to_the_end()
            said = len(talk.said("slow"))
            with pytest.raises(AssertionError, match="there is only"):
                await _speaks(talk, "slow", said, lease.until - clock.monotonic() + 0.5)
            assert on.models.calls.in_flight == 1

            cut.on()
            await _speaks(talk, "slow", said)
            on.models.let_end()
            _unbroken(await talk.ended("slow"))
            await talk.completion("slow")
        assert len(heard.said("partitions assigned")) == 1
        await _all_done(on, talk, ["slow"], 1)
        assert on.models.calls.disconnects == 0


@pytest.mark.usefixtures("short_session")
async def test_who_was_given_up_by_the_group_says_nothing_more(
    bootstrap_servers: str, topics: Topics, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _stage(bootstrap_servers, topics, "slow") as on:
        async with (
            on.serving("openai/moody") as (stays, talk),
            on.member("openai/moody") as goes,
        ):
            partition = _has_one(goes)
            await talk.ask_all(["slow"], b"k", partition)
            await _speaks(talk, "slow")
            cut = Cut(goes)
            cut.off(monkeypatch)
            await cut.silent()
            _started_again(await talk.ended("slow"))
            await talk.completion("slow")
            # It has not been told, and waits for its turn.
            assert on.models.calls.in_flight == 1
            assert not heard.said("a question was cut off")

            cut.on()
            await heard.until("a question was cut off")
            await on.models.disconnected(1)
            # It is back.
            await talk.ask_all(["behind"], b"k", partition)
            await talk.completion("behind")
            writers = [goes.engine.writer, stays.engine.writer]
            assert _speakers(talk, "slow") == writers
        # The group may refuse the last commit of one it has just taken back: whoever comes next
        # reads what was answered, and says so.
        async with on.member("openai/moody"):
            pass
        await _all_done(on, talk, ["slow", "behind"], 3)


async def test_who_was_removed_from_the_group_gives_up_what_it_runs(
    bootstrap_servers: str, topics: Topics, heard: Heard
) -> None:
    async with _stage(bootstrap_servers, topics, partitions=2) as on:
        on.models.script["moody"] = lambda count, _: "hang-during" if count == 1 else "ok"
        async with (
            on.serving("openai/moody") as (_, talk),
            on.member("openai/moody") as goes,
        ):
            partition = _has_one(goes)
            await talk.ask_all(["slow"], b"k", partition)
            await _speaks(talk, "slow")
            await on.operator.remove_member(goes.source._consumer._coordinator.member_id)
            await on.models.disconnected(1)
            _started_again(await talk.ended("slow"))
            await talk.completion("slow")
        await _all_done(on, talk, ["slow"], 2)
        assert len(heard.said("a question was cut off")) == 1
