"""What stands on some partitions, and what comes, whatever happens to them meanwhile?"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import OffsetOutOfRangeError

from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.kafka.entry import refused
from penstock.kafka.rights import unreadable
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.stretch import Reader, Stretch

QUIET_SECONDS = 5.0
"""Without a record, after which it is looked whether the brokers are still there."""


class Tail:
    """Goes on where the retention took what was next, and says so.

    Args:
        topics: what reads.
        client: the connection.
        clock: of the process.
        tell: an operator, on one line.
    """

    def __init__(
        self,
        topics: Reader,
        client: Mapping[str, Any],
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._client = client
        self._clock = clock
        self._tell = tell
        self._heard = clock.monotonic()
        self._away = False

    @property
    def away(self) -> bool:
        """Of who follows: the brokers are not there."""
        return self._away

    async def read(
        self, stretches: Mapping[TopicPartition, Stretch], *, by_time: bool = False
    ) -> AsyncGenerator[ConsumerRecord, None]:
        """As `Reader.read`."""
        left = dict(stretches)
        while True:
            try:
                async for record in self._topics.read("records", dict(left), by_time=by_time):
                    place = TopicPartition(record.topic, record.partition)
                    left[place] = Stretch(record.offset + 1, left[place].end)
                    yield record
            except (KafkaError, OffsetOutOfRangeError) as error:
                at = {place: stretch.start for place, stretch in left.items()}
                for place, log in (await self._past(error, at)).items():
                    left[place] = Stretch(log.start, min(left[place].end, log.end))
            else:
                return

    async def follow(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[ConsumerRecord]:
        """What comes from there on, for ever. Brokers that are away are waited for."""
        at = dict(starts)
        while True:
            try:
                async for records in self._topics.follow(at):
                    await self._listen(at, heard=bool(records))
                    for record in records:
                        at[TopicPartition(record.topic, record.partition)] = record.offset + 1
                        yield record
            except (KafkaError, OffsetOutOfRangeError) as error:
                for place, log in (await self._past(error, at)).items():
                    at[place] = log.start

    async def _past(
        self, error: Exception, at: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, Stretch]:
        """What is left where something is missing. Raises what cannot be mended."""
        if isinstance(error.__cause__, UnicodeDecodeError):
            # Read again, it can be.
            return {}
        if not isinstance(error, OffsetOutOfRangeError):
            raise error
        whole = await self._topics.whole(at)
        changed = {
            place: log for place, log in whole.items() if not log.start <= at[place] <= log.end
        }
        if not changed:
            raise error
        for place, log in changed.items():
            lost = (
                f"the retention took the records {at[place]} to {log.start - 1}"
                if at[place] < log.start
                else f"it ends at {log.end} now, before {at[place]}: it was created anew, or cut"
            )
            self._tell(f"{place.topic}, partition {place.partition}: {lost}")
        return changed

    async def _listen(self, places: Iterable[TopicPartition], *, heard: bool) -> None:
        """Silence may be that of brokers that are not there."""
        now = self._clock.monotonic()
        if not heard and now - self._heard < QUIET_SECONDS:
            return
        why = None if heard else await self._why_silent(places)
        if (why is not None) != self._away:
            self._tell("Kafka answers again" if why is None else f"{why}; it is tried again")
        self._away = why is not None
        self._heard = now

    async def _why_silent(self, places: Iterable[TopicPartition]) -> str | None:
        """None: there is nothing."""
        try:
            await self._topics.whole(places)
        except FORBIDDEN:
            raise
        except (ClientError, TimeoutError) as error:
            # Who lets us in and says nothing of the topic may not have it any more.
            return await refused(self._client) or f"nothing is heard of the topic ({_short(error)})"
        return None


@contextmanager
def readable(topic: str) -> Iterator[None]:
    """Raises KafkaError, with what to do, where a client does not get what it reads."""
    try:
        yield
    except FORBIDDEN as error:
        raise KafkaError(unreadable(error, topic)) from error
    except (ClientError, TimeoutError) as error:
        raise KafkaError(f"topic {topic!r} cannot be read: {_short(error)}") from error


def _short(error: Exception) -> str:
    return str(error) or type(error).__name__
