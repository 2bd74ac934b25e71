"""Every client reads every token event from its start on, once and in order, then the completion:
whatever the readers of the topics, slow clients and replicas do meanwhile. A world is its seed.
"""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from random import Random
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from penstock.events.token import encode
from penstock.gateway import catch_up, fan_out, following, stream
from penstock.gateway.backlog import Backlog
from penstock.gateway.caller import Caller
from penstock.gateway.fan_out import FanOut
from penstock.gateway.figures import Figures
from penstock.gateway.following import event_id, seen
from penstock.gateway.index import Index
from penstock.gateway.questions import Asked, Questions
from penstock.gateway.stream import Stream
from penstock.kafka.stretch import Stretch
from penstock.settings import TopicSettings
from tests.support.decoding import LONGEST, codec

SEEDS = 60
PATIENCE_SECONDS = 20
BUFFER_BYTES = 400
"""Three or four events."""
STRETCH = 7
FIRST = 1_000
"""The offset of what the retention has left."""
EVERY_MS = 10_000
"""From one record to the next: what was asked before is found by time."""
BEGUN_MS = 1_800_000_000_000
WINDOW_MS = 3_600_000
TOPICS = TopicSettings()


class Still:
    """A clock."""

    def wall(self) -> float:
        return BEGUN_MS / 1000

    def monotonic(self) -> float:
        return 0.0


class Log:
    """The topics. Offsets have gaps, as where a transaction was given up."""

    def __init__(self, random: Random) -> None:
        self.records: defaultdict[TopicPartition, list[ConsumerRecord]] = defaultdict(list)
        self.ends: defaultdict[TopicPartition, int] = defaultdict(lambda: FIRST)
        self._random = random
        self._now = BEGUN_MS

    def write(
        self, topic: str, partition: int, value: bytes, *headers: tuple[str, bytes]
    ) -> ConsumerRecord:
        place = TopicPartition(topic, partition)
        offset = self.ends[place] + (self._random.random() < 0.1)
        self.ends[place] = offset + 1
        self._now += EVERY_MS
        record = ConsumerRecord(
            topic, partition, offset, self._now, 0, None, value, None, 0, len(value), headers
        )
        self.records[place].append(record)
        return record

    def between(self, place: TopicPartition, stretch: Stretch) -> list[ConsumerRecord]:
        return [r for r in self.records[place] if stretch.start <= r.offset < stretch.end]


class World:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.log = Log(self.random)
        self.partitions = self.random.randint(1, 2)
        self.told: defaultdict[str, list[ConsumerRecord]] = defaultdict(list)
        """The token records that count, by question."""
        self.happened = Counter[str]()
        self.ids = [f"q{number}" for number in range(self.random.randint(2, 5))]

    async def turn(self) -> None:
        """Others may do something."""
        for _ in range(self.random.choice((0, 0, 1, 2, 5, 20))):
            await asyncio.sleep(0)

    def story(self) -> Iterator[None]:
        """All that is written, record by record."""
        telling = [self._question(name, at % self.partitions) for at, name in enumerate(self.ids)]
        while telling:
            one = self.random.choice(telling)
            try:
                yield next(one)
            except StopIteration:
                telling.remove(one)

    def _question(self, name: str, partition: int) -> Iterator[None]:
        asked = self.log.write(
            TOPICS.questions, partition, orjson.dumps({"id": name, "question": "Why?"})
        )
        yield
        for run in range(self.random.choice((1, 1, 2))):
            sequence = -1
            for sequence in range(self.random.randint(1, 25)):
                kind = "restart" if run and not sequence else "token"
                self._say(name, partition, kind, sequence)
                yield
                if self.random.random() < 0.2:
                    self._noise(name, partition)
                    yield
            if self.random.random() < 0.2:
                unreadable = _completion(name, asked, sequence, duration_ms="long")
                self.log.write(TOPICS.completions, partition, unreadable)
                yield
        self._say(name, partition, "end", sequence + 1)
        self.log.write(TOPICS.completions, partition, _completion(name, asked, sequence + 1))
        yield

    def _say(self, name: str, partition: int, kind: str, sequence: int) -> None:
        text = "x" * self.random.choice((0, 10, 40, 2 * BUFFER_BYTES))
        value = encode(kind, name, sequence, 1, text=text)
        self.told[name].append(self.log.write(TOPICS.tokens, partition, value))

    def _noise(self, name: str, partition: int) -> None:
        """What is none of its events."""
        value, headers = self.random.choice(
            [
                (b"no JSON", ()),
                (encode("token", "unknown", 0, 1, text="-"), ()),
                (encode("token", name, 0, 1, text="-"), (("penstock-replay", b"r1"),)),
            ]
        )
        self.log.write(TOPICS.tokens, partition, value, *headers)


def _completion(
    name: str, asked: ConsumerRecord, last_sequence: int, duration_ms: object = 5.0
) -> bytes:
    place = {"topic": asked.topic, "partition": asked.partition, "offset": asked.offset}
    body = {
        "type": "completion",
        "question_id": name,
        "status": "completed",
        "program": {"name": "qa"},
        "timing": {"duration_ms": duration_ms},
        "last_sequence": last_sequence,
        "source": {**place, "timestamp": asked.timestamp, "group": "g"},
    }
    return orjson.dumps(body)


class Topics:
    """As `penstock.kafka.stretch.Reader`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._log = world.log

    async def whole(self, places: Any) -> dict[TopicPartition, Stretch]:
        await self._world.turn()
        return {place: Stretch(FIRST, self._log.ends[place]) for place in places}

    async def since(
        self, whole: Mapping[TopicPartition, Stretch], at: float
    ) -> dict[TopicPartition, int]:
        await self._world.turn()
        return {
            place: next(
                (r.offset for r in self._log.between(place, log) if r.timestamp >= at * 1000),
                log.end,
            )
            for place, log in whole.items()
        }

    async def read(
        self, _: str, stretches: Mapping[TopicPartition, Stretch], **__: bool
    ) -> AsyncGenerator[ConsumerRecord, None]:
        for place, stretch in stretches.items():
            if stretch.start < FIRST:
                raise OffsetOutOfRangeError({place: stretch.start})
            for record in self._log.between(place, stretch):
                await self._world.turn()
                yield record

    async def follow(
        self, starts: Mapping[TopicPartition, int]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        at = dict(starts)
        while True:
            await asyncio.sleep(0)
            await self._world.turn()
            place = self._world.random.choice(list(at))
            coming = self._log.between(place, Stretch(at[place], self._log.ends[place]))
            batch = coming[: self._world.random.randint(1, 6)]
            if batch:
                at[place] = batch[-1].offset + 1
            yield batch


@asynccontextmanager
async def replica(world: World) -> AsyncIterator[Questions]:
    """A gateway without its doors."""
    there = dict.fromkeys((TOPICS.questions, TOPICS.tokens, TOPICS.completions), world.partitions)
    index, backlog = Index(WINDOW_MS, 100, 0, world.partitions), Backlog()
    still: Any = Still()
    window, reads, figures = WINDOW_MS / 1000, codec(), Figures(0.0)
    fan = FanOut({}, TOPICS, there, "g", reads, index, backlog, figures, still, window, LONGEST)
    try:
        await fan.start()
        yield Questions(
            {}, TOPICS, there, index, fan, backlog, reads, still, lambda: "qa", 60.0, lambda _: None
        )
    finally:
        await fan.stop()


async def client(world: World, replicas: list[Questions]) -> None:
    """Reads one question from its beginning, and goes away and comes back now and then."""
    random = world.random
    name = random.choice(world.ids)
    patient = random.random() < 0.5
    offsets: list[int] = []
    last: str | None = None
    for _ in range(random.randint(0, 60)):
        await world.turn()
    while True:
        here = random.choice(replicas)
        while here.index.get(name) is None:
            await asyncio.sleep(0)
            await world.turn()
        entry = here.find(name, Caller(operator=True))
        if last is None and random.random() < 0.2:
            world.happened["came with what is not there"] += 1
            last = f"{here.index.tokens_of(entry)}-{random.randint(0, FIRST - 2)}-0"
        world.happened["after its end" if entry.ended else "while it runs"] += 1
        reading = here.events(Asked(entry, None), None if last is None else seen(last))
        async with aclosing(reading) as events:
            async for event in events:
                if isinstance(event, bytes):
                    assert orjson.loads(event)["type"] == "completion"
                    assert [r.offset for r in world.told[name]] == offsets, name
                    return
                last = event_id(event)
                offsets.append(event.offset)
                for _ in range(0 if patient else random.choice((0, 0, 1, 40))):
                    await world.turn()
                if random.random() < 0.03:
                    world.happened["came back"] += 1
                    break
            else:
                raise AssertionError("it ended without a completion")


async def run(world: World) -> None:
    story = world.story()
    for _ in range(world.random.choice((0, 0, 5, 30, 1_000))):
        next(story, None)
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica(world)) for _ in range(2)]
        reading = [asyncio.create_task(client(world, replicas)) for _ in range(8)]
        for _ in story:
            await asyncio.sleep(0)
            await world.turn()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*reading)


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Counter[str]]:
    """Runs the world of a seed. Buffers and stretches are so small that everybody meets them."""
    for module, name, value in (
        (stream, "BUFFER_BYTES", BUFFER_BYTES),
        (catch_up, "STRETCH", STRETCH),
        (fan_out, "KEPT_BYTES", 300),
        # Nothing that is there is given up for lost.
        (following, "TAIL_SECONDS", 10 * PATIENCE_SECONDS),
    ):
        monkeypatch.setattr(module, name, value)

    def run_one(seed: int) -> Counter[str]:
        world = World(seed)

        @asynccontextmanager
        async def topics(*_: Any) -> AsyncIterator[Topics]:
            yield Topics(world)

        monkeypatch.setattr(fan_out, "reader", topics)
        asyncio.run(run(world))
        return world.happened

    return run_one


def test_every_client_reads_everything_once(worlds: Callable[[int], Counter[str]]) -> None:
    happened = Counter[str]()
    for seed in range(int(os.environ.get("PENSTOCK_SIM_SEEDS", SEEDS))):
        try:
            happened += worlds(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    assert happened.keys() >= {
        "after its end",
        "while it runs",
        "came back",
        "came with what is not there",
    }


def test_nobody_reads_on_for_a_client_that_has_gone() -> None:
    laps: list[Stream] = []
    gone = Stream("q", 0, 0, laps.append, live=False)
    assert gone.take() == []
    gone.begin_lap(last=False)
    gone.leave()
    gone.end_lap(STRETCH)
    assert laps == [gone]
