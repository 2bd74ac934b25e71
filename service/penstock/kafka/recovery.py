"""What was already done when a partition arrived?

The last commit says it, and the completions behind its bookmark: they are the log of what is done.
An error is never "nothing there".
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Recovered
from penstock.core.offset_map import DoneBeyond
from penstock.errors import KafkaError
from penstock.events import envelope
from penstock.kafka import metadata
from penstock.kafka.codec import Delivery
from penstock.kafka.completed import Completions, Search, json_object
from penstock.kafka.group_offsets import commits
from penstock.kafka.producer import MARGIN
from penstock.kafka.scope import CLOCK_SKEW, Scope
from penstock.kafka.stopping import cancelled
from penstock.kafka.stretch import Reader, Stretch, in_time, reader
from penstock.kafka.token_tail import Said, TokenTail

_ANY_OFFSET = 2**63

TAIL = 20_000
"""Token events of a partition that are read back at most."""

log = structlog.get_logger("penstock.kafka")


class Arrival(NamedTuple):
    """What is known of a partition before anything of it is fetched."""

    recovered: Recovered
    tail: TokenTail


class Recovery:
    """Reads the group with an admin client, and topics with a consumer for as long as it takes.

    Whatever a method raises, nothing is known: call it again.
    """

    def __init__(self, client: Mapping[str, Any], scope: Scope, clock: Clock, writer: str) -> None:
        self.resets: Counter[str] = Counter()
        """How often a log did not begin or end where the last commit expects it, by the cause."""
        self._client = client
        self._scope = scope
        self._clock = clock
        self._writer = writer
        self._finding = asyncio.Lock()
        self._tails: dict[int, tuple[float, TokenTail]] = {}
        self._admin = AIOKafkaAdminClient(**client, client_id="penstock")
        self.completions = Completions(scope, clock, self._admin)

    async def start(self) -> None:
        await self._admin.start()

    async def stop(self) -> None:
        await self._admin.close()

    async def members(self) -> int:
        """Of the group.

        Raises:
            KafkaError: nobody knows.
        """
        try:
            [answer] = await in_time(self._admin.describe_consumer_groups([self._scope.group]))
            # Later versions of the answer say more behind.
            [(refusal, _, _, _, _, members, *_)] = answer.groups
        except (Exception, asyncio.CancelledError) as error:  # the client lets its own out
            if cancelled():
                raise
            raise KafkaError(f"the group cannot be described: {error}") from error
        if refusal:
            raise KafkaError(f"the group cannot be described: {for_code(refusal).__name__}")
        return len(members)

    async def recover(
        self,
        partitions: Iterable[int],
        anew: frozenset[int] = frozenset(),
        known: frozenset[int] = frozenset(),
    ) -> dict[int, Arrival]:
        """Not before the new generation exists: a commit of the old one could still follow.

        Args:
            partitions: of the questions.
            anew: those whose log was seen to be another one than the last commit knew.
            known: those whose ids we know, up to our own last commit.
        """
        places = {p: TopicPartition(self._scope.questions, p) for p in sorted(partitions)}
        async with reader(self._client, self._clock) as topics:
            committed = await commits(self._admin, self._scope.group, places.values())
            read_at = self._clock.monotonic()
            logs = await topics.whole(places.values())
            searches = {
                partition: self._begin(
                    place, committed[place], logs[place], read_at, anew=partition in anew
                )
                for partition, place in places.items()
            }
            for partition, search in searches.items():
                search.known = search.ours and partition in known
            if any(search.later for search in searches.values()):
                seconds = self._scope.hold + MARGIN
                log.warning("a later release wrote the last commit; it may end", seconds=seconds)
                await asyncio.sleep(seconds)
            ends = await self.completions.read(topics, searches)
            arrivals = {}
            for partition, search in searches.items():
                tail = TokenTail()
                if not search.clean:
                    tail = await self._read_tokens(topics, partition, search.end)
                arrivals[partition] = _arrival(partition, search, ends[partition], tail)
        # Only now, for what failed before is tried again.
        for partition, search in searches.items():
            self._report(partition, search)
        return arrivals

    async def said_until(self, question: Delivery, since: float) -> Said | None:
        """How far the stream of a question had come that another process ran, and has not run
        since then, in monotonic seconds.
        """
        partition = question.record.partition
        async with self._finding:
            # One reading serves all that are taken over together.
            read_at, tail = self._tails.get(partition, (-math.inf, TokenTail()))
            if read_at < since:
                read_at = self._clock.monotonic()
                async with reader(self._client, self._clock) as topics:
                    tail = await self._read_tokens(topics, partition, _ANY_OFFSET)
                self._tails[partition] = read_at, tail
        return tail.before(question.record.offset, question.question_id, question.timestamp)

    def forget(self, partition: int) -> None:
        """What was said of its questions: it has left."""
        self._tails.pop(partition, None)

    def _begin(
        self,
        place: TopicPartition,
        commit: OffsetAndMetadata,
        log_: Stretch,
        read_at: float,
        *,
        anew: bool,
    ) -> Search:
        search = self._as_committed(place, commit, read_at)
        known, committed = search.done, search.done.committed
        highest = search.done.ranges[-1][1] if search.done.ranges else committed
        if anew or highest > log_.end:
            return Search(DoneBeyond(log_.start), replaced=committed)
        if committed < log_.start:
            search.done = search.done.after(log_.start)
            if committed >= 0:
                done = sum(max(0, min(b, log_.start) - a) for a, b in known.ranges)
                search.unread = log_.start - committed - done
        return search

    def _as_committed(
        self, place: TopicPartition, commit: OffsetAndMetadata, read_at: float
    ) -> Search:
        offset, text = commit.offset, commit.metadata or ""
        if offset < 0:
            # Before the first commit nothing is started.
            begin = self._scope.begins.get(place.partition, -1)
            return Search(DoneBeyond(begin), clean=True)
        try:
            last = metadata.read(offset, text, read_at)
        except metadata.ForeignError as error:
            return Search(DoneBeyond(offset), again=str(error))
        except metadata.LaterVersionError as error:
            log.warning(
                "a later release wrote the last commit",
                partition=place.partition,
                reason=str(error),
            )
            return Search(DoneBeyond(offset), later=True)
        ours = last.writer == self._writer
        return Search(last.done, last.bookmark, clean=last.clean, runs=last.runs, ours=ours)

    def _report(self, partition: int, search: Search) -> None:
        if search.replaced is not None:
            self.resets["truncated"] += 1
            log.warning(
                "the last commit is not of this log, which may have been truncated or created "
                "anew: it is read from its start",
                partition=partition,
                committed=search.replaced,
                start=search.done.committed,
                end=search.end,
            )
        elif search.again:
            log.warning(
                "the last commit is not of ours, as after --reset-offsets: everything from its "
                "offset on is done again",
                partition=partition,
                offset=search.done.committed,
                reason=search.again,
            )
        if search.unread:
            self.retention_took(partition, search.unread)

    def retention_took(self, partition: int, records: int) -> None:
        """Says so; there is nothing else to be done."""
        self.resets["retention"] += 1
        log.warning(
            "the retention took questions that nobody has read",
            partition=partition,
            offsets=records,
        )

    def _token_place(self, partition: int) -> TopicPartition:
        tokens = self._scope.tokens
        return TopicPartition(tokens.topic, partition % tokens.partitions)

    async def _read_tokens(self, topics: Reader, partition: int, below: int) -> TokenTail:
        place = self._token_place(partition)
        tail = TokenTail(below)
        ours = envelope.source(self._scope.group)
        whole = await topics.whole([place])
        begin, end = whole[place]
        longest = self._scope.longest_run + CLOCK_SKEW
        since = (await topics.since(whole, self._clock.wall() - longest))[place]
        start = max(begin, since, end - TAIL)
        # Where nothing was said since, all of it is from before every question that may run.
        oldest = (self._clock.wall() - longest) * 1000 if since == end else math.inf
        async for record in topics.read("tokens", {place: Stretch(start, end)}):
            oldest = min(oldest, record.timestamp)
            if envelope.text_header(record.headers, "ce_source") != ours:
                continue
            said = json_object(record.value)
            try:
                tail.saw(said["question_id"], int(said["sequence"]), int(said["attempt"]))
            except (KeyError, TypeError, ValueError):
                continue
        if start > begin:
            tail.read_from = oldest + CLOCK_SKEW * 1000
        return tail


def _arrival(partition: int, search: Search, end: Bookmark, tail: TokenTail) -> Arrival:
    begin = search.claimed_from[partition % end.partitions]
    recovered = Recovered(
        done=search.done,
        claims=search.claims,
        bookmark=search.bookmark or Bookmark(begin, end.partitions),
        end=end,
        unclean_below=tail.below,
        asked=None if search.known else search.asked,
        runs=search.runs,
        ours=search.ours,
    )
    return Arrival(recovered, tail)
