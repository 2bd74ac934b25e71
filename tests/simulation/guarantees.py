# ruff: noqa: ARG002 - every guarantee is told everything and looks at what it has to know
"""What Penstock promises, one class each. They watch what happens and know nothing of the engine.

Times are milliseconds. A member is named by a string; a record by partition, epoch and offset.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from penstock.core.facts import Head, RecordId
from penstock.core.halts import EVERYTHING, Scope
from penstock.core.offset_map import decode

Place = tuple[int, int]
"""Partition and offset: one question, whoever answers it."""


class Identity(NamedTuple):
    """What a question calls itself, since when, and who is to answer it. `timestamp` in Unix
    milliseconds.
    """

    question_id: str
    timestamp: int
    program: str


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
    silence: int
    """Between two commits of a partition by one owner."""
    metadata: int
    """Bytes that a commit may say."""
    map_letters: int
    """Letters of them that say what is done beyond it."""
    window: int
    """In which an id is not asked again."""
    tails_cut_short: bool
    """Whether a member may not find what a question's tokens were before a crash."""
    handed_over: bool
    """Whether nothing happens that could cut off a run."""
    questions: Mapping[Place, Identity]


class Guarantee:
    """Every method is told as things happen; a guarantee overrides what it has to know."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    # --- what members do ----------------------------------------------------------------------

    def fetched(self, now: float, member: str, record: RecordId, expires_at: int | None) -> None:
        """The member took a record in."""

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        """A run began."""

    def said(self, now: float, member: str, record: RecordId, sequence: int, kind: str) -> None:
        """A token event is in its topic: a `token`, a `restart` or the `end`."""

    def ended(self, now: float, member: str, record: RecordId) -> None:
        """A run is over, whatever came of it."""

    def failed(self, now: float, member: str, record: RecordId) -> None:
        """The run that has just ended has, and there may be another."""

    def kept_back(self, now: float, member: str, record: RecordId) -> None:
        """An operator has to see to it first; then it has all its time again."""

    def gate(self, now: float, member: str, *, shut: bool) -> None:
        """Whether the member begins nothing before an operator comes."""

    def unwanted(self, now: float, member: str, question_id: str, at: int) -> None:
        """The member has learned that nobody wants an answer to what was asked by then."""

    def paused(self, now: float, member: str, scope: Scope) -> None:
        """The member has learned that an operator wants nothing of it to start."""

    def resumed(self, now: float, member: str, scope: Scope) -> None:
        """And that this is over."""

    def limited(self, now: float, member: str, record: RecordId, until: float) -> None:
        """This call has told the member that the provider wants none before."""

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        """A completion is in its topic; of a duplicate it names the offset asked first."""

    def committing(self, now: float, member: str, heads: Mapping[int, Head]) -> None:
        """The member asks for a commit."""

    def committed(
        self, now: float, member: str, partition: int, offset: int, metadata: str
    ) -> None:
        """The group has it."""

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        """Nothing of what the member did for this record will go on: it was dropped, its time is
        over, the group gave it to another, or the member died.
        """

    def released(self, now: float, member: str, partition: int) -> None:
        """The member does not commit it any more."""

    def stalled(self, now: float, member: str) -> None:
        """It stands still, or cannot be heard, from now on or until now: it need not be in time."""

    def turned(
        self, now: float, member: str, waits: float | None, *, told: bool, commands: int
    ) -> None:
        """The loop turned; told: because something had happened. `waits`: until the next one."""

    # --- what others do to the topics ---------------------------------------------------------

    def reset(self, now: float, partition: int, offset: int) -> None:
        """An operator wants everything from this offset on to be done again."""

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        """The partition is another one by the same name, with these questions."""

    def taken(self, now: float, partition: int, below: int) -> None:
        """The retention took the questions below, answered or not."""

    def forgotten(self, now: float, partition: int) -> None:
        """Nobody was there for so long that the group's commit and the tokens are gone."""

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        """All has been calm for long enough."""

    def broken(self, now: float, what: str) -> NoReturn:
        raise AssertionError(f"{type(self).__name__}: {what} (at {now:g} ms)")


class NothingLost(Guarantee):
    """Every question is answered; a duplicate by the one that was asked first."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._questions = set(bounds.questions)
        self._open = set(self._questions)

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        self._open.discard((record.partition, record.offset))
        if repeats is not None and repeats >= record.offset:
            self.broken(now, f"{member} says {record} repeats {repeats}, which is not before it")

    def reset(self, now: float, partition: int, offset: int) -> None:
        self._open |= {p for p in self._questions if p[0] == partition and p[1] >= offset}

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self.taken(now, partition, below=2**63)
        self._questions |= questions.keys()
        self._open |= questions.keys()

    def taken(self, now: float, partition: int, below: int) -> None:
        self._questions = _others(self._questions, partition, below)
        self._open = _others(self._open, partition, below)

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        if self._open:
            self.broken(now, f"never answered: {sorted(self._open)}")


class OneCompletion(Guarantee):
    """Exactly one, whoever dies when; unless an operator wants another."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._done: set[Place] = set()

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        place = (record.partition, record.offset)
        if place in self._done:
            self.broken(now, f"{member} completed {record} again")
        self._done.add(place)

    def reset(self, now: float, partition: int, offset: int) -> None:
        self._done = {p for p in self._done if p[0] != partition or p[1] < offset}

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._done = _others(self._done, partition)


class PaidWorkNotRepeated(Guarantee):
    """A question is run again only where its run was cut off, and a duplicate never."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._identities = dict(bounds.questions)
        self._running: dict[Place, tuple[str, RecordId]] = {}
        self._run: defaultdict[tuple[int, str], set[Place]] = defaultdict(set)
        """By partition and id, the places that were run."""
        self._done: set[Place] = set()

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        place = (record.partition, record.offset)
        if place in self._done:
            self.broken(now, f"{member} runs {record}, which is done")
        if place in self._running:
            self.broken(now, f"{member} runs {record} beside {self._running[place]}")
        self._running[place] = (member, record)
        self._same_id(place).add(place)
        for first in self._same_id(place) & self._done:
            self._not_repeated(now, first, place)

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        place = (record.partition, record.offset)
        self._done.add(place)
        if self._running.pop(place, None) is not None:
            for other in self._same_id(place):
                self._not_repeated(now, place, other)

    def failed(self, now: float, member: str, record: RecordId) -> None:
        self.let_go(now, member, record)

    def kept_back(self, now: float, member: str, record: RecordId) -> None:
        self.let_go(now, member, record)

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        place = (record.partition, record.offset)
        if self._running.get(place) == (member, record):
            del self._running[place]

    def reset(self, now: float, partition: int, offset: int) -> None:
        self._done = {p for p in self._done if p[0] != partition or p[1] < offset}

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._done = _others(self._done, partition)
        for same in [same for same in self._run if same[0] == partition]:
            del self._run[same]
        self._identities |= questions

    def taken(self, now: float, partition: int, below: int) -> None:
        # Who read an id in a record that is gone may be gone, too.
        for same in [same for same in self._run if same[0] == partition]:
            self._run[same] = _others(self._run[same], partition, below)

    def _same_id(self, place: Place) -> set[Place]:
        return self._run[place[0], self._identities[place].question_id]

    def _not_repeated(self, now: float, first: Place, again: Place) -> None:
        """Both were run, and the first is done."""
        apart = self._identities[again].timestamp - self._identities[first].timestamp
        if first[1] < again[1] and 0 <= apart <= self.bounds.window > 0:
            self.broken(now, f"{again} is run, which asks what {first} had asked {apart} ms before")


class WorkHandedOver(Guarantee):
    """Where nobody dies and nothing is lost, no run is: whoever has begun it ends it. What has
    failed may run again elsewhere.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._running: dict[Place, tuple[str, RecordId]] = {}

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        self._running[record.partition, record.offset] = (member, record)

    def failed(self, now: float, member: str, record: RecordId) -> None:
        self._running.pop((record.partition, record.offset), None)

    def kept_back(self, now: float, member: str, record: RecordId) -> None:
        self.failed(now, member, record)

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        self.failed(now, member, record)

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        place = (record.partition, record.offset)
        if self.bounds.handed_over and self._running.get(place) == (member, record):
            self.broken(now, f"{member} has begun {record} and lets go of it")


class CancelledNotStarted(Guarantee):
    """Nothing is paid for whose cancellation is known."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._identities = dict(bounds.questions)
        self._unwanted: dict[tuple[str, str], int] = {}

    def unwanted(self, now: float, member: str, question_id: str, at: int) -> None:
        self._unwanted[member, question_id] = at

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        asked = self._identities[record.partition, record.offset]
        if asked.timestamp <= self._unwanted.get((member, asked.question_id), -1):
            self.broken(now, f"{member} starts {record}, which nobody wants any more")

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._identities |= questions


class PausedNotStarted(Guarantee):
    """Nothing starts, for the first time or again, of what an operator has paused."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._identities = dict(bounds.questions)
        self._paused: defaultdict[str, set[Scope]] = defaultdict(set)

    def paused(self, now: float, member: str, scope: Scope) -> None:
        self._paused[member].add(scope)

    def resumed(self, now: float, member: str, scope: Scope) -> None:
        self._paused[member].discard(scope)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        program = self._identities[record.partition, record.offset].program
        its = {EVERYTHING, Scope(partition=record.partition), Scope(program=program)}
        if within := its & self._paused[member]:
            self.broken(now, f"{member} starts {record} within {', '.join(map(str, within))}")

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._identities |= questions


class NothingCommittedEarly(Guarantee):
    """No commit goes past a question whose completion is not acknowledged."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._questions = set(bounds.questions)
        self._open: defaultdict[int, dict[int, None]] = defaultdict(dict)
        self._opens(self._questions)

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        self._open[record.partition].pop(record.offset, None)

    def committed(
        self, now: float, member: str, partition: int, offset: int, metadata: str
    ) -> None:
        lowest = next(iter(self._open[partition]), None)
        if lowest is not None and lowest < offset:
            self.broken(now, f"{member} commits {partition}/{offset}, {lowest} is not done")
        beyond = decode(offset, json.loads(metadata)["done"])
        if early := [one for one in self._open[partition] if one in beyond]:
            self.broken(now, f"{member} says {partition}/{early[0]} is done beyond {offset}")

    def reset(self, now: float, partition: int, offset: int) -> None:
        self._opens(p for p in self._questions if p[0] == partition and p[1] >= offset)

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self.taken(now, partition, below=2**63)
        self._questions |= questions.keys()
        self._opens(questions)

    def taken(self, now: float, partition: int, below: int) -> None:
        self._questions = _others(self._questions, partition, below)
        self._open[partition] = {o: None for o in self._open[partition] if o >= below}

    def _opens(self, places: Iterable[Place]) -> None:
        for partition, offset in places:
            self._open[partition][offset] = None
        for partition, offsets in self._open.items():
            self._open[partition] = dict.fromkeys(sorted(offsets))


class CommitsNeverGoBack(Guarantee):
    """What is committed stays committed, from owner to owner too."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._highest: dict[int, int] = {}

    def committed(
        self, now: float, member: str, partition: int, offset: int, metadata: str
    ) -> None:
        if offset < (highest := self._highest.get(partition, 0)):
            self.broken(now, f"{member} takes {partition} back from {highest} to {offset}")
        self._highest[partition] = offset

    def reset(self, now: float, partition: int, offset: int) -> None:
        self._highest[partition] = offset

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._highest.pop(partition, None)

    def forgotten(self, now: float, partition: int) -> None:
        self._highest.pop(partition, None)


class CommitsKeptAlive(Guarantee):
    """An owner commits again and again, even what has not changed: the group forgets the others."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._last: defaultdict[str, dict[int, float]] = defaultdict(dict)

    def committing(self, now: float, member: str, heads: Mapping[int, Head]) -> None:
        self._check(now, member)
        self._last[member] |= dict.fromkeys(heads, now)

    def released(self, now: float, member: str, partition: int) -> None:
        self._last[member].pop(partition, None)

    def stalled(self, now: float, member: str) -> None:
        self._last.pop(member, None)

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        for member in self._last:
            self._check(now, member)

    def _check(self, now: float, member: str) -> None:
        for partition, last in self._last[member].items():
            if now - last > self.bounds.silence:
                self.broken(now, f"{member} has not committed {partition} since {last:g}")


class CommitsFit(Guarantee):
    """A broker takes so many bytes with a commit; of one that says more, it takes nothing."""

    def committed(
        self, now: float, member: str, partition: int, offset: int, metadata: str
    ) -> None:
        if (size := len(metadata.encode())) > self.bounds.metadata:
            self.broken(
                now, f"{member} says {size} bytes of {partition}, {self.bounds.metadata} fit"
            )
        said = json.loads(metadata)
        letters = len(said["done"])
        if said["runs"]:
            letters += len(json.dumps(said["runs"], separators=(",", ":"))) - len("{}")
        if letters > self.bounds.map_letters:
            self.broken(now, f"{member} needs {letters} letters for what is done of {partition}")


class KeysInOrder(Guarantee):
    """Runs of one key never overlap; within an assignment they start in the order of the log,
    each after the completion of the one before.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._running: dict[tuple[int, str], tuple[str, RecordId]] = {}
        self._last: dict[tuple[int, str], tuple[str, RecordId]] = {}
        self._done: set[tuple[str, RecordId]] = set()
        self._taken: defaultdict[int, int] = defaultdict(int)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        if key is None:
            return
        lane = (record.partition, key)
        running = self._running.get(lane)
        if running is not None and running[1].offset >= self._taken[record.partition]:
            self.broken(now, f"{key}: {member} starts {record} beside {self._running[lane]}")
        who, before = self._last.get(lane, ("", record))
        if (who, before.epoch) == (member, record.epoch) and before != record:
            if before.offset >= record.offset:
                self.broken(now, f"{key}: {record} starts after {before}")
            if (who, before) not in self._done:
                self.broken(now, f"{key}: {record} starts, but {before} has no completion")
        self._running[lane] = self._last[lane] = (member, record)

    def ended(self, now: float, member: str, record: RecordId) -> None:
        self._running = {
            lane: run for lane, run in self._running.items() if run != (member, record)
        }

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        self._done.add((member, record))

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        self.ended(now, member, record)

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._taken[partition] = 0

    def taken(self, now: float, partition: int, below: int) -> None:
        # Who has the others cannot know of what is gone.
        self._taken[partition] = below


class TokensInOrder(Guarantee):
    """What is said about a question is numbered from 0 without a gap. A run that follows one that
    was cut off goes on one past its last event with a `restart`; or, where nobody can find it,
    with a `restart` that is 0 again.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._identities = dict(bounds.questions)
        self._last: dict[Place, tuple[int, str]] = {}
        self._speakers: dict[Place, tuple[str, RecordId]] = {}
        self._let_go: set[tuple[str, RecordId]] = set()
        """By whom nobody waits to hear any more; what is on its way may still arrive."""
        self._said: defaultdict[tuple[int, str], dict[Place, int]] = defaultdict(dict)
        """By partition and id, the last sequence of each place: two may have one id."""

    def said(self, now: float, member: str, record: RecordId, sequence: int, kind: str) -> None:
        place, speaker = (record.partition, record.offset), (member, record)
        before = self._speakers.get(place)
        if place in self._last and (before == speaker or before not in self._let_go):
            last, what = self._last[place]
            if what == "end":
                self.broken(now, f"{member} says {sequence} ({kind}) of {record} after its end")
            if sequence != last + 1:
                self.broken(now, f"{member} says {sequence} ({kind}) of {record} after {last}")
        elif not self._begins(place, sequence, kind):
            cut = self._last.get(place, "nothing")
            self.broken(now, f"{member} begins {record} with {sequence} ({kind}) after {cut}")
        self._last[place] = (sequence, kind)
        self._speakers[place] = speaker
        self._same_id(place)[place] = sequence

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        self._let_go.add((member, record))

    def reset(self, now: float, partition: int, offset: int) -> None:
        self._let_go |= {
            speaker
            for place, speaker in self._speakers.items()
            if place[0] == partition and place[1] >= offset
        }

    def recreated(self, now: float, partition: int, questions: Mapping[Place, Identity]) -> None:
        self._identities |= questions
        self.reset(now, partition, 0)
        self.forgotten(now, partition)

    def forgotten(self, now: float, partition: int) -> None:
        """The tokens of what was let go of."""
        for place, speaker in list(self._speakers.items()):
            if place[0] == partition and speaker in self._let_go:
                del self._last[place], self._speakers[place]

    def _begins(self, place: Place, sequence: int, kind: str) -> bool:
        if kind != "restart":
            return sequence == 0 and place not in self._last
        if sequence == 0:
            return self.bounds.tails_cut_short
        same_id = self._same_id(place)
        if same_id.keys() == {place}:
            return sequence == same_id[place] + 1
        # Which of them spoke last when the tokens were read is not known here.
        return bool(same_id) and sequence <= max(same_id.values()) + 1

    def _same_id(self, place: Place) -> dict[Place, int]:
        return self._said[place[0], self._identities[place].question_id]


class SlotsBounded(Guarantee):
    """No member runs more programs at once than it has slots."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._runs: defaultdict[str, set[RecordId]] = defaultdict(set)
        self._excused: dict[str, float] = {}
        """Who stood still takes for endless what had no time to end."""

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        runs = self._runs[member]
        runs.add(record)
        if len(runs) > self.bounds.slots and now > self._excused.get(member, -math.inf):
            self.broken(now, f"{member} runs {len(runs)} in {self.bounds.slots} slots")

    def ended(self, now: float, member: str, record: RecordId) -> None:
        self._runs[member].discard(record)

    def stalled(self, now: float, member: str) -> None:
        self._excused[member] = now + 2 * self.bounds.ending


class ProviderHeeded(Guarantee):
    """Who was asked to wait calls nobody before, and then one at a time until it is answered."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._until: dict[str, float] = {}

    def limited(self, now: float, member: str, record: RecordId, until: float) -> None:
        self._until[member] = max(until, self._until.get(member, until))

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        # Clocks that go slow make a wait look short.
        if now < (until := self._until.get(member, -math.inf)) - 1:
            self.broken(now, f"{member} starts {record}, and was asked to wait until {until:g}")


class IntakeBounded(Guarantee):
    """Memory is bounded: a member holds few records that neither run nor are done."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._held: defaultdict[tuple[str, int], set[RecordId]] = defaultdict(set)
        self._let_go: set[tuple[str, RecordId]] = set()
        """A run may end later."""

    def fetched(self, now: float, member: str, record: RecordId, expires_at: int | None) -> None:
        self._grew(now, member, record)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        self._held[member, record.partition].discard(record)

    def ended(self, now: float, member: str, record: RecordId) -> None:
        if (member, record) not in self._let_go:
            self._grew(now, member, record)

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        self._held[member, record.partition].discard(record)

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        self._held[member, record.partition].discard(record)
        self._let_go.add((member, record))

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
        self._named: set[tuple[str, RecordId]] = set()
        """Those whose end was in the question."""

    def fetched(self, now: float, member: str, record: RecordId, expires_at: int | None) -> None:
        if expires_at is not None:
            # One that was out of time before we saw it counts from when we saw it.
            self._due[member, record] = max(now, expires_at)
            self._named.add((member, record))

    def limited(self, now: float, member: str, record: RecordId, until: float) -> None:
        if (member, record) not in self._named:
            # A provider may want to be left alone for longer than that.
            self._due.pop((member, record), None)

    def started(
        self, now: float, member: str, record: RecordId, key: str | None, expires_at: float
    ) -> None:
        if now >= (due := self._due.setdefault((member, record), expires_at)):
            self.broken(now, f"{record} starts after its deadline {due:g}")

    def ended(self, now: float, member: str, record: RecordId) -> None:
        due = self._due.get((member, record))
        if due is not None and now > due + self.bounds.ending:
            self.broken(now, f"{record} ran on after its deadline {due:g}")

    def completed(self, now: float, member: str, record: RecordId, repeats: int | None) -> None:
        due = self._due.pop((member, record), now)
        if now > due + self.bounds.ending + self.bounds.publishing:
            self.broken(now, f"the completion of {record} was due at {due:g}")

    def let_go(self, now: float, member: str, record: RecordId) -> None:
        self._due.pop((member, record), None)

    def kept_back(self, now: float, member: str, record: RecordId) -> None:
        self._due.pop((member, record), None)

    def stalled(self, now: float, member: str) -> None:
        for late in [due for due in self._due if due[0] == member]:
            self._due[late] = math.inf

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
        self, now: float, member: str, waits: float | None, *, told: bool, commands: int
    ) -> None:
        if waits is not None and waits <= 0:
            self.broken(now, f"{member} wants to turn again after {waits:g}")
        self._idle[member] = 0 if told or commands else self._idle[member] + 1
        # A deadline may pass while its run is being cancelled for another reason: one per slot.
        # And partitions on their way out are looked at a few times.
        if self._idle[member] > self.bounds.slots + 6:
            self.broken(now, f"{member} turned {self._idle[member]} times for nothing")


class ProgressWhenCalm(Guarantee):
    """When the faults stop everything ends, by itself and soon."""

    def over(self, now: float, unfinished: Sequence[str]) -> None:
        if unfinished:
            self.broken(now, f"{len(unfinished)} things left: {'; '.join(unfinished[:5])}")


GUARANTEES: tuple[type[Guarantee], ...] = (
    NothingLost,
    OneCompletion,
    PaidWorkNotRepeated,
    WorkHandedOver,
    CancelledNotStarted,
    PausedNotStarted,
    NothingCommittedEarly,
    CommitsNeverGoBack,
    CommitsKeptAlive,
    CommitsFit,
    KeysInOrder,
    TokensInOrder,
    SlotsBounded,
    ProviderHeeded,
    IntakeBounded,
    DeadlinesKept,
    LoopNeverSpins,
    ProgressWhenCalm,
)


def _others(places: Iterable[Place], partition: int, below: int = 2**63) -> set[Place]:
    """Those of other partitions, and those from this offset on."""
    return {place for place in places if place[0] != partition or place[1] >= below}
