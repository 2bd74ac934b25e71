"""An engine under a test's hand: events in, commands out, time as integers."""

from collections.abc import Hashable

from penstock.core import facts
from penstock.core.cadence import CadencePolicy
from penstock.core.engine import Engine, Policy
from penstock.core.facts import Command, Event, RecordId
from penstock.core.failure import Failure, Kind
from penstock.core.offset_map import DoneBeyond, encode

BUDGET = 1_000
NEVER = CadencePolicy(records=10**6, interval=10**6, backoff=10**6)
"""Tests that are not about commits do not want to see any."""

POISON = Failure(Kind.RECORD, "not_json", "not JSON", "decode")
UPSTREAM = Failure(Kind.UPSTREAM, "server_error", "the model answered 500")
BAD_KEY = Failure(Kind.OPERATOR, "bad_key", "the key is refused")


class Driven:
    """Owns partition 0 in epoch 1, unless told otherwise."""

    def __init__(
        self,
        slots: int = 2,
        high: int = 100,
        low: int = 50,
        cadence: CadencePolicy = NEVER,
        *,
        partitions: tuple[int, ...] = (0,),
        dead_letter_expired: bool = True,
    ) -> None:
        self.engine = Engine(
            Policy(
                slots=slots,
                high=high,
                low=low,
                drain=500,
                republish=10,
                cancel_grace=500,
                dead_letter_expired=dead_letter_expired,
                cadence=cadence,
            )
        )
        self.wake_at: float | None = None
        self(0, facts.Assigned(dict.fromkeys(partitions, 1)))

    def __call__(self, now: int, *events: Event) -> list[Command]:
        """Handles the events, polls once, and holds the engine to waking up in the future."""
        for event in events:
            self.engine.handle(event, now)
        step = self.engine.poll(now)
        assert step.wake_at is None or step.wake_at > now, "the loop would spin"
        self.wake_at = step.wake_at
        return step.commands

    def done(self, now: int, *records: RecordId) -> list[Command]:
        """The programs answer and the completions are acknowledged."""
        self(now, *(facts.Finished(record) for record in records))
        return self(now, *(facts.Published(record) for record in records))


def record(offset: int, partition: int = 0, epoch: int = 1) -> RecordId:
    return RecordId(partition, epoch, offset)


def fetched(
    offset: int,
    lane: Hashable | None = None,
    *,
    partition: int = 0,
    epoch: int = 1,
    expires_at: int | None = None,
    failure: Failure | None = None,
) -> facts.Fetched:
    return facts.Fetched(record(offset, partition, epoch), lane, BUDGET, expires_at, failure)


def done_beyond(committed: int, *offsets: int) -> dict[int, str]:
    """Partition 0's offset map, as a command carries it."""
    ranges = tuple((offset, offset + 1) for offset in offsets)
    return {0: encode(DoneBeyond(committed, ranges))}


def start(offset: int, expires_at: int, partition: int = 0) -> facts.Start:
    return facts.Start(record(offset, partition), 1, expires_at)


def answer(offset: int, partition: int = 0) -> facts.PublishCompletion:
    return facts.PublishCompletion(record(offset, partition))


def failed(offset: int, failure: Failure) -> facts.GiveUp:
    return facts.GiveUp(record(offset), "failed", failure, dead_letter=True)
