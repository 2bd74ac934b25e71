"""Which questions do the completions say are done, and which ids were asked before?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from penstock.clock import Clock
from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.duplicates import Asked
from penstock.core.handover import Run
from penstock.core.offset_map import DoneBeyond
from penstock.errors import KafkaError
from penstock.kafka.scope import CLOCK_SKEW, Scope
from penstock.kafka.stretch import Reader, Stretch, in_time

ASKED = 100_000
"""Completions of a partition that are read back at most for the ids that were asked before."""

_LARGEST = 2**63 - 1
"""Of Kafka's numbers."""

log = structlog.get_logger("penstock.kafka")


@dataclass(slots=True)
class Search:
    """What is found out about one partition.

    Args:
        done: where to begin, and what the last commit says is done beyond.
        bookmark: of the last commit; None: every completion counts.
        again: why everything is to be done again from here on, as an operator wants it.
        replaced: what was committed, where that is not of this log.
        unread: questions that the retention took and nobody has read.
        clean: whether no run was cut off.
        runs: what is not to be started.
        ours: whether this process wrote the last commit.
        known: whether the ids of before are known here.
        later: a later release wrote the last commit.
        end: of the partition's log; nothing of it can have been started behind.
        since: Unix milliseconds; what was asked earlier, nobody can repeat any more.
        claims: of the completions.
        claimed_from: by partition of the completions, the position from which they claim.
        asked: the ids of before the commit, in the order of their completions.
    """

    done: DoneBeyond
    bookmark: Bookmark | None = None
    again: str | None = None
    replaced: int | None = None
    unread: int = 0
    clean: bool = False
    runs: tuple[Run, ...] = ()
    ours: bool = False
    known: bool = False
    later: bool = False
    end: int = 0
    since: int = 0
    claims: Claims = field(default_factory=Claims)
    claimed_from: dict[int, int] = field(default_factory=dict)
    asked: list[tuple[str, Asked]] = field(default_factory=list)


class Ended(NamedTuple):
    """The record that a completion ends."""

    partition: int
    offset: int
    timestamp: int


class Completions:
    """The topic, as the log of what is done."""

    def __init__(self, scope: Scope, clock: Clock, admin: AIOKafkaAdminClient) -> None:
        self._scope = scope
        self._clock = clock
        self._admin = admin

    async def read(self, topics: Reader, searches: Mapping[int, Search]) -> dict[int, Bookmark]:
        """Fills the claims and what was asked; gives where the completions end."""
        ours = self._scope.completions.partitions
        places = await self._places(searches)
        whole = await topics.whole(sorted(set().union(*places.values())))
        firsts = {place: log_.start for place, log_ in whole.items()}
        if self._scope.since:
            firsts = await topics.since(whole, self._scope.since - CLOCK_SKEW)
        # Only now: no completion up to these ends is about a record behind the log's.
        questions = {TopicPartition(self._scope.questions, p): s for p, s in searches.items()}
        for place, log_ in (await topics.whole(questions)).items():
            search = questions[place]
            search.end = log_.end
            search.claims = Claims(search.done.committed, log_.end)
        starts = {place: stretch.end for place, stretch in whole.items()}
        if wanting := {p: search for p, search in searches.items() if not search.known}:
            await self._open_windows(topics, wanting)
            since = min(search.since for search in wanting.values()) / 1000
            asked = {place: whole[place] for partition in wanting for place in places[partition]}
            for place, at in (await topics.since(asked, since)).items():
                starts[place] = max(at, whole[place].end - ASKED)
        for partition, search in searches.items():
            for place in places[partition]:
                start = _claims_begin(
                    partition, search, place.partition, whole[place], firsts[place]
                )
                search.claimed_from[place.partition] = start
                starts[place] = min(starts[place], start)
        stretches = {place: Stretch(starts[place], whole[place].end) for place in whole}
        async for record in topics.read("completions", stretches):
            self._note(searches, record.partition, record.offset, json_object(record.value))
        return {
            partition: Bookmark(whole[self._completions(partition % ours)].end, ours)
            for partition in searches
        }

    async def _open_windows(self, topics: Reader, searches: Mapping[int, Search]) -> None:
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
        self, searches: Mapping[int, Search], partition: int, position: int, said: dict[str, Any]
    ) -> None:
        source = self.answers(said)
        search = searches.get(source.partition) if source is not None else None
        if source is None or search is None:
            return
        if source.offset >= search.done.committed:
            # The record itself comes, and brings its id along.
            if not search.again and position >= search.claimed_from.get(partition, position):
                search.claims.add(source.offset, source.timestamp)
        elif _asks(said) and not search.known:
            at = min(source.timestamp, int(self._clock.wall() * 1000))
            if at >= search.since:
                asked = Asked(source.offset, source.timestamp, at)
                search.asked.append((str(said.get("question_id")), asked))

    async def _places(self, searches: Mapping[int, Search]) -> dict[int, set[TopicPartition]]:
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

    def place(self, partition: int) -> TopicPartition:
        """Where the questions of a partition are completed."""
        return self._completions(partition % self._scope.completions.partitions)

    def _completions(self, partition: int) -> TopicPartition:
        return TopicPartition(self._scope.completions.topic, partition)

    def answers(self, said: dict[str, Any]) -> Ended | None:
        """Which question of ours a completion ends."""
        scope = self._scope
        return ends(said, scope.questions, scope.group, scope.replay)


def ends(said: dict[str, Any], questions: str, group: str, replay: str | None) -> Ended | None:
    """Which question of this topic a completion of this group ends, asked again by this replay, or
    by none.
    """
    try:
        source = said["source"]
        ours = source["topic"] == questions and source["group"] == group
        if said["type"] != "completion" or not ours:
            return None
        if ((again := said.get("replay")) and again["id"]) != replay:
            return None
        found = Ended(int(source["partition"]), int(source["offset"]), int(source["timestamp"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(-1 <= number <= _LARGEST for number in found) else None


def _asks(said: Mapping[str, Any]) -> bool:
    """Whether the same id asked once more repeats it: not where there was nothing to be asked."""
    undecodable = said.get("status") == "failed" and not said.get("attempts")
    return said.get("status") != "duplicate" and not said.get("redrive") and not undecodable


def _claims_begin(partition: int, search: Search, place: int, whole: Stretch, first: int) -> int:
    """`first`: where the group can have begun to complete."""
    if search.again:
        return whole.end
    if search.bookmark is None or search.bookmark.partitions <= 0:
        return first
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


def json_object(value: bytes | None) -> dict[str, Any]:
    """What a record says; nothing where it is none of ours."""
    try:
        said = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
