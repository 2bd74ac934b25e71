"""What was already done when a partition arrived?

The last commit says it, and the completions behind its bookmark: they are the log of what is done.
An error is never "nothing there".
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.duplicates import Asked
from penstock.core.facts import Recovered
from penstock.core.offset_map import DoneBeyond
from penstock.errors import KafkaError
from penstock.events import envelope
from penstock.kafka import metadata
from penstock.kafka.codec import Raw
from penstock.kafka.sink import Target
from penstock.kafka.stretch import Reader, Stretch, in_time, reader
from penstock.kafka.token_tail import TokenTail

MARGIN = 3.0
"""Seconds; more than a request of ours may stay on its way."""

TAIL = 20_000
"""Token events of a partition that are read back at most."""

ASKED = 100_000
"""Completions of a partition that are read back at most for the ids that were asked before."""

CLOCK_SKEW = 60.0
"""Seconds by which the clocks of brokers and members may differ."""

log = structlog.get_logger("penstock.kafka")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and how far back.

    Args:
        questions: the topic.
        group: its consumer group.
        completions: the topic that says what is done.
        tokens: the topic that says how far a cut off run had come.
        window_ms: how long an id is not asked again.
        longest_run: seconds a run takes at most.
        hold: seconds after which runs that we cannot know of have ended.
    """

    questions: str
    group: str
    completions: Target
    tokens: Target
    window_ms: int
    longest_run: float
    hold: float


class Arrival(NamedTuple):
    """What is known of a partition before anything of it is fetched."""

    recovered: Recovered
    tail: TokenTail


@dataclass(slots=True)
class _Search:
    """What is found out about one partition.

    Args:
        done: where to begin, and what the last commit says is done beyond.
        bookmark: of the last commit; None: every completion counts.
        again: an operator wants everything to be done again from here on.
        replaced: the log is another one than the last commit knew.
        unread: questions that the retention took and nobody has read.
        clean: whether no run was cut off.
        end: of the partition's log; nothing of it can have been started behind.
        since: Unix milliseconds; what was asked earlier, nobody can repeat any more.
        claimed_from: by partition of the completions, the position from which they claim.
    """

    done: DoneBeyond
    bookmark: Bookmark | None = None
    again: bool = False
    replaced: bool = False
    unread: int = 0
    clean: bool = False
    later: bool = False
    end: int = 0
    since: int = 0
    claims: Claims = field(default_factory=Claims)
    claimed_from: dict[int, int] = field(default_factory=dict)
    asked: list[tuple[str, Asked]] = field(default_factory=list)


_LARGEST = 2**63 - 1
"""Of Kafka's numbers."""


class _Source(NamedTuple):
    partition: int
    offset: int
    timestamp: int


class Recovery:
    """Reads the group with an admin client, and topics with a consumer for as long as it takes.

    Whatever a method raises, nothing is known: call it again.
    """

    def __init__(self, client: Mapping[str, Any], scope: Scope, clock: Clock) -> None:
        self.resets: Counter[str] = Counter()
        """How often a log did not begin or end where the last commit expects it, by the cause."""
        self._client = client
        self._scope = scope
        self._clock = clock
        self._finding = asyncio.Lock()
        self._admin = AIOKafkaAdminClient(**client, client_id="penstock")

    async def start(self) -> None:
        await self._admin.start()

    async def stop(self) -> None:
        await self._admin.close()

    async def recover(
        self, partitions: Iterable[int], anew: frozenset[int] = frozenset()
    ) -> dict[int, Arrival]:
        """Not before the new generation exists: a commit of the old one could still follow.

        Args:
            partitions: of the questions.
            anew: those whose log was seen to be another one than the last commit knew.
        """
        places = {p: TopicPartition(self._scope.questions, p) for p in sorted(partitions)}
        async with reader(self._client, self._clock) as topics:
            commits = await self._commits(places.values())
            logs = await topics.whole(places.values())
            searches = {
                partition: self._begin(place, commits[place], logs[place], anew=partition in anew)
                for partition, place in places.items()
            }
            if any(search.later for search in searches.values()):
                seconds = self._scope.hold + MARGIN
                log.warning("a later release wrote the last commit; it may end", seconds=seconds)
                await asyncio.sleep(seconds)
            ends = await self._read_completions(topics, searches)
            arrivals = {}
            for partition, search in searches.items():
                tail = TokenTail()
                if not search.clean:
                    tail = await self._read_tokens(topics, partition, search.end)
                arrivals[partition] = _arrival(partition, search, ends[partition], tail)
        # Only now, for what failed before is tried again.
        for partition, search in searches.items():
            self.resets["truncated"] += search.replaced
            if search.unread:
                self.retention_took(partition, search.unread)
        return arrivals

    async def find(self, question: Raw, since: float) -> int | None:
        """Where the completion of a question is, that was sent at that time, in Unix seconds: the
        first, if there are more.
        """
        wanted = _Source(question.partition, question.offset, question.timestamp_ms)
        place = self._completions(question.partition % self._scope.completions.partitions)
        found = None
        # One at a time: where one outcome is unknown, so are many.
        async with self._finding, reader(self._client, self._clock) as topics:
            whole = await topics.whole([place])
            start = (await topics.since(whole, since - CLOCK_SKEW))[place]
            stretch = {place: Stretch(start, whole[place].end)}
            async for record in topics.read("completions", stretch):
                if found is None and self._source(_json(record.value)) == wanted:
                    found = int(record.offset)
        return found

    async def _commits(
        self, places: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        wanted = list(places)
        found: dict[TopicPartition, OffsetAndMetadata] = await in_time(
            self._admin.list_consumer_group_offsets(self._scope.group, partitions=wanted)
        )
        # The client is silent about some errors; a partition without a commit is named.
        if missing := set(wanted) - found.keys():
            raise KafkaError(f"the last commit of {min(missing)} cannot be read")
        return found

    def _begin(
        self, place: TopicPartition, commit: OffsetAndMetadata, log_: Stretch, *, anew: bool
    ) -> _Search:
        search = _as_committed(place, commit)
        known, committed = search.done, search.done.committed
        highest = search.done.ranges[-1][1] if search.done.ranges else committed
        if anew or highest > log_.end:
            log.warning(
                "the log is another one than the last commit knew: it is read from its start",
                partition=place.partition,
                committed=committed,
                start=log_.start,
                end=log_.end,
            )
            return _Search(DoneBeyond(log_.start), replaced=True)
        if committed < log_.start:
            search.done = search.done.after(log_.start)
            if committed >= 0:
                done = sum(max(0, min(b, log_.start) - a) for a, b in known.ranges)
                search.unread = log_.start - committed - done
        return search

    def retention_took(self, partition: int, records: int) -> None:
        """Says so; there is nothing else to be done."""
        self.resets["retention"] += 1
        log.warning(
            "the retention took questions that nobody has read",
            partition=partition,
            offsets=records,
        )

    # --- completions --------------------------------------------------------------------------

    async def _read_completions(
        self, topics: Reader, searches: Mapping[int, _Search]
    ) -> dict[int, Bookmark]:
        """Fills the claims and what was asked; gives where the completions end."""
        ours = self._scope.completions.partitions
        places = await self._places(searches)
        whole = await topics.whole(sorted(set().union(*places.values())))
        # Only now: no completion up to these ends is about a record behind the log's.
        questions = {TopicPartition(self._scope.questions, p): s for p, s in searches.items()}
        for place, log_ in (await topics.whole(questions)).items():
            search = questions[place]
            search.end = log_.end
            search.claims = Claims(search.done.committed, log_.end)
        await self._open_windows(topics, searches)
        since = min(search.since for search in searches.values()) / 1000
        recent = await topics.since(whole, since)
        starts = {place: max(recent[place], whole[place].end - ASKED) for place in whole}
        for partition, search in searches.items():
            for place in places[partition]:
                start = _claims_begin(partition, search, place.partition, whole[place])
                search.claimed_from[place.partition] = start
                starts[place] = min(starts[place], start)
        stretches = {place: Stretch(starts[place], whole[place].end) for place in whole}
        async for record in topics.read("completions", stretches):
            self._note(searches, record.partition, record.offset, _json(record.value))
        return {
            partition: Bookmark(whole[self._completions(partition % ours)].end, ours)
            for partition in searches
        }

    async def _open_windows(self, topics: Reader, searches: Mapping[int, _Search]) -> None:
        """An id repeats one of before by the timestamps of the records, and the one that comes
        first may have waited for long.
        """
        window = self._scope.window_ms
        for search in searches.values():
            search.since = int(self._clock.wall() * 1000) - window
        unread = {
            TopicPartition(self._scope.questions, partition): Stretch(at, at + 1)
            for partition, search in searches.items()
            if (at := search.done.committed) < search.end and window
        }
        async for record in topics.read("questions", unread):
            if record.timestamp >= 0:
                search = searches[record.partition]
                search.since = min(search.since, record.timestamp - window)

    def _note(
        self, searches: Mapping[int, _Search], partition: int, position: int, said: dict[str, Any]
    ) -> None:
        source = self._source(said)
        search = searches.get(source.partition) if source is not None else None
        if source is None or search is None:
            return
        if source.offset >= search.done.committed:
            # The record itself comes, and brings its id along.
            if not search.again and position >= search.claimed_from.get(partition, position):
                search.claims.add(source.offset, source.timestamp)
        elif _asks(said):
            at = min(source.timestamp, int(self._clock.wall() * 1000))
            if at >= search.since:
                asked = Asked(source.offset, source.timestamp, at)
                search.asked.append((str(said.get("question_id")), asked))

    async def _places(self, searches: Mapping[int, _Search]) -> dict[int, set[TopicPartition]]:
        """Where each partition's completions are, or were: the topic may have been given more
        partitions since the last commit, and since we looked at it.
        """
        now = await self._partitions_now()
        ours = self._scope.completions.partitions
        return {
            partition: {
                self._completions(partition % count)
                for count in (ours, now, search.bookmark.partitions if search.bookmark else ours)
                if 0 < count <= max(now, ours)
            }
            for partition, search in searches.items()
        }

    async def _partitions_now(self) -> int:
        # All topics: to ask for one by its name creates it, where the brokers are set so.
        for topic in await in_time(self._admin.describe_topics()):
            if topic["topic"] == self._scope.completions.topic and topic["error_code"] == 0:
                return len(topic["partitions"])
        raise KafkaError(f"topic {self._scope.completions.topic} cannot be described")

    def _completions(self, partition: int) -> TopicPartition:
        return TopicPartition(self._scope.completions.topic, partition)

    def _source(self, said: dict[str, Any]) -> _Source | None:
        """Which question of ours a completion ends; not that of a replay, which asks again."""
        try:
            source = said["source"]
            ours = source["topic"] == self._scope.questions and source["group"] == self._scope.group
            if said["type"] != "completion" or not ours or said.get("replay"):
                return None
            found = _Source(
                int(source["partition"]), int(source["offset"]), int(source["timestamp"])
            )
        except (KeyError, TypeError, ValueError):
            return None
        return found if all(-1 <= number <= _LARGEST for number in found) else None

    # --- tokens -------------------------------------------------------------------------------

    async def _read_tokens(self, topics: Reader, partition: int, below: int) -> TokenTail:
        tokens = self._scope.tokens
        place = TopicPartition(tokens.topic, partition % tokens.partitions)
        tail = TokenTail(below)
        ours = envelope.source(self._scope.group)
        whole = await topics.whole([place])
        begin, end = whole[place]
        longest = self._scope.longest_run + CLOCK_SKEW
        since = (await topics.since(whole, self._clock.wall() - longest))[place]
        start = max(begin, since, end - TAIL)
        tail.cut_short = start > begin
        if since == end:
            # All of it was said long ago.
            tail.read_from = (self._clock.wall() - self._scope.longest_run) * 1000
        async for record in topics.read("tokens", {place: Stretch(start, end)}):
            tail.read_from = min(tail.read_from, record.timestamp + CLOCK_SKEW * 1000)
            if envelope.text_header(record.headers, "ce_source") != ours:
                continue
            said = _json(record.value)
            try:
                tail.saw(said["question_id"], int(said["sequence"]), int(said["attempt"]))
            except (KeyError, TypeError, ValueError):
                continue
        return tail


def _as_committed(place: TopicPartition, commit: OffsetAndMetadata) -> _Search:
    offset, text = commit.offset, commit.metadata or ""
    if offset < 0:
        # Before the first commit nothing is started.
        return _Search(DoneBeyond(-1), clean=True)
    try:
        last = metadata.read(offset, text)
    except metadata.ForeignError as error:
        log.warning(
            "the last commit's metadata is not ours: everything from its offset on is done again",
            partition=place.partition,
            offset=offset,
            reason=str(error),
        )
        return _Search(DoneBeyond(offset), again=True)
    except metadata.LaterVersionError as error:
        log.warning(
            "a later release wrote the last commit", partition=place.partition, reason=str(error)
        )
        return _Search(DoneBeyond(offset), later=True)
    return _Search(last.done, last.bookmark, clean=last.clean)


def _asks(said: Mapping[str, Any]) -> bool:
    """Whether the same id asked once more repeats it: not where there was nothing to be asked."""
    undecodable = said.get("status") == "failed" and not said.get("attempts")
    return said.get("status") != "duplicate" and not said.get("redrive") and not undecodable


def _claims_begin(partition: int, search: _Search, place: int, whole: Stretch) -> int:
    if search.again:
        return whole.end
    if search.bookmark is None or search.bookmark.partitions <= 0:
        return whole.start
    if place != partition % search.bookmark.partitions:
        # The topic had or has another number of partitions.
        return whole.start
    position = search.bookmark.position
    if whole.start <= position <= whole.end:
        return position
    log.warning(
        "completions behind the last commit are gone; what they ended may be answered again",
        partition=partition,
        bookmark=position,
        start=whole.start,
        end=whole.end,
    )
    return whole.start


def _arrival(partition: int, search: _Search, end: Bookmark, tail: TokenTail) -> Arrival:
    begin = search.claimed_from[partition % end.partitions]
    recovered = Recovered(
        done=search.done,
        claims=search.claims,
        bookmark=search.bookmark or Bookmark(begin, end.partitions),
        end=end,
        unclean_below=tail.below,
        asked=search.asked,
    )
    return Arrival(recovered, tail)


def _json(value: bytes | None) -> dict[str, Any]:
    try:
        said = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
