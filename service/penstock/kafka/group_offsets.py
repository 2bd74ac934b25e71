"""How far has a group come? Its last commits, whoever is a member."""

from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from penstock.core.offset_map import DoneBeyond
from penstock.errors import KafkaError
from penstock.kafka import metadata
from penstock.kafka.stretch import in_time


async def done(
    connection: AIOKafkaAdminClient, group: str, places: Iterable[TopicPartition]
) -> Mapping[TopicPartition, DoneBeyond | None]:
    """What the commits say is done; None: nothing was committed. What others than we have
    committed says nothing beyond its offset.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: nobody knows.
    """
    found = await commits(connection, group, places)
    return {place: _read(commit.offset, commit.metadata) for place, commit in found.items()}


async def commits(
    connection: AIOKafkaAdminClient, group: str, places: Iterable[TopicPartition]
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """As they stand there; the offset -1: there is none.

    Raises:
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: nobody knows.
    """
    wanted = list(places)
    found = await in_time(connection.list_consumer_group_offsets(group, partitions=wanted))
    # The client leaves an error of the whole group out, and with it the partitions.
    if missing := set(wanted) - found.keys():
        topic, number = min(missing)
        raise KafkaError(
            f"the last commit of group {group!r} for partition {number} of {topic} cannot be read; "
            "try again in a moment"
        )
    return {place: found[place] for place in wanted}


def _read(offset: int, text: str) -> DoneBeyond | None:
    if offset < 0:
        return None
    try:
        return metadata.read(offset, text or "", 0.0).done
    except (metadata.ForeignError, metadata.LaterVersionError):
        return DoneBeyond(offset)
