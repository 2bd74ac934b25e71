"""How do offsets reach the group? One try, under the generation that we have them from.

The client's own commit tries again and again, with whatever generation is then the current one: a
commit of an assignment that is over would count as one of the next.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

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
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata

from penstock.clock import Clock
from penstock.errors import CommitError, LostPartitionsError

_OVER = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
_ELSEWHERE = (
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
    RequestTimedOutError,
)


FENCED_INSTANCE_ID = 82
"""The client has no name for it."""


class Membership(NamedTuple):
    """Of a group, during one generation. See KIP-62 and the Kafka protocol's OffsetCommit."""

    generation: int
    member_id: str


class Ear(Protocol):
    """Who wants to know what the group answers."""

    def heard(self, sent_at: float, *, rebalancing: bool) -> None:
        """Without an error, to what was sent then, in monotonic seconds."""

    def unknown(self) -> None:
        """It does not know this member."""

    def fenced(self) -> None:
        """It listens to another process by the same static name."""

    def joins(self) -> bool:
        """Whether we want to be a member still."""


def listen(consumer: AIOKafkaConsumer, clock: Clock, ear: Ear) -> None:
    """To all answers from now on."""
    coordinator = _coordinator(consumer)
    send = coordinator._send_req  # noqa: SLF001 - there is no public way to hear of heartbeats

    async def send_and_tell(request: Any) -> Any:
        if isinstance(request, JoinGroupRequest) and not ear.joins():
            raise GroupCoordinatorNotAvailableError
        sent_at = clock.monotonic()
        answer = await send(request)
        code = getattr(answer, "error_code", None)
        if code == FENCED_INSTANCE_ID:
            ear.fenced()
        elif isinstance(request, HeartbeatRequest | SyncGroupRequest):
            if code in (NoError.errno, RebalanceInProgressError.errno):
                ear.heard(sent_at, rebalancing=code != NoError.errno)
            elif code == UnknownMemberIdError.errno:
                ear.unknown()
        return answer

    coordinator._send_req = send_and_tell  # noqa: SLF001


def membership(consumer: AIOKafkaConsumer) -> Membership:
    """As of now; after a join has ended, and before the next begins."""
    coordinator = _coordinator(consumer)
    return Membership(coordinator.generation, coordinator.member_id)


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
