"""Which ids, events and commands exist?

The loop tells the engine events; the engine answers with commands. Times are monotonic seconds.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from penstock.core.failure import Failure
from penstock.core.offset_map import DoneBeyond

Status = Literal["completed", "failed", "expired", "cancelled", "duplicate"]


class RecordId(NamedTuple):
    """One record of the questions topic, as seen during one assignment of its partition.

    The epoch grows with every assignment, so what belongs to an earlier one is recognised as stale.
    """

    partition: int
    epoch: int
    offset: int


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group gave us these partitions.

    Args:
        epochs: partition to epoch.
        recovered: partition to what its last commit says is done beyond it.
    """

    epochs: Mapping[int, int]
    recovered: Mapping[int, DoneBeyond] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record arrived.

    Args:
        lane: records of one lane run one at a time, in order; None is a lane of its own.
        budget: seconds it may run from its first start, where the record names no deadline.
        expires_at: when it runs out of time, waiting or running; None if the record names nothing.
        failure: why it can never be answered; it then takes no slot.
    """

    record: RecordId
    lane: Hashable | None
    budget: float
    expires_at: float | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The program answered."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class Failed:
    """The program did not answer."""

    record: RecordId
    failure: Failure


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The program has ended because of our `Cancel`."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class Published:
    """The completion (and the dead letter before it) is acknowledged."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class PublishFailed:
    """The completion or its dead letter was refused; it is to be tried again."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit in flight was acknowledged."""


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The commit in flight failed."""


@dataclass(frozen=True, slots=True)
class Revoking:
    """The group takes these partitions; running work has until `until` to finish."""

    partitions: frozenset[int]
    until: float


@dataclass(frozen=True, slots=True)
class Draining:
    """The service is asked to stop; running work has until `until` to finish."""

    until: float


Event = (
    Assigned
    | Fetched
    | Finished
    | Failed
    | Cancelled
    | Published
    | PublishFailed
    | Committed
    | CommitFailed
    | Revoking
    | Draining
)

# --- commands -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Run the program. Attempts count from 1."""

    record: RecordId
    attempt: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the running program; `Cancelled` (or its own end) comes back."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class PublishCompletion:
    """Publish the answer as `completed`."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Publish the dead letter, if one is due, and then the completion."""

    record: RecordId
    status: Status
    failure: Failure
    dead_letter: bool


@dataclass(frozen=True, slots=True)
class Pause:
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Resume:
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Commit:
    """`Committed` or `CommitFailed` comes back.

    Args:
        offsets: partition to the next offset to read.
        done: partition to the offset map of what is done beyond, where anything is.
    """

    offsets: Mapping[int, int]
    done: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing of these partitions runs any more: commit once and let the group go on."""

    partitions: frozenset[int]
    offsets: Mapping[int, int]
    done: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """All is released. With a failure, an operator is needed before a restart makes sense."""

    failure: Failure | None = None


Command = Start | Cancel | PublishCompletion | GiveUp | Pause | Resume | Commit | Release | Stop
