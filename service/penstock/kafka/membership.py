"""As whom does the group know us, and what does it answer?

The client's own heartbeats do not say which static member they are of (KIP-345): to a process whose
name another one has taken, the group would say that it does not know it, as to one that was silent
for too long. That one is to join anew; the other must not.
"""

from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    NoError,
    RebalanceInProgressError,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import (
    HeartbeatRequest,
    HeartbeatRequest_v1,
    HeartbeatResponse_v1,
    JoinGroupRequest,
    SyncGroupRequest,
)
from aiokafka.protocol.types import Int32, Schema, String

from penstock.clock import Clock

FENCED_INSTANCE_ID = 82
"""The client has no name for it."""

_OF_A_MEMBER = (HeartbeatRequest, JoinGroupRequest, SyncGroupRequest)
"""Not a commit: who says nothing else is thrown out at the next rebalance."""


class Membership(NamedTuple):
    """Of a group, during one generation. See KIP-62 and the Kafka protocol's OffsetCommit."""

    generation: int
    member_id: str


class Ear(Protocol):
    """Who wants to know what the group answers. Times are monotonic seconds."""

    def named(self, at: float) -> None:
        """By then it has given a static member an id, and listens to no other of that name."""

    def heard(self, sent_at: float, *, rebalancing: bool) -> None:
        """Without an error, to what was sent then."""

    def fenced(self) -> None:
        """It listens to another process by the same static name."""

    def joins(self) -> bool:
        """Whether we want to be a member still."""

    def tries(self, at: float) -> None:
        """The client does then what a member, or who wants to be one, has to do."""


def listen(consumer: AIOKafkaConsumer, instance_id: str | None, clock: Clock, ear: Ear) -> None:
    """To all answers from now on. `instance_id`: of a static member."""
    coordinator = _coordinator(consumer)
    client = coordinator._client  # noqa: SLF001 - there is no public way to hear of heartbeats
    send, look_up = coordinator._send_req, client.coordinator_lookup  # noqa: SLF001

    async def look_up_and_tell(*coordinator_of: Any) -> Any:
        ear.tries(clock.monotonic())
        return await look_up(*coordinator_of)

    async def send_and_tell(request: Any) -> Any:
        if isinstance(request, JoinGroupRequest) and not ear.joins():
            raise GroupCoordinatorNotAvailableError
        sent_at, member_id = clock.monotonic(), coordinator.member_id
        if isinstance(request, _OF_A_MEMBER):
            ear.tries(sent_at)
        beats = isinstance(request, HeartbeatRequest)
        if beats and instance_id is not None:
            request = _StaticHeartbeat(coordinator.group_id, membership(consumer), instance_id)
        answer = await send(request)
        code = getattr(answer, "error_code", None)
        if code == FENCED_INSTANCE_ID:
            ear.fenced()
        elif isinstance(request, JoinGroupRequest):
            if code == NoError.errno and answer.member_id != member_id:
                ear.named(clock.monotonic())
        elif (beats or isinstance(request, SyncGroupRequest)) and code in (
            NoError.errno,
            RebalanceInProgressError.errno,
        ):
            ear.heard(sent_at, rebalancing=code != NoError.errno)
        return answer

    coordinator._send_req = send_and_tell  # noqa: SLF001
    client.coordinator_lookup = look_up_and_tell


def membership(consumer: AIOKafkaConsumer) -> Membership:
    """As of now; after a join has ended, and before the next begins."""
    coordinator = _coordinator(consumer)
    return Membership(coordinator.generation, coordinator.member_id)


class _HeartbeatResponseV3(Response):  # type: ignore[misc] # untyped base
    API_KEY = HeartbeatRequest.API_KEY
    API_VERSION = 3
    SCHEMA = HeartbeatResponse_v1.SCHEMA


class _HeartbeatRequestV3(RequestStruct):  # type: ignore[misc] # untyped base
    API_KEY = HeartbeatRequest.API_KEY
    API_VERSION = 3
    RESPONSE_TYPE = _HeartbeatResponseV3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _StaticHeartbeat(Request[HeartbeatRequest_v1 | _HeartbeatRequestV3]):  # type: ignore[misc] # untyped base
    """Brokers know of static members since they know the third version of it (2.3)."""

    API_KEY = HeartbeatRequest.API_KEY

    def __init__(self, group: str, member: Membership, instance_id: str) -> None:
        self._fields = (group, *member)
        self._instance_id = instance_id

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        static = version is _HeartbeatRequestV3
        return version(*self._fields, *[self._instance_id] * static)


def _coordinator(consumer: AIOKafkaConsumer) -> Any:
    return consumer._coordinator  # noqa: SLF001 - there is no public way to the generation
