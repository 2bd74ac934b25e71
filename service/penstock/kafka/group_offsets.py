"""How far has a group come? Its last commits, whoever is a member."""

from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

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
    wanted = list(places)
    found = await in_time(connection.list_consumer_group_offsets(group, partitions=wanted))
    if missing := set(wanted) - found.keys():
        raise KafkaError(f"the last commit of {min(missing)} cannot be read")
    return {place: _read(found[place].offset, found[place].metadata) for place in wanted}


def _read(offset: int, text: str) -> DoneBeyond | None:
    if offset < 0:
        return None
    try:
        return metadata.read(offset, text or "", 0.0).done
    except (metadata.ForeignError, metadata.LaterVersionError):
        return DoneBeyond(offset)
