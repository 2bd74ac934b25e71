"""How do offsets reach the group? One try, under the generation that we have them from.

The client's own commit tries again and again, with whatever generation is then the current one: a
commit of an assignment that is over would count as one of the next.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IllegalGenerationError,
    NoError,
    NotCoordinatorForGroupError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    RequestTimedOutError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.errors import KafkaError as ClientError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.structs import OffsetAndMetadata

from penstock.errors import CommitError, LostPartitionsError
from penstock.kafka.membership import Membership

_OVER = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
_ELSEWHERE = (
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
    RequestTimedOutError,
)


async def commit(
    consumer: AIOKafkaConsumer,
    group_id: str,
    member: Membership,
    heads: Mapping[TopicPartition, OffsetAndMetadata],
) -> None:
    """Returns when all is acknowledged. Cancelled, it may still arrive.

    Raises:
        LostPartitionsError: the generation is over.
        CommitError: the broker refused some of it, or did not get it.
    """
    if member.generation == OffsetCommitRequest.DEFAULT_GENERATION_ID:
        # With it a broker takes a commit from anybody, as long as the group has no members.
        raise LostPartitionsError("the group does not know us any more")
    coordinator = _coordinator(consumer)
    by_topic: dict[str, list[tuple[int, int, str]]] = {}
    for tp, head in heads.items():
        by_topic.setdefault(tp.topic, []).append((tp.partition, head.offset, head.metadata))
    try:
        await coordinator.ensure_coordinator_known()
        answer = await coordinator._send_req(  # noqa: SLF001 - the public way retries
            OffsetCommitRequest(
                group_id,
                member.generation,
                member.member_id,
                OffsetCommitRequest.DEFAULT_RETENTION_TIME,
                list(by_topic.items()),
            )
        )
    except ClientError as error:
        raise CommitError(str(error) or type(error).__name__) from error
    for topic, partitions in answer.topics:
        for partition, code in partitions:
            if (refusal := for_code(code)) is not NoError:
                _raise(coordinator, f"{topic}/{partition}", refusal)


def _raise(coordinator: Any, place: str, error: type[ClientError]) -> None:
    if issubclass(error, _OVER):
        raise LostPartitionsError(error.description)
    if issubclass(error, _ELSEWHERE):
        coordinator.coordinator_dead()
    if issubclass(error, OffsetMetadataTooLargeError):
        raise CommitError(
            f"{place}: the brokers take less metadata; set COMMIT__METADATA_BYTES to "
            "their offset.metadata.max.bytes"
        )
    raise CommitError(f"{place}: {error.description or error.__name__}")


def _coordinator(consumer: AIOKafkaConsumer) -> Any:
    return consumer._coordinator  # noqa: SLF001 - there is no public way to the generation
