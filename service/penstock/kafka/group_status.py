"""What is there to be seen of a group? Its members, its commits, its logs, and what its members
report. No group is joined, and nothing is written.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError
from aiokafka.structs import OffsetAndMetadata
from pydantic import ValidationError

from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.events.control import PAUSE
from penstock.events.member import MEMBER, Member
from penstock.kafka import describe, metadata
from penstock.kafka.admin import admin, ours
from penstock.kafka.clock_skew import skew
from penstock.kafka.control_log import ControlLog, Stated
from penstock.kafka.group_offsets import commits
from penstock.kafka.preflight import GROUP_SECONDS
from penstock.kafka.rights import Operation, lacking
from penstock.kafka.stopping import cancelled
from penstock.kafka.stretch import Reader, Stretch, reader
from penstock.settings import TopicSettings
from penstock.status import DeadLetters, Log, Pause, Report, Seat, Seen

HOUR, DAY = 3600.0, 86_400.0


class GroupStatus:
    """Looks as often as it is asked to, each time at what has changed since."""

    def __init__(
        self,
        connection: AIOKafkaAdminClient,
        topics: Reader,
        names: TopicSettings,
        group: str,
        clock: Clock,
        user: str | None,
        ahead: float,
        *,
        letters: bool,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._names = names
        self._group = group
        self._clock = clock
        self._user = user
        self._ahead = ahead
        """Seconds of this clock before Kafka's, which has stamped the reports."""
        self._letters = letters
        self._control = ControlLog(names.control, MEMBER, PAUSE)

    async def look(self) -> Seen:
        """As of now.

        Raises:
            ConfigurationError: there is no such group, a topic is missing, or a right.
            KafkaError: Kafka does not answer.
        """
        try:
            return await self._look()
        except ClientError as error:
            why = str(error) or type(error).__name__
            raise KafkaError(f"group {self._group!r} cannot be looked at: {why}") from error
        except (TimeoutError, asyncio.CancelledError) as error:  # the client lets its own out
            if cancelled():
                raise
            raise KafkaError("Kafka does not answer") from error

    async def _look(self) -> Seen:
        names = self._names
        wanted = {
            names.questions: [Operation.DESCRIBE],
            names.dead_letters: [Operation.DESCRIBE],
            names.control: [Operation.READ],
        }
        cluster = await describe.cluster(self._connection, wanted)
        letters = self._letters or _seen(cluster, names.dead_letters)
        if not letters:
            del wanted[names.dead_letters]
        topics = ours(cluster, wanted, self._user)
        group = await self._described()
        places = _places(topics[names.questions])
        # Before the ends: so a commit is never beyond them.
        committed = await commits(self._connection, self._group, places)
        read_at = self._clock.monotonic()
        dead = _places(topics[names.dead_letters]) if letters else []
        whole = await self._topics.whole([*places, *dead])
        stated = await self._control.stated(self._topics)
        now = self._clock.wall() - self._ahead
        reports = list(_reports(stated, now))
        told = [report for report in reports if report.member.group == self._group]
        if not (group.seats or told or any(commit.offset >= 0 for commit in committed.values())):
            raise ConfigurationError(_no_such_group(self._group, reports))
        return Seen(
            group=self._group,
            state=group.state,
            seats=[_seat(seat, names.questions) for seat in group.seats],
            logs=[_log(place, whole[place], committed[place], read_at) for place in places],
            reports=told,
            pauses=list(_pauses(stated, now)),
            dead_letters=await self._dead_letters({p: whole[p] for p in dead}) if letters else None,
        )

    async def _described(self) -> describe.Group:
        group = await describe.group(self._connection, self._group, GROUP_SECONDS)
        if group is None:
            raise KafkaError(f"group {self._group!r} has no coordinator yet; try again in a moment")
        lacks = lacking("group", self._group, [Operation.DESCRIBE], group.allowed, self._user)
        for finding in lacks:
            raise ConfigurationError(str(finding))
        return group

    async def _dead_letters(self, whole: Mapping[TopicPartition, Stretch]) -> DeadLetters:
        counts = []
        for seconds in (HOUR, DAY):
            since = await self._topics.since(whole, self._clock.wall() - seconds)
            counts.append(sum(whole[place].end - offset for place, offset in since.items()))
        return DeadLetters(*counts)


@asynccontextmanager
async def looking(
    client: Mapping[str, Any],
    names: TopicSettings,
    group: str,
    clock: Clock,
    *,
    letters: bool = True,
) -> AsyncIterator[GroupStatus]:
    """Connected while the block runs. `letters`: whether it is no status without a look at the
    dead letters.

    Raises:
        ConfigurationError: there is no Kafka, or it does not let us in.
        KafkaError: it does not answer.
    """
    user = client.get("sasl_plain_username")
    async with admin(client) as connection, reader(client, clock) as topics:
        known = await skew(connection, clock.wall)
        ahead = 0.0 if known is None else known.ahead
        yield GroupStatus(connection, topics, names, group, clock, user, ahead, letters=letters)


def _seen(cluster: describe.Cluster, name: str) -> bool:
    topic = cluster.topics.get(name)
    return topic is not None and topic.visible


def _places(topic: describe.Topic) -> list[TopicPartition]:
    return [TopicPartition(topic.name, number) for number in range(topic.partitions)]


def _seat(seat: describe.Seat, questions: str) -> Seat:
    partitions = sorted(number for topic, number in seat.places if topic == questions)
    return Seat(seat.member_id, seat.host, tuple(partitions))


def _log(place: TopicPartition, whole: Stretch, commit: OffsetAndMetadata, read_at: float) -> Log:
    number, (start, end) = place.partition, whole
    if commit.offset < 0:
        return Log(number, start, end, None)
    try:
        last = metadata.read(commit.offset, commit.metadata or "", read_at)
    except (metadata.ForeignError, metadata.LaterVersionError):
        # Who reset the offsets wants all of it again; of a later release nothing is known.
        return Log(number, start, end, commit.offset)
    return Log(number, start, end, commit.offset, last.done.ranges, last.runs, read_at)


def _reports(stated: Mapping[str, Stated], now: float) -> Iterator[Report]:
    for key, said in stated.items():
        if key.startswith(MEMBER):
            try:
                member = Member.model_validate_json(said.value)
            except ValidationError:
                # It is of another release, or nobody's.
                continue
            yield Report(key.removeprefix(MEMBER), member, _age(said, now))


def _pauses(stated: Mapping[str, Stated], now: float) -> Iterator[Pause]:
    for key, said in stated.items():
        if key.startswith(PAUSE):
            try:
                value = orjson.loads(said.value)
            except orjson.JSONDecodeError:
                value = said.value.decode(errors="replace")
            yield Pause(key.removeprefix(PAUSE), value, _age(said, now))


def _age(said: Stated, now: float) -> float:
    return round(max(0.0, now - said.timestamp / 1000), 1)


def _no_such_group(group: str, reports: Iterable[Report]) -> str:
    others = sorted({report.member.group for report in reports})
    known = f"; these report here: {', '.join(others)}" if others else ""
    return (
        f"group {group!r} does not exist: it has no member and no committed offset{known}; name "
        "one with --group, or start `penstock serve`"
    )
