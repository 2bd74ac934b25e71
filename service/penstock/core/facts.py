"""Which ids, events and commands exist?

The loop tells the engine events; the engine answers with commands. Times are monotonic seconds.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.duplicates import Asked
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


class Head(NamedTuple):
    """What a commit says of one partition.

    Args:
        offset: the lowest that is not done.
        done: the offset map of what is done beyond it.
        bookmark: every completion that neither of them covers is there or behind.
        clean: whether no run of the partition was cut off that somebody has to start again.
    """

    offset: int
    done: str
    bookmark: Bookmark
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found out about a partition when it arrived.

    Args:
        done: what its last commit says is done.
        claims: what the completions behind the bookmark say is done.
        bookmark: that of the last commit.
        end: where the completions ended when they were read, and that is their end.
        unclean_below: offsets below may have been started by a process that died.
        asked: the ids of before, oldest first.
    """

    done: DoneBeyond
    claims: Claims
    bookmark: Bookmark
    end: Bookmark
    unclean_below: int = 0
    asked: Sequence[tuple[str, Asked]] = ()


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group gave us these partitions. They are paused until we say `Resume`.

    Args:
        epochs: partition to epoch.
        recovered: the same partitions to what is known of them.
    """

    epochs: Mapping[int, int]
    recovered: Mapping[int, Recovered]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record arrived.

    Args:
        lane: records of one lane run one at a time, in order; None is a lane of its own.
        budget: seconds it may run from its first start, where the record names no deadline.
        expires_at: when it runs out of time, waiting or running; None if the record names nothing.
        failure: why it can never be answered; it then takes no slot.
        timestamp: of the record, in Unix milliseconds.
        question_id: None where nobody else can have the same, or where it does not matter.
        asked_at: the timestamp, in Unix milliseconds too, but never in the future.
    """

    record: RecordId
    lane: Hashable | None
    budget: float
    expires_at: float | None = None
    failure: Failure | None = None
    timestamp: int = 0
    question_id: str | None = None
    asked_at: int = 0


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
    """The completion (and the dead letter before it) is acknowledged.

    Args:
        record: the question.
        position: of its completion, or None where the broker did not tell.
    """

    record: RecordId
    position: int | None = None


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
    """The group takes these partitions; running work has until `until` to finish.

    Without `commits`, what their last commit says must stand.
    """

    partitions: frozenset[int]
    until: float
    commits: bool = True


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
class PublishDuplicate:
    """Publish a completion as `duplicate` of the one asked first."""

    record: RecordId
    first: Asked


@dataclass(frozen=True, slots=True)
class Pause:
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Resume:
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Commit:
    """`Committed` or `CommitFailed` comes back. Partition to what is said of it."""

    heads: Mapping[int, Head]


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing of these partitions runs any more: commit once and let the group go on.

    A partition without a head is not committed: what its last commit says stands.
    """

    partitions: frozenset[int]
    heads: Mapping[int, Head]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One record has held back the commits of its partition for a long time. For the log.

    Args:
        record: the lowest that is not done.
        seconds: since it was fetched.
        outstanding: records fetched and not done, this one among them.
    """

    record: RecordId
    seconds: float
    outstanding: int


@dataclass(frozen=True, slots=True)
class Stop:
    """All is released. With a failure, an operator is needed before a restart makes sense."""

    failure: Failure | None = None


Conclusion = PublishCompletion | GiveUp | PublishDuplicate
Command = Start | Cancel | Conclusion | Pause | Resume | Commit | Release | HeldBack | Stop
