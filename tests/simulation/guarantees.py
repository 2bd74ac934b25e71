# ruff: noqa: ARG002 - every guarantee is told everything and looks at what it has to know
"""What Penstock promises, one class each. They watch what happens and know nothing of the engine.

Times are milliseconds. A member is named by a string; a record by partition, epoch and offset.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from penstock.core.facts import RecordId
from penstock.core.offset_map import DoneBeyond, decode

Place = tuple[int, int]
"""Partition and offset: one question, whoever answers it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the world allows itself, so that a guarantee can say how much is too much."""

    slots: int
    held: int
    """Records of one partition in memory without a slot."""
    ending: int
    """Between the deadline and the end of a run."""
    publishing: int
    """Between the end of a run, or the expiry of a waiting question, and its completion."""
    questions: Sequence[Place]


class Guarantee:
    """Every method is told as things happen; a guarantee overrides what it has to know."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def fetched(self, now: float, member: str, record: RecordId, expires_at: int | None) -> None:
        """The member took a record in."""

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        """A run began."""

    def ended(self, now: float, member: str, record: RecordId) -> None:
        """A run is over, whatever came of it."""

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        """A completion is in its topic; late: its member had let go of the record before."""

    def committing(
        self, now: float, member: str, offsets: Mapping[int, int], done: Mapping[int, str]
    ) -> None:
        """The member asks for a commit."""

    def committed(self, now: float, member: str, partition: int, offset: int) -> None:
        """The group has it."""

    def let_go(self, now: float, member: str, partition: int) -> None:
        """Nothing the member held of this partition will go on: released, or the member died."""

    def may_repeat(self, now: float, partition: int, kept: DoneBeyond) -> None:
        """The owner left without its last commit: of what it did, the group knows what is kept."""

    def turned(
        self, now: float, member: str, wake_at: float | None, *, told: bool, commands: int
    ) -> None:
        """The loop turned; told: because something had happened."""

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        """All has been calm for long enough."""

    def broken(self, now: float, what: str) -> NoReturn:
        raise AssertionError(f"{type(self).__name__}: {what} (at {now:g} ms)")


class NothingLost(Guarantee):
    """Every question ends with at least one completion."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._open = set(bounds.questions)

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        self._open.discard((record.partition, record.offset))

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        if self._open:
            self.broken(now, f"never answered: {sorted(self._open)}")


class OneCompletion(Guarantee):
    """Exactly one, unless the owner left before what it had done could be committed."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._seen: defaultdict[Place, int] = defaultdict(int)
        self._allowed: defaultdict[Place, int] = defaultdict(lambda: 1)

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        place = (record.partition, record.offset)
        self._seen[place] += 1
        self._allowed[place] += late
        if self._seen[place] > self._allowed[place]:
            self.broken(now, f"{member} completed {record} again")

    def may_repeat(self, now: float, partition: int, kept: DoneBeyond) -> None:
        for place, seen in self._seen.items():
            if place[0] == partition and place[1] >= kept.committed and place[1] not in kept:
                self._allowed[place] = max(self._allowed[place], seen + 1)


class NothingCommittedEarly(Guarantee):
    """No commit goes past a question whose completion is not acknowledged."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._open: defaultdict[int, dict[int, None]] = defaultdict(dict)
        for partition, offset in sorted(bounds.questions):
            self._open[partition][offset] = None

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        self._open[record.partition].pop(record.offset, None)

    def committing(
        self, now: float, member: str, offsets: Mapping[int, int], done: Mapping[int, str]
    ) -> None:
        for partition, offset in offsets.items():
            lowest = next(iter(self._open[partition]), None)
            if lowest is not None and lowest < offset:
                self.broken(now, f"{member} commits {partition}/{offset}, {lowest} is not done")
            beyond = decode(offset, done.get(partition, ""))
            if early := [one for one in self._open[partition] if one in beyond]:
                self.broken(now, f"{member} says {partition}/{early[0]} is done beyond {offset}")


class CommitsNeverGoBack(Guarantee):
    """What is committed stays committed, from owner to owner too."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._highest: dict[int, int] = {}

    def committed(self, now: float, member: str, partition: int, offset: int) -> None:
        if offset < (highest := self._highest.get(partition, 0)):
            self.broken(now, f"{member} takes {partition} back from {highest} to {offset}")
        self._highest[partition] = offset


class KeysInOrder(Guarantee):
    """Runs of one key never overlap; within an assignment they start in the order of the log,
    each after the completion of the one before.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._running: dict[tuple[int, str], tuple[str, RecordId]] = {}
        self._last: dict[tuple[int, str], RecordId] = {}
        self._done: set[RecordId] = set()

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        if key is None:
            return
        lane = (record.partition, key)
        if lane in self._running:
            self.broken(now, f"{key}: {member} starts {record} beside {self._running[lane]}")
        before = self._last.get(lane)
        if before is not None and before.epoch == record.epoch:
            if before.offset >= record.offset:
                self.broken(now, f"{key}: {record} starts after {before}")
            if before not in self._done:
                self.broken(now, f"{key}: {record} starts, but {before} has no completion")
        self._running[lane] = (member, record)
        self._last[lane] = record

    def ended(self, now: float, member: str, record: RecordId) -> None:
        self._running = {
            lane: run for lane, run in self._running.items() if run != (member, record)
        }

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        self._done.add(record)

    def let_go(self, now: float, member: str, partition: int) -> None:
        self._running = {
            lane: run
            for lane, run in self._running.items()
            if (run[0], lane[0]) != (member, partition)
        }


class SlotsBounded(Guarantee):
    """No member runs more programs at once than it has slots."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._runs: defaultdict[str, set[RecordId]] = defaultdict(set)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        runs = self._runs[member]
        runs.add(record)
        if len(runs) > self.bounds.slots:
            self.broken(now, f"{member} runs {len(runs)} in {self.bounds.slots} slots")

    def ended(self, now: float, member: str, record: RecordId) -> None:
        self._runs[member].discard(record)


class IntakeBounded(Guarantee):
    """Memory is bounded: a member holds few records that neither run nor are done."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._held: defaultdict[tuple[str, int], set[RecordId]] = defaultdict(set)

    def fetched(self, now: float, member: str, record: RecordId, expires_at: int | None) -> None:
        self._grew(now, member, record)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        self._held[member, record.partition].discard(record)

    def ended(self, now: float, member: str, record: RecordId) -> None:
        self._grew(now, member, record)

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        self._held[member, record.partition].discard(record)

    def let_go(self, now: float, member: str, partition: int) -> None:
        self._held.pop((member, partition), None)

    def _grew(self, now: float, member: str, record: RecordId) -> None:
        held = self._held[member, record.partition]
        held.add(record)
        if len(held) > self.bounds.held:
            self.broken(
                now,
                f"{member} holds {len(held)} of partition {record.partition}, "
                f"{self.bounds.held} allowed",
            )


class DeadlinesKept(Guarantee):
    """A completion comes by the deadline, plus the time to end and to publish."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._due: dict[tuple[str, RecordId], float] = {}

    def fetched(self, now: float, member: str, record: RecordId, expires_at: int | None) -> None:
        if expires_at is not None:
            # One that was out of time before we saw it counts from when we saw it.
            self._due[member, record] = max(now, expires_at)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        if now >= (due := self._due.setdefault((member, record), expires_at)):
            self.broken(now, f"{record} starts after its deadline {due:g}")

    def ended(self, now: float, member: str, record: RecordId) -> None:
        due = self._due.get((member, record))
        if due is not None and now > due + self.bounds.ending:
            self.broken(now, f"{record} ran on after its deadline {due:g}")

    def completed(self, now: float, member: str, record: RecordId, *, late: bool) -> None:
        due = self._due.pop((member, record), now)
        if not late and now > due + self.bounds.ending + self.bounds.publishing:
            self.broken(now, f"the completion of {record} was due at {due:g}")

    def let_go(self, now: float, member: str, partition: int) -> None:
        for mine, record in list(self._due):
            if (mine, record.partition) == (member, partition):
                del self._due[mine, record]

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        for (member, record), due in self._due.items():
            if now > due + self.bounds.ending + self.bounds.publishing:
                self.broken(now, f"{member} never completed {record}, due at {due:g}")


class LoopNeverSpins(Guarantee):
    """The next turn is always in the future, and the loop does not turn for nothing."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._idle: defaultdict[str, int] = defaultdict(int)

    def turned(
        self, now: float, member: str, wake_at: float | None, *, told: bool, commands: int
    ) -> None:
        if wake_at is not None and wake_at <= now:
            self.broken(now, f"{member} wants to turn again at {wake_at:g}")
        self._idle[member] = 0 if told or commands else self._idle[member] + 1
        # A deadline may pass while its run is being cancelled for another reason: one per slot.
        if self._idle[member] > self.bounds.slots + 2:
            self.broken(now, f"{member} turned {self._idle[member]} times for nothing")


class ProgressWhenCalm(Guarantee):
    """When the faults stop everything ends, by itself and soon."""

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        if unfinished:
            self.broken(now, f"{len(unfinished)} things left: {'; '.join(unfinished[:5])}")


GUARANTEES: tuple[type[Guarantee], ...] = (
    NothingLost,
    OneCompletion,
    NothingCommittedEarly,
    CommitsNeverGoBack,
    KeysInOrder,
    SlotsBounded,
    IntakeBounded,
    DeadlinesKept,
    LoopNeverSpins,
    ProgressWhenCalm,
)
