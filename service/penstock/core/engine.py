"""Routes events to the machines and collects what they decide; holds no rule of its own."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from penstock.core import facts
from penstock.core.admission import Admission
from penstock.core.cadence import Cadence, CadencePolicy
from penstock.core.deadline import Deadlines
from penstock.core.duplicates import Asked
from penstock.core.facts import Command, Conclusion, Head, RecordId
from penstock.core.failure import CONSEQUENCES, Failure, Kind, expired
from penstock.core.intake import Intake
from penstock.core.partition import Limits, Partition


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator decides about the engine. Times in seconds."""

    slots: int = 64
    high: int = 200
    low: int = 100
    drain: float = 25.0
    republish: float = 1.0
    cancel_grace: float = 5.0
    """How long a cancelled program may take to end before it is given up as it runs."""
    flight: float = 2.0
    """The longest a request of ours may stay on its way."""
    held_back: float = 60.0
    """A record that holds back the commits for longer is worth a line in the log."""
    dead_letter_expired: bool = True
    cadence: CadencePolicy = field(default_factory=CadencePolicy)
    limits: Limits = field(default_factory=Limits)


class Phase(Enum):
    WAITING = auto()
    RUNNING = auto()
    CANCELLING = auto()
    """Told to stop, not yet ended: it still has its slot."""
    PUBLISHING = auto()


@dataclass(slots=True)
class Question:
    """What the engine knows of a record that is not done."""

    phase: Phase
    lane: tuple[int, Hashable]
    budget: float
    expires_at: float | None
    attempt: int = 0
    conclusion: Conclusion | None = None
    """What is to be published, kept for another try."""
    refused: bool = False
    """Whether the conclusion waits for that other try."""


class Step(NamedTuple):
    commands: list[Command]
    wake_at: float | None


_SELF_CANCELLED = Failure(Kind.ANSWER, "program_cancelled", "the program was cancelled from within")


class Engine:
    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.questions: dict[RecordId, Question] = {}
        self.partitions: dict[int, Partition] = {}
        self.admission = Admission(policy.slots)
        self.intake = Intake(policy.high, policy.low)
        self._deadlines = Deadlines()
        self._republish = Deadlines()
        self._cadence = Cadence(policy.cadence)
        self._committing: list[tuple[int, Partition, Head]] = []
        self._releasing: dict[int, float] = {}
        """Partitions on their way out, and until when their running work may finish."""
        self._release_due = False
        self._stopping = False
        self._stopped_by: Failure | None = None
        self._commands: list[Command] = []
        self._routes: dict[type, Callable[[Any, float], None]] = {
            facts.Assigned: self._assigned,
            facts.Fetched: self._fetched,
            facts.Finished: self._finished,
            facts.Failed: self._failed,
            facts.Cancelled: self._cancelled,
            facts.Published: self._published,
            facts.PublishFailed: self._publish_failed,
            facts.Committed: self._commit_acknowledged,
            facts.CommitFailed: self._commit_failed,
            facts.Revoking: self._revoking,
            facts.Draining: self._draining,
        }

    def handle(self, event: facts.Event, now: float) -> None:
        self._routes[type(event)](event, now)

    def poll(self, now: float) -> Step:
        """What is to be done now, and when to ask again if nothing happens before."""
        self._expire(now)
        self._commit(now)
        self._start(now)
        self._pause_and_resume()
        self._release(now)
        commands, self._commands = self._commands, []
        times = (
            self._deadlines.next_at(),
            self._republish.next_at(),
            self._cadence.next_at() if self.partitions else None,
            self._release_at(now),
        )
        return Step(commands, min((at for at in times if at is not None), default=None))

    def owns(self, record: RecordId) -> bool:
        """Whether the record belongs to a current assignment and is not done."""
        return record in self.questions

    # --- events -------------------------------------------------------------------------------

    def _assigned(self, event: facts.Assigned, _: float) -> None:
        for number, epoch in event.epochs.items():
            recovered = event.recovered[number]
            self.partitions[number] = Partition(epoch, recovered, self.policy.limits)
        self._cadence.hurry()
        if self._stopping:
            self._releasing.update(dict.fromkeys(event.epochs, 0.0))
            self._release_due = True

    def _fetched(self, event: facts.Fetched, now: float) -> None:
        record = event.record
        partition = self.partitions.get(record.partition)
        if partition is None or partition.epoch != record.epoch:
            return
        if record.partition in self._releasing:
            return
        first = partition.first(event)
        if partition.ledger.skip(record.offset, event.timestamp):
            self._cadence.resolved(now)
        elif partition.ledger.track(record.offset, now):
            self._begin(event, first, now)

    def _begin(self, event: facts.Fetched, first: Asked | None, now: float) -> None:
        record = event.record
        self.intake.grew(record.partition)
        # A lane of its own is named by the offset; keys and None cannot collide with it.
        named = ("record", record.offset) if event.lane is None else event.lane
        lane = (record.partition, named)
        question = Question(Phase.WAITING, lane, event.budget, event.expires_at)
        self.questions[record] = question
        if event.failure is not None:
            self._conclude(
                record, question, facts.GiveUp(record, "failed", event.failure, dead_letter=True)
            )
        elif first is not None:
            self._conclude(record, question, facts.PublishDuplicate(record, first))
        elif event.expires_at is not None and event.expires_at <= now:
            self._conclude(record, question, self._expiry(record, "waiting"))
        else:
            self.admission.add(record, lane)
            if event.expires_at is not None:
                self._deadlines.arm(record, event.expires_at)

    def _finished(self, event: facts.Finished, now: float) -> None:
        if (question := self._ended(event.record)) is None:
            return
        if self._out_of_time_to_release(event.record, now):
            self._forget(event.record, question)
        else:
            # An answer that beat its own cancellation is an answer: it is paid for.
            self._conclude(event.record, question, facts.PublishCompletion(event.record))

    def _failed(self, event: facts.Failed, now: float) -> None:
        record, failure = event.record, event.failure
        question = self.questions.get(record)
        if question is not None and question.phase is Phase.CANCELLING:
            self._cancelled(facts.Cancelled(record), now)
        elif (question := self._ended(record)) is None:
            return
        elif CONSEQUENCES[failure.kind].stops_service:
            # Its offset stays outstanding: nothing is committed past it.
            self._forget(record, question)
            self._stopped_by = self._stopped_by or failure
            self._draining(facts.Draining(now + self.policy.drain), now)
        elif self._out_of_time_to_release(record, now):
            self._forget(record, question)
        else:
            self._conclude(
                record, question, facts.GiveUp(record, "failed", failure, dead_letter=True)
            )

    def _cancelled(self, event: facts.Cancelled, now: float) -> None:
        record = event.record
        if (question := self._ended(record)) is None:
            return
        if self._out_of_time_to_release(record, now):
            self._forget(record, question)
        elif question.phase is Phase.RUNNING:
            # Nobody asked for it: the program cancelled itself.
            self._conclude(
                record, question, facts.GiveUp(record, "failed", _SELF_CANCELLED, dead_letter=True)
            )
        else:
            self._conclude(record, question, self._expiry(record, "running"))

    def _published(self, event: facts.Published, now: float) -> None:
        record = event.record
        question = self.questions.pop(record, None)
        if question is None:
            return
        self.partitions[record.partition].resolve(record.offset, event.position)
        self.intake.shrank(record.partition)
        self._cadence.resolved(now)
        if question.attempt:
            self.admission.open(question.lane)

    def _publish_failed(self, event: facts.PublishFailed, now: float) -> None:
        if (question := self.questions.get(event.record)) is not None:
            question.refused = True
            self._republish.arm(event.record, now + self.policy.republish)

    def _commit_acknowledged(self, _: facts.Committed, __: float) -> None:
        self._cadence.acknowledged()
        opened = set()
        for number, partition, head in self._committing:
            partition.committed = head
            if not partition.open and self.partitions.get(number) is partition:
                partition.open = True
                opened.add(number)
        if opened := opened - self._releasing.keys():
            self._commands.append(facts.Resume(frozenset(opened)))

    def _commit_failed(self, _: facts.CommitFailed, now: float) -> None:
        self._cadence.failed(now)

    def _revoking(self, event: facts.Revoking, _: float) -> None:
        self._release_due = True
        for number in event.partitions & self.partitions.keys():
            self._releasing.setdefault(number, event.until)
            self.partitions[number].committable &= event.commits
        for record, question in list(self.questions.items()):
            if record.partition in event.partitions and question.phase is Phase.WAITING:
                self.admission.drop(record, question.lane)
                self._forget(record, question)

    def _draining(self, event: facts.Draining, now: float) -> None:
        if not self._stopping:
            self._stopping = True
            assigned = frozenset(self.partitions)
            self._commands.append(facts.Pause(assigned))
            self._revoking(facts.Revoking(assigned, event.until), now)

    # --- what is due --------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for record in self._deadlines.expired(now):
            question = self.questions[record]
            if question.phase is Phase.WAITING:
                self.admission.drop(record, question.lane)
                self._conclude(record, question, self._expiry(record, "waiting"))
            elif question.phase is Phase.RUNNING:
                self._cancel(record, question, now)
            else:
                self._abandon(record, question, now)
        for record in self._republish.expired(now):
            question = self.questions[record]
            if self._out_of_time_to_release(record, now):
                self._forget(record, question)
            elif question.conclusion is not None:
                question.refused = False
                self._commands.append(question.conclusion)

    def _start(self, now: float) -> None:
        while (record := self.admission.take(self._ceiling)) is not None:
            question = self.questions[record]
            question.phase = Phase.RUNNING
            question.attempt += 1
            if question.expires_at is None:
                question.expires_at = now + question.budget
                self._deadlines.arm(record, question.expires_at)
            self.intake.shrank(record.partition)
            self._commands.append(facts.Start(record, question.attempt, question.expires_at))

    def _pause_and_resume(self) -> None:
        pause, resume = self.intake.changes()
        pause, resume = pause - self._releasing.keys(), resume - self._releasing.keys()
        if pause:
            self._commands.append(facts.Pause(pause))
        if resume:
            self._commands.append(facts.Resume(resume))

    def _ceiling(self, number: int) -> int | None:
        return self.partitions[number].ceiling

    def _commit(self, now: float) -> None:
        if not self.partitions or not self._cadence.due(now):
            return
        repeats = self._cadence.repeats(now)
        self._committing = [
            (number, partition, head)
            for number, partition in self.partitions.items()
            if number not in self._releasing
            and ((head := partition.head()) != partition.committed or repeats)
        ]
        self._cadence.sent(now, in_flight=bool(self._committing))
        if self._committing:
            heads = {number: head for number, _, head in self._committing}
            self._commands.append(facts.Commit(heads))
        self._name_held_back(now)

    def _name_held_back(self, now: float) -> None:
        for number, partition in self.partitions.items():
            if held := partition.held_back(now, self.policy.held_back):
                record = RecordId(number, partition.epoch, held.offset)
                outstanding = len(partition.ledger)
                self._commands.append(facts.HeldBack(record, now - held.since, outstanding))

    def _release(self, now: float) -> None:
        if self._release_due and not self._finish_running(now):
            self._release_due = False
            released = frozenset(self._releasing)
            for record, question in list(self.questions.items()):
                if record.partition in released:
                    # Its acknowledgement did not come in time.
                    self._forget(record, question)
            heads = {
                number: partition.last_head()
                for number in released
                if (partition := self.partitions[number]).open and partition.committable
            }
            self._commands.append(facts.Release(released, heads))
            for number in released:
                del self._releasing[number], self.partitions[number]
                self.intake.forget(number)
        if self._stopping and not self.partitions:
            self._commands.append(facts.Stop(self._stopped_by))

    def _finish_running(self, now: float) -> bool:
        """Whether partitions on their way out still have work; what is out of time is cancelled."""
        busy = False
        for record, question in list(self.questions.items()):
            if record.partition not in self._releasing:
                continue
            if not self._out_of_time_to_release(record, now):
                busy = True
            elif question.phase is Phase.PUBLISHING:
                if question.refused:
                    self._forget(record, question)
                elif not self._out_of_time_to_release(record, now - self.policy.flight):
                    # It may be in its topic, and our last commit ought to know.
                    busy = True
            elif self._out_of_time_to_release(record, now - self.policy.cancel_grace):
                self._abandon(record, question, now)
            else:
                busy = True
                if question.phase is Phase.RUNNING:
                    self._cancel(record, question, now)
        return busy

    # --- one record ---------------------------------------------------------------------------

    def _ended(self, record: RecordId) -> Question | None:
        """The program has ended, one way or another: its slot is free."""
        question = self.questions.get(record)
        if question is None or question.phase not in (Phase.RUNNING, Phase.CANCELLING):
            return None
        self.admission.free_slot()
        self._deadlines.disarm(record)
        self.intake.grew(record.partition)
        return question

    def _conclude(self, record: RecordId, question: Question, conclusion: Conclusion) -> None:
        self.partitions[record.partition].completions.sent(record.offset)
        question.phase = Phase.PUBLISHING
        question.conclusion = conclusion
        self._deadlines.disarm(record)
        self._commands.append(conclusion)

    def _cancel(self, record: RecordId, question: Question, now: float) -> None:
        question.phase = Phase.CANCELLING
        self._deadlines.arm(record, now + self.policy.cancel_grace)
        self._commands.append(facts.Cancel(record))

    def _forget(self, record: RecordId, question: Question) -> None:
        """Drop it unanswered: its offset stays outstanding, so the next owner starts it again."""
        del self.questions[record]
        self._deadlines.disarm(record)
        self._republish.disarm(record)
        self.intake.shrank(record.partition)
        if question.attempt:
            self.admission.open(question.lane)
        if question.attempt or question.conclusion is not None:
            # Without a run, too, the end of its token stream may be in its topic.
            self.partitions[record.partition].cut_off(record.offset)

    def _abandon(self, record: RecordId, question: Question, now: float) -> None:
        """Go on although it runs: its slot goes to others, and whatever it says is stale."""
        self._commands.append(facts.Cancel(record))
        self._ended(record)
        if self._out_of_time_to_release(record, now):
            self._forget(record, question)
        else:
            self._conclude(record, question, self._expiry(record, "running"))

    def _expiry(self, record: RecordId, stage: str) -> facts.GiveUp:
        return facts.GiveUp(record, "expired", expired(stage), self.policy.dead_letter_expired)

    def _out_of_time_to_release(self, record: RecordId, now: float) -> bool:
        return self._releasing.get(record.partition, now + 1) <= now

    def _release_at(self, now: float) -> float | None:
        """When partitions on their way out are looked at next."""
        moments = (
            moment
            for until in self._releasing.values()
            for moment in (until, until + self.policy.flight, until + self.policy.cancel_grace)
            if moment > now
        )
        return min(moments, default=None)
