"""An engine under a test's hand: events in, commands out, time as integers."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.cadence import CadencePolicy
from penstock.core.claims import Claims
from penstock.core.duplicates import Asked
from penstock.core.engine import Engine
from penstock.core.facts import Command, Event, Head, RecordId, Recovered
from penstock.core.failure import CANCELLED, RATE_LIMITED, Failure, Kind, expired
from penstock.core.handover import Run
from penstock.core.lease import LeasePolicy
from penstock.core.offset_map import DoneBeyond, encode
from penstock.core.partition import Limits
from penstock.core.policy import Policy
from penstock.core.retry import RetryPolicy

BUDGET = 1_000
LATER = 10**6
"""When there is nothing to do: the commit of what has not changed."""

NEVER = CadencePolicy(records=LATER, interval=LATER, backoff=LATER, at_least=LATER)
"""Tests that are not about commits do not want to see any."""
AT_ONCE = CadencePolicy(records=1, interval=100, backoff=250, at_least=LATER)

ONCE = RetryPolicy(attempts={Kind.UPSTREAM: 1, Kind.ANSWER: 1})
"""Tests that are not about retries do not want to see any."""

US, THEM = "us", "them"
"""Runners."""

START = Bookmark(0, 1)
"""Where the completions begin."""
ZERO = frozenset({0})
"""All that it owns."""

POISON = Failure(Kind.RECORD, "not_json", "not JSON", "decode")
UPSTREAM = Failure(Kind.UPSTREAM, "server_error", "the model answered 500")
UNREADABLE = Failure(Kind.ANSWER, "unparsable", "the answer cannot be read")
BAD_KEY = Failure(Kind.OPERATOR, "bad_key", "the key is refused")
PAUSE, RESUME = facts.Pause(ZERO), facts.Resume(ZERO)


class Driven:
    """Owns partition 0 in epoch 1, and has opened it, unless told otherwise."""

    def __init__(
        self,
        slots: int = 2,
        high: int = 100,
        low: int = 50,
        cadence: CadencePolicy = NEVER,
        *,
        partitions: tuple[int, ...] = (0,),
        dead_letter_expired: bool = True,
        held_back: int = LATER,
        limits: Limits | None = None,
        heard: int | None = LATER,
        **more: Any,
    ) -> None:
        """`more` of the policy."""
        self.engine = Engine(
            Policy(
                slots=slots,
                high=high,
                low=low,
                drain=500,
                republish=10,
                cancel_grace=500,
                flight=20,
                held_back=held_back,
                dead_letter_expired=dead_letter_expired,
                cadence=cadence,
                limits=limits or Limits(),
                lease=LeasePolicy(session=100, rebalance=300, margin=3),
                **{"retry": ONCE, **more},
            ),
            US,
        )
        self.wake_at: float | None = None
        if heard is not None:
            self.engine.handle(facts.Heard(heard), 0)
        if partitions:
            self.open(0, dict.fromkeys(partitions, 1))

    def __call__(self, now: int, *events: Event) -> list[Command]:
        """Handles the events, polls once, and holds the engine to waking up in the future."""
        for event in events:
            self.engine.handle(event, now)
        step = self.engine.poll(now)
        assert step.wake_at is None or step.wake_at > now, "the loop would spin"
        self.wake_at = step.wake_at
        return step.commands

    def open(
        self, now: int, epochs: Mapping[int, int], known: Recovered | None = None
    ) -> list[Command]:
        """Partitions arrive, and their first commit is acknowledged."""
        commands = self(now, assigned(epochs, known))
        assert any(isinstance(command, facts.Commit) for command in commands)
        return self(now, facts.Committed())

    def done(self, now: int, *records: RecordId, position: int | None = None) -> list[Command]:
        """The programs answer and the completions are acknowledged."""
        self(now, *(facts.Finished(record) for record in records))
        return self(now, *(facts.Published(record, position) for record in records))


def record(offset: int, partition: int = 0, epoch: int = 1) -> RecordId:
    return RecordId(partition, epoch, offset)


def already_done(offset: int, epoch: int = 1) -> facts.AlreadyDone:
    return facts.AlreadyDone(record(offset, epoch=epoch))


def fetched(
    offset: int,
    lane: Hashable | None = None,
    *,
    partition: int = 0,
    epoch: int = 1,
    expires_at: int | None = None,
    failure: Failure | None = None,
    timestamp: int = 0,
    question_id: str | None = None,
    model: str = "",
    program: str = "",
) -> facts.Fetched:
    return facts.Fetched(
        record(offset, partition, epoch),
        lane,
        BUDGET,
        expires_at,
        failure,
        timestamp,
        question_id or "",
        own_id=question_id is None,
        asked_at=timestamp,
        model=model,
        program=program,
    )


def recovered(
    done: DoneBeyond | None = None,
    claims: Mapping[int, int] | None = None,
    *,
    bookmark: Bookmark = START,
    end: Bookmark = START,
    unclean_below: int = 0,
    asked: Sequence[tuple[str, Asked]] | None = (),
    runs: Sequence[Run] = (),
    ours: bool = False,
) -> Recovered:
    """`claims`: offset to timestamp."""
    done = done or DoneBeyond()
    claimed = Claims(done.committed, done.committed + 1_000)
    for offset, timestamp in (claims or {}).items():
        claimed.add(offset, timestamp)
    return Recovered(done, claimed, bookmark, end, unclean_below, asked, runs, ours)


def assigned(epochs: Mapping[int, int], known: Recovered | None = None) -> facts.Assigned:
    """Nothing was done before, unless told otherwise."""
    return facts.Assigned(epochs, dict.fromkeys(epochs, known or recovered()))


def run(offset: int, until: float, runner: str = US) -> Run:
    return Run(offset, runner, until)


def head(
    offset: int,
    *done: int,
    bookmark: Bookmark = START,
    clean: bool = False,
    runs: Sequence[Run] = (),
) -> Head:
    """What is said of a partition: the lowest offset not done, and those done beyond it."""
    ranges = tuple((beyond, beyond + 1) for beyond in done)
    return Head(offset, encode(DoneBeyond(offset, ranges)), bookmark, clean, tuple(runs))


def commit(
    offset: int, *done: int, bookmark: Bookmark = START, runs: Sequence[Run] = ()
) -> facts.Commit:
    """Of partition 0."""
    return facts.Commit({0: head(offset, *done, bookmark=bookmark, runs=runs)})


def release(
    offset: int,
    *done: int,
    clean: bool = True,
    bookmark: Bookmark = START,
    runs: Sequence[Run] = (),
) -> facts.Release:
    """Of partition 0."""
    return facts.Release(ZERO, {0: head(offset, *done, clean=clean, bookmark=bookmark, runs=runs)})


def alone(until: int) -> facts.Draining:
    """Nobody could have the partitions: what runs finishes in place."""
    return facts.Draining(until, alone=True)


def released(*, committed: bool = True) -> facts.Released:
    """Partition 0 is."""
    return facts.Released(ZERO, committed)


def drop(offset: int, *, cut_off: bool = False, partition: int = 0, epoch: int = 1) -> facts.Drop:
    return facts.Drop(record(offset, partition, epoch), cut_off)


def starts(commands: list[Command]) -> list[int]:
    """The offsets that start."""
    return [command.record.offset for command in commands if isinstance(command, facts.Start)]


def start(offset: int, expires_at: int, partition: int = 0, *, attempt: int = 1) -> facts.Start:
    return facts.Start(record(offset, partition), attempt, expires_at)


def fails(offset: int, failure: Failure = UPSTREAM, partition: int = 0) -> facts.Failed:
    return facts.Failed(record(offset, partition), failure)


def limited(retry_after: float | None = None) -> Failure:
    return Failure(Kind.UPSTREAM, RATE_LIMITED, "429", retry_after=retry_after)


def retry(offset: int, at: float, failure: Failure = UPSTREAM) -> facts.RetryAt:
    return facts.RetryAt(record(offset), failure, at)


def answer(offset: int, partition: int = 0) -> facts.PublishCompletion:
    return facts.PublishCompletion(record(offset, partition))


def failed(offset: int, failure: Failure) -> facts.GiveUp:
    return facts.GiveUp(record(offset), "failed", failure, dead_letter=True)


def expiry(offset: int, stage: str, *, dead_letter: bool = True) -> facts.GiveUp:
    return facts.GiveUp(record(offset), "expired", expired(stage), dead_letter)


def cancellation(offset: int) -> facts.GiveUp:
    return facts.GiveUp(record(offset), "cancelled", CANCELLED, dead_letter=False)
