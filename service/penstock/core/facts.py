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
from penstock.core.halts import Scope
from penstock.core.handover import Run
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
        runs: which questions not done are not to be started, for somebody still runs them.
    """

    offset: int
    done: str
    bookmark: Bookmark
    clean: bool = False
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found out about a partition when it arrived.

    Args:
        done: what its last commit says is done.
        claims: what the completions behind the bookmark say is done.
        bookmark: that of the last commit.
        end: where the completions ended when they were read, and that is their end.
        unclean_below: offsets below may have been started by a process that died.
        asked: the ids of before, oldest first; None: those that we know are all.
        runs: what the last commit says still runs.
        ours: whether this process wrote the last commit.
    """

    done: DoneBeyond
    claims: Claims
    bookmark: Bookmark
    end: Bookmark
    unclean_below: int = 0
    asked: Sequence[tuple[str, Asked]] | None = ()
    runs: Sequence[Run] = ()
    ours: bool = False


class Reading(NamedTuple):
    """How far a partition is read.

    Args:
        epoch: of its assignment.
        given: behind the last record that we were told of; before the first, where reading began.
        position: of what is read next. Between the two lies nothing for us, such as the marker of
            a transaction.
        end: of its log, up to which there is something to be read.
    """

    epoch: int
    given: int
    position: int
    end: int


class Used(NamedTuple):
    """What one attempt took of the model."""

    requests: int = 1
    tokens: int = 0


ONE_CALL = Used()


class Answered(NamedTuple):
    """The record that a completion ends. `timestamp` in Unix milliseconds."""

    offset: int
    timestamp: int


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """The group has dealt its partitions anew: these are ours, and no others; each is `Assigned` as
    soon as it is known what of it is done. For the metrics.
    """

    partitions: frozenset[int]


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
        question_id: what it is cancelled by.
        own_id: nobody else can have this id, or it does not matter.
        asked_at: the timestamp, in Unix milliseconds too, but never in the future.
        model: that its program asks.
        program: that answers it.
    """

    record: RecordId
    lane: Hashable | None
    budget: float
    expires_at: float | None = None
    failure: Failure | None = None
    timestamp: int = 0
    question_id: str = ""
    own_id: bool = True
    asked_at: int = 0
    model: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """The model has begun to answer: this attempt has its first token."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class Finished:
    """The program answered."""

    record: RecordId
    used: Used = ONE_CALL


@dataclass(frozen=True, slots=True)
class Failed:
    """The program did not answer."""

    record: RecordId
    failure: Failure
    used: Used = ONE_CALL


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
class Followed:
    """What others have completed of a partition of which they still run something; see `Follow`.

    Args:
        partition: of the questions.
        epoch: of the assignment.
        answered: in the order of their completions.
        position: up to which the completions are read now.
        as_of: when that was their end.
    """

    partition: int
    epoch: int
    answered: Sequence[Answered]
    position: int
    as_of: float


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Nobody wants the answer to this question any more, if it was asked by then; until then it
    may still turn up, whenever it was asked.

    Args:
        question_id: of the question.
        at: of the record that says so, in Unix milliseconds.
        until: in monotonic seconds.
    """

    question_id: str
    at: int
    until: float


@dataclass(frozen=True, slots=True)
class GateOpened:
    """An operator has seen to what made too many questions fail, and wants to go on."""


@dataclass(frozen=True, slots=True)
class Paced:
    """From now on so many questions may start in a second; None: as many as there is room for."""

    per_second: float | None


@dataclass(frozen=True, slots=True)
class Halted:
    """An operator wants nothing to start in this scope; what runs may finish. `reason`: in his
    words, for the log.
    """

    scope: Scope
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HaltLifted:
    """He has taken it back."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Heard:
    """The group has answered what was sent then, without an error; see `Lease.renewed`."""

    sent_at: float
    rebalancing: bool = False


@dataclass(frozen=True, slots=True)
class Revoking:
    """The group takes these partitions; what runs may go on until `until` at most.

    Without `commits`, what their last commit says must stand, and nothing goes on.
    """

    partitions: frozenset[int]
    until: float
    commits: bool = True


@dataclass(frozen=True, slots=True)
class Released:
    """What `Release` asked for has ended; `committed`: the group has what it was to say."""

    partitions: frozenset[int]
    committed: bool


@dataclass(frozen=True, slots=True)
class Draining:
    """The service is asked to stop; running work has until `until` to finish.

    `alone`: nobody is there who could have the partitions in the meantime.
    """

    until: float
    alone: bool = False


Event = (
    Given
    | Assigned
    | Fetched
    | Answers
    | Finished
    | Failed
    | Cancelled
    | Published
    | PublishFailed
    | Committed
    | CommitFailed
    | Followed
    | CancelRequested
    | GateOpened
    | Paced
    | Halted
    | HaltLifted
    | Heard
    | Revoking
    | Released
    | Draining
)

# --- commands -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """What was fetched is done, as the last commit says or a completion. For the metrics."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class Start:
    """Run the program. Attempts count from 1."""

    record: RecordId
    attempt: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Whoever else ran this question does so no more: what was said of it up to `since`, in
    monotonic seconds, is what it had to say. Before anything else of the record.
    """

    record: RecordId
    since: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing more may be said of this record: another member has it, or has completed it.

    `cut_off`: a run of it is lost.
    """

    record: RecordId
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the running program; `Cancelled` (or its own end) comes back."""

    record: RecordId


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The attempt has failed, and another one starts then at the earliest. For the log."""

    record: RecordId
    failure: Failure
    at: float


@dataclass(frozen=True, slots=True)
class ModelShut:
    """A model is not called any more, until one call finds that it is back. For the log."""

    model: str
    cause: str


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """It is back. For the log."""

    model: str


@dataclass(frozen=True, slots=True)
class GateShut:
    """Too many questions fail for good, this way the last: nothing starts before an operator has
    seen to it. For the log.
    """

    failure: Failure


@dataclass(frozen=True, slots=True)
class KeptBack:
    """The question has failed for good, and is asked again: when an operator has seen to it, or by
    whoever has its partition. For the log.
    """

    record: RecordId
    failure: Failure


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
class Follow:
    """From now on: what appears in the completions of these partitions, and of no others.

    Partition to its epoch, and to the position that has been read already.
    """

    partitions: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing of these partitions starts any more: commit once and let the group go on, then
    `Released` comes back.

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
        elsewhere: another process runs it.
    """

    record: RecordId
    seconds: float
    outstanding: int
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Depart:
    """Leave the group: what is still running goes on without it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """All is released, and nothing runs.

    With a failure, an operator is needed before a restart makes sense.
    """

    failure: Failure | None = None


Conclusion = PublishCompletion | GiveUp | PublishDuplicate
Command = (
    AlreadyDone
    | Start
    | TakeOver
    | Cancel
    | Drop
    | RetryAt
    | ModelShut
    | ModelOpened
    | GateShut
    | KeptBack
    | Conclusion
    | Pause
    | Resume
    | Commit
    | Follow
    | Release
    | HeldBack
    | Depart
    | Stop
)
