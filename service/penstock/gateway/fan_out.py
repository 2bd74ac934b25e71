"""What is said on the topics, told to whoever waits for it: one reader without a group for all the
clients of this process.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import orjson
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError as ClientError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError, RecordError
from penstock.events.again import redrive
from penstock.events.envelope import text_header
from penstock.gateway.backlog import Backlog
from penstock.gateway.catch_up import CatchUp, said
from penstock.gateway.figures import Figures
from penstock.gateway.index import Ended, Entry, Index, Place
from penstock.gateway.stream import Stream
from penstock.kafka.codec import Codec, raw
from penstock.kafka.stretch import Reader, Stretch, reader
from penstock.kafka.tailing import Tail
from penstock.settings import TopicSettings

FINGERPRINT = "penstock-fingerprint"
"""A header of a question that its asker has named: of what it was made."""

KEPT_BYTES = 32 * 1024 * 1024
"""Of the last completions; older ones are read again."""

SKEW_SECONDS = 60.0
"""By which the clocks of those who write may differ."""

GROWTH_SECONDS = 10.0
"""Between two looks at whether partitions were added."""

log = structlog.get_logger("penstock.gateway")


class FanOut:
    """Args:
    client: the connection.
    topics: by their names.
    partitions: how many each of these has, by its name; is kept up to date.
    group: whose completions count.
    codec: how a question reads.
    index: is filled.
    backlog: is told what is asked, and what ends.
    figures: are told the same, and when, and count the tokens.
    clock: of the process.
    window: in seconds, that the index looks back.
    longest: in seconds, that a question may run.
    delayed: is told how old a record is, in seconds, when a client's stream gets it.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topics: TopicSettings,
        partitions: dict[str, int],
        group: str,
        codec: Codec,
        index: Index,
        backlog: Backlog,
        figures: Figures,
        clock: Clock,
        window: float,
        longest: float,
        delayed: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._topics = topics
        self._partitions = partitions
        self._group = group
        self._codec = codec
        self._index = index
        self._backlog = backlog
        self._figures = figures
        self._live = False
        self._clock = clock
        self._window = window
        self._longest = longest
        self._delayed = delayed
        self._next: dict[TopicPartition, int] = {}
        self._moved: asyncio.Event = asyncio.Event()
        self._streams: dict[str, list[Stream]] = {}
        self._waiting: dict[tuple[str, int], list[asyncio.Future[Entry]]] = {}
        self._kept: OrderedDict[Place, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._following: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Is done when nothing can be read any more, and says why."""
        self._tail: Tail
        self._late: Reader
        self._catch_up: CatchUp
        self._take = {
            topics.questions: self._question,
            topics.tokens: self._token,
            topics.completions: self._completion,
        }

    async def start(self) -> None:
        """Builds the index; from then on nothing is missed.

        Raises:
            KafkaError, aiokafka.errors.KafkaError: the topics cannot be read.
        """
        async with AsyncExitStack() as stack:
            live = await stack.enter_async_context(reader(self._client, self._clock))
            self._late = await stack.enter_async_context(reader(self._client, self._clock))
            self._tail = Tail(live, self._client, self._clock, log.warning)
            self._catch_up = CatchUp(
                Tail(self._late, self._client, self._clock, log.warning),
                self._topics.tokens,
                self._topics.completions,
                self.position,
            )
            await self._rebuild(live)
            self._stack = stack.pop_all()
        self._following = self._begin(self._follow())
        self._beside = [self._begin(self._catch_up.run()), self._begin(self._grow())]

    async def stop(self) -> None:
        tasks = [task for task in (self._following, *self._beside) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.failed.done():
            # Somebody has seen it, or nobody will.
            self.failed.exception()
        await self._stack.aclose()

    @property
    def away(self) -> bool:
        """Kafka does not answer."""
        return self._tail.away

    def streams(self) -> tuple[int, int]:
        """How many are read now, and of these, how many are behind."""
        live = [stream.live for streams in self._streams.values() for stream in streams]
        return len(live), live.count(False)

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None or self.failed.done():
            return
        why = str(error) or type(error).__name__
        self.failed.set_exception(KafkaError(f"the topics cannot be read any more: {why}"))

    def position(self, partition: int) -> int:
        """Up to which offset of this partition of the tokens the live streams have been told."""
        return self._next[TopicPartition(self._topics.tokens, partition)]

    async def read_up_to(self, place: Place) -> None:
        """Waits until this record of the questions has been read."""
        at = TopicPartition(self._topics.questions, place.partition)
        while self._next[at] <= place.offset:
            moved = self._moved
            await moved.wait()

    @contextmanager
    def stream(self, question_id: str, partition: int, start: int | None) -> Iterator[Stream]:
        """What is said of a question in this partition of the tokens, from this offset on; None:
        what comes from now on.
        """
        at = self.position(partition)
        begin = at if start is None else start
        stream = Stream(question_id, partition, begin, self._catch_up.lap, live=begin >= at)
        self._streams.setdefault(question_id, []).append(stream)
        try:
            yield stream
        finally:
            others = self._streams[question_id]
            others.remove(stream)
            if not others:
                del self._streams[question_id]
            self._catch_up.leave(stream)

    @contextmanager
    def end(self, entry: Entry) -> Iterator["asyncio.Future[Entry]"]:
        """Is done when it ends from now on, or another one by its id in its partition."""
        end: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        key = (entry.question_id, entry.place.partition)
        self._waiting.setdefault(key, []).append(end)
        try:
            yield end
        finally:
            others = self._waiting[key]
            others.remove(end)
            if not others:
                del self._waiting[key]

    async def begin(self, entry: Entry) -> int:
        """The offset from which on all is found that was said of it.

        Raises:
            KafkaError: it cannot be found out.
        """
        if entry.tokens is not None:
            return entry.tokens
        partition = self._index.tokens_of(entry)
        if entry.heard_at is None and entry.ended is None:
            return self.position(partition)
        place = TopicPartition(self._topics.tokens, partition)
        try:
            whole = await self._late.whole([place])
            since = await self._late.since(whole, _before(entry) / 1000 - SKEW_SECONDS)
        except (ClientError, TimeoutError) as error:
            raise KafkaError(f"the tokens cannot be found: {error}") from error
        return since[place]

    async def completion(self, ended: Ended) -> bytes:
        """Raises KafkaError: it cannot be read."""
        kept = self._kept.get(ended.place)
        return kept if kept is not None else await self._catch_up.completion(ended.place)

    # --- reading ----------------------------------------------------------------------------------

    async def _rebuild(self, live: Reader) -> None:
        """The questions and completions of the window; then the tokens of what is not answered."""
        names = self._topics
        places = [
            TopicPartition(topic, partition)
            for topic in (names.questions, names.completions, names.tokens)
            for partition in range(self._partitions[topic])
        ]
        now = self._clock.wall()
        whole = await live.whole(places)
        begins = await live.since(whole, now - self._window - SKEW_SECONDS)
        self._next = {place: whole[place].end for place in places}
        for topic in (names.questions, names.completions):
            await self._read(topic, whole, begins)
        waiting = [entry.timestamp for entry in self._index if entry.ended is None]
        if waiting:
            tokens = {place: log for place, log in whole.items() if place.topic == names.tokens}
            # What has waited for longer, and is not running, has no tokens.
            since = max(min(waiting) / 1000, now - self._longest) - SKEW_SECONDS
            await self._read(names.tokens, whole, await live.since(tokens, since))
        self._live = True
        log.info("index built", questions=len(self._index), unanswered=self._index.open)

    async def _read(
        self,
        topic: str,
        whole: Mapping[TopicPartition, Stretch],
        begins: Mapping[TopicPartition, int],
    ) -> None:
        stretches = {
            place: Stretch(begin, whole[place].end)
            for place, begin in begins.items()
            if place.topic == topic
        }
        # The index forgets first what it was told first.
        by_time = topic == self._topics.questions
        async for record in self._tail.read(stretches, by_time=by_time):
            self._take[topic](record)
        self._index.forget(int(self._clock.wall() * 1000))

    async def _follow(self) -> None:
        async for record in self._tail.follow(self._next):
            self._take[record.topic](record)
            self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def _grow(self) -> None:
        """Partitions may be added to a topic that is read."""
        while True:
            await asyncio.sleep(GROWTH_SECONDS)
            try:
                there = {topic: await self._late.partitions(topic) for topic in self._take}
                added = [
                    TopicPartition(topic, partition)
                    for topic, count in there.items()
                    for partition in range(self._partitions[topic], count)
                ]
                begins = await self._late.whole(added) if added else {}
            except (ClientError, ConfigurationError, TimeoutError):
                # What is wrong with Kafka others find out, and say.
                continue
            if begins:
                log.info(
                    "partitions were added", partitions=[f"{p.topic}/{p.partition}" for p in added]
                )
                await self._extend({place: log.start for place, log in begins.items()}, there)

    async def _extend(self, begins: Mapping[TopicPartition, int], there: Mapping[str, int]) -> None:
        assert self._following is not None, "it was started"
        self._following.cancel()
        await asyncio.wait({self._following})
        self._next.update(begins)
        self._partitions.update(there)
        self._index.token_partitions = there[self._topics.tokens]
        self._following = self._begin(self._follow())

    def _question(self, record: ConsumerRecord) -> None:
        received = raw(record)
        fallback = f"{record.topic}/{record.partition}/{record.offset}"
        try:
            question = self._codec.question(received)
        except RecordError:
            # How it goes by is in its completion.
            return
        finally:
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
        self._backlog.asked()
        self._figures.asked(self._moment(record))
        self._index.asked(
            question.id or fallback,
            Place(record.partition, record.offset),
            record.timestamp,
            program=question.program,
            fingerprint=text_header(received.headers, FINGERPRINT),
            again=redrive(received.headers) is not None,
        )
        self._index.forget(int(self._clock.wall() * 1000))

    def _token(self, record: ConsumerRecord) -> None:
        found = said(record)
        if found is None:
            return
        question_id, event = found
        self._figures.tokens += 1
        place = Place(record.partition, record.offset)
        asked = self._speaks_of(record)
        self._index.said(question_id, place, event.sequence, record.timestamp, asked)
        streams = self._streams.get(question_id)
        if streams is None:
            return
        for stream in streams:
            if stream.partition == record.partition:
                stream.offer(event)
        # Those who write have clocks of their own.
        self._delayed(max(0.0, self._clock.wall() - record.timestamp / 1000))

    def _speaks_of(self, record: ConsumerRecord) -> Place | None:
        """Of which record of the questions; None: it does not say."""
        said = text_header(record.headers, "ce_id") or ""
        topic, *place = said.split("/")[:3]
        if topic != self._topics.questions or not all(map(str.isdecimal, place)):
            return None
        return Place(*map(int, place)) if len(place) == len(Place._fields) else None

    def _completion(self, record: ConsumerRecord) -> None:
        place = Place(record.partition, record.offset)
        try:
            body = orjson.loads(record.value)
            source, timing, error = body["source"], body["timing"], body.get("error") or {}
            if source["group"] != self._group or source["topic"] != self._topics.questions:
                return
            asked = Place(int(source["partition"]), int(source["offset"]))
            # A hundred thousand completions have the same few statuses and programs.
            status: Any = sys.intern(body["status"])
            ended = Ended(
                place,
                status,
                record.timestamp,
                body.get("last_sequence"),
                _number(timing.get("first_token_ms")),
                _number(timing.get("duration_ms")),
                error.get("code"),
            )
            program = sys.intern((body.get("program") or {}).get("name") or "") or None
            entry = self._index.ended(
                str(body["question_id"]), asked, int(source["timestamp"]), program, ended
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            # Of a later version, or not ours: readers skip what they do not know.
            return
        if entry is None:
            return
        self._backlog.ended(None if ended.duration_ms is None else ended.duration_ms / 1000)
        self._figures.ended(
            self._moment(record),
            failed=ended.status in {"failed", "expired"},
            first_token_ms=ended.first_token_ms,
            duration_ms=ended.duration_ms,
        )
        self._keep(place, record.value)
        for stream in self._streams.get(entry.question_id, ()):
            if stream.partition == self._index.tokens_of(entry):
                stream.end(ended)
        for waiting in self._waiting.get((entry.question_id, entry.place.partition), ()):
            if not waiting.done():
                waiting.set_result(entry)

    def _moment(self, record: ConsumerRecord) -> float:
        """When it came, in Unix seconds; of what was there before, when it was written."""
        return self._clock.wall() if self._live else record.timestamp / 1000

    def _keep(self, place: Place, value: bytes) -> None:
        self._kept[place] = value
        self._kept_bytes += len(value)
        while self._kept_bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)


def _number(said: Any) -> float | None:
    """Raises TypeError, ValueError: it is none."""
    return None if said is None else float(said)


def _before(entry: Entry) -> float:
    """When nothing had been said of it, in Unix milliseconds: by its asker's clock, and by that of
    whoever has answered it.
    """
    end = entry.ended
    if end is None:
        return entry.timestamp
    return min(entry.timestamp, end.at - (end.duration_ms or 0.0))
