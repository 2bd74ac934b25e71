"""Routes events to the machines and collects what they decide; holds no rule of its own."""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from penstock.core import facts
from penstock.core.admission import Admission
from penstock.core.cadence import Cadence, CadencePolicy
from penstock.core.deadline import Deadlines
from penstock.core.duplicates import Asked, Duplicates
from penstock.core.facts import Command, Conclusion, Head, RecordId
from penstock.core.failure import CONSEQUENCES, Failure, Kind, expired
from penstock.core.handover import Run
from penstock.core.intake import Intake
from penstock.core.lease import Lease, LeasePolicy
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
    lease: LeasePolicy = field(default_factory=LeasePolicy)


class Phase(Enum):
    WAITING = auto()
    HELD = auto()
    """Another process runs it."""
    RUNNING = auto()
    CANCELLING = auto()
    """Told to stop, not yet ended: it still has its slot."""
    PUBLISHING = auto()


@dataclass(slots=True)
class Question:
    """What the engine knows of a record that is not done."""

    phase: Phase
    asked: facts.Fetched
    lane: tuple[int, Hashable]
    first: Asked | None
    """Whose id this one has again."""
    expires_at: float | None
    attempt: int = 0
    conclusion: Conclusion | None = None
    """What is to be published, kept for another try."""
    waits: bool = False
    """Whether the conclusion waits: for that other try, or until it may be published."""
    until: float | None = None
    """Until when it may go on; None: as long as its partition is ours."""
    lost: bool = False
    """Somebody else will answer it; when its run has ended, it is forgotten."""


class Departure(NamedTuple):
    """A partition on its way out.

    Args:
        until: its running work may finish.
        since: nothing of it starts any more.
        hand_over: the work may do so when the partition is another's.
    """

    until: float
    since: float
    hand_over: bool


class Step(NamedTuple):
    commands: list[Command]
    wake_at: float | None


_SELF_CANCELLED = Failure(Kind.ANSWER, "program_cancelled", "the program was cancelled from within")


class Engine:
    """`writer`: the random name of this process."""

    def __init__(self, policy: Policy, writer: str = "") -> None:
        self.policy = policy
        self.writer = writer
        self.questions: dict[RecordId, Question] = {}
        self.partitions: dict[int, Partition] = {}
        self.admission = Admission(policy.slots)
        self.intake = Intake(policy.high, policy.low)
        self.lease = Lease(policy.lease)
        self._deadlines = Deadlines()
        self._republish = Deadlines()
        self._until = Deadlines()
        self._cadence = Cadence(policy.cadence)
        self._committing: list[tuple[int, Partition, Head]] = []
        self._departures: dict[int, Departure] = {}
        self._departure_due = False
        self._handing_over: set[RecordId] = set()
        """What the last commit on its way names as our runs; until it is there, nothing is said."""
        self._released: set[int] = set()
        """Partitions whose last commit is on its way."""
        self._known: dict[int, Duplicates] = {}
        """Of the partitions of before: one may come back as it was."""
        self._followed: dict[int, int] = {}
        self._stopping = False
        self._departed = False
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
            facts.Followed: self._others_completed,
            facts.Heard: self._heard,
            facts.Revoking: self._revoking,
            facts.Released: self._last_commit_ended,
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
        self._follow()
        self._depart(now)
        commands, self._commands = self._commands, []
        times = (
            self._deadlines.next_at(),
            self._republish.next_at(),
            self._until.next_at(),
            self._cadence.next_at() if self.partitions else None,
            self._depart_at(now),
        )
        return Step(commands, min((at for at in times if at is not None), default=None))

    def owns(self, record: RecordId) -> bool:
        """Whether the record is not done, and we have it or are to have it."""
        return record in self.questions

    def speaks_until(self, record: RecordId) -> float | None:
        """Whatever is said of the record has to be in its topic then, in monotonic seconds; None:
        it is another's to say.
        """
        question = self.questions.get(record)
        if question is None or question.lost:
            return None
        if record in self._handing_over:
            return -math.inf
        return self.lease.until if question.until is None else question.until

    # --- events -------------------------------------------------------------------------------

    def _assigned(self, event: facts.Assigned, now: float) -> None:
        for number, epoch in event.epochs.items():
            recovered = event.recovered[number]
            known = self._known.pop(number, None)
            partition = Partition(epoch, recovered, self.policy.limits, self.writer, known)
            self.partitions[number] = partition
            self._keep(number, partition, recovered, now)
        self._cadence.hurry()
        if self._stopping:
            leaving = Departure(now, now, hand_over=True)
            self._departures.update(dict.fromkeys(event.epochs, leaving))
            self._departure_due = True

    def _keep(
        self, number: int, partition: Partition, recovered: facts.Recovered, now: float
    ) -> None:
        """Of what we still run of a partition that has come back: what nobody else runs."""
        listed = {run.offset for run in recovered.runs if run.runner == self.writer}
        for record, question in list(self.questions.items()):
            if record.partition != number:
                continue
            at, timestamp = record.offset, question.asked.timestamp
            done = partition.ledger.was_done(at) or recovered.claims.hold(at, timestamp)
            if not question.lost and not done and (recovered.ours or at in listed):
                partition.begun[at] = record
                if question.phase is Phase.PUBLISHING:
                    # Behind the end that was read, or it would be done.
                    partition.completions.sent(at)
            else:
                self._lose(record, question, now, cut_off=not done)
        for offset in listed - partition.begun.keys():
            # Lost, or done after the completions were read.
            partition.hold(Run(offset, self.writer, now))

    def _fetched(self, event: facts.Fetched, now: float) -> None:
        record = event.record
        partition = self.partitions.get(record.partition)
        if partition is None or partition.epoch != record.epoch:
            return
        if record.partition in self._departures:
            return
        first = partition.first(event)
        if partition.ledger.skip(record.offset, event.timestamp):
            partition.held.done(record.offset)
            partition.duplicates.done(record.offset)
            self._cadence.resolved(now)
        elif partition.ledger.track(record.offset, now) and record.offset not in partition.begun:
            self._begin(event, partition, first, now)

    def _begin(
        self, event: facts.Fetched, partition: Partition, first: Asked | None, now: float
    ) -> None:
        record = event.record
        self.intake.grew(record.partition)
        # A lane of its own is named by the offset; keys and None cannot collide with it.
        named = ("record", record.offset) if event.lane is None else event.lane
        lane = (record.partition, named)
        question = Question(Phase.WAITING, event, lane, first, event.expires_at)
        self.questions[record] = question
        if record.offset in partition.held:
            # Its deadline is a matter of whoever runs it.
            question.phase = Phase.HELD
            self.admission.shut(lane)
            return
        if (since := partition.taken_over.pop(record.offset, None)) is not None:
            self._commands.append(facts.TakeOver(record, since))
        if not self._ends_without_a_run(record, question, now):
            self.admission.add(record, lane)

    def _ends_without_a_run(self, record: RecordId, question: Question, now: float) -> bool:
        failure, expires_at = question.asked.failure, question.expires_at
        if failure is not None:
            self._give_up(record, question, failure)
        elif question.first is not None:
            self._conclude(record, question, facts.PublishDuplicate(record, question.first))
        elif expires_at is not None and expires_at <= now:
            self._conclude(record, question, self._expiry(record, "waiting"))
        else:
            if expires_at is not None:
                self._deadlines.arm(record, expires_at)
            return False
        return True

    def _finished(self, event: facts.Finished, now: float) -> None:
        if (question := self._ended(event.record)) is None:
            return
        if self._out_of_time(event.record, question, now):
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
        elif self._out_of_time(record, question, now):
            self._forget(record, question)
        else:
            self._give_up(record, question, failure)

    def _cancelled(self, event: facts.Cancelled, now: float) -> None:
        record = event.record
        if (question := self._ended(record)) is None:
            return
        if self._out_of_time(record, question, now):
            self._forget(record, question)
        elif question.phase is Phase.RUNNING:
            # Nobody asked for it: the program cancelled itself.
            self._give_up(record, question, _SELF_CANCELLED)
        else:
            self._conclude(record, question, self._expiry(record, "running"))

    def _published(self, event: facts.Published, now: float) -> None:
        record = event.record
        question = self.questions.pop(record, None)
        if question is None:
            return
        self._disarm(record)
        if (partition := self._partition_of(record)) is not None:
            if record.offset in partition.ledger:
                partition.resolve(record.offset, event.position, now)
            else:
                # It has come back to us, and its record has not been fetched again.
                partition.claim(record.offset, question.asked.timestamp, event.position)
            self._cadence.resolved(now)
        self._shrank(record)
        if question.attempt:
            self.admission.open(question.lane)

    def _publish_failed(self, event: facts.PublishFailed, now: float) -> None:
        if (question := self.questions.get(event.record)) is not None:
            question.waits = True
            self._republish.arm(event.record, now + self.policy.republish)

    def _commit_acknowledged(self, _: facts.Committed, __: float) -> None:
        self._cadence.acknowledged()
        opened = set()
        for number, partition, head in self._committing:
            partition.committed = head
            if not partition.open and self.partitions.get(number) is partition:
                partition.open = True
                opened.add(number)
                self._own(partition.begun.values())
        if opened := opened - self._departures.keys():
            self._commands.append(facts.Resume(frozenset(opened)))

    def _own(self, records: Iterable[RecordId]) -> None:
        """What was handed over and has come back need not hurry any more."""
        for record in records:
            self.questions[record].until = None
            self._until.disarm(record)
            # Whoever follows need not wait for it when we are gone.
            self._cadence.hurry()

    def _commit_failed(self, _: facts.CommitFailed, now: float) -> None:
        self._cadence.failed(now)

    def _others_completed(self, event: facts.Followed, now: float) -> None:
        number, partition = event.partition, self.partitions.get(event.partition)
        if partition is None or partition.epoch != event.epoch:
            return
        if number in self._departures:
            # Of what it holds we know no more; who comes next finds it behind the bookmark.
            return
        for answered in event.answered:
            self._completed_by_another(number, partition, answered, now)
        for run in reversed(partition.followed(event.position, event.as_of)):
            record = RecordId(number, partition.epoch, run.offset)
            if (question := self.questions.get(record)) is None:
                partition.taken_over[run.offset] = event.as_of
            elif question.phase is Phase.HELD:
                self._take_over(record, question, event.as_of, now)

    def _completed_by_another(
        self, number: int, partition: Partition, answered: facts.Answered, now: float
    ) -> None:
        record = partition.begun.get(
            answered.offset, RecordId(number, partition.epoch, answered.offset)
        )
        question = self.questions.get(record)
        if question is None:
            partition.held.done(answered.offset)
            partition.ledger.claim(answered.offset, answered.timestamp)
            return
        if question.asked.timestamp != answered.timestamp or question.phase is Phase.PUBLISHING:
            # Of a record by the same number that is gone, or our own.
            return
        partition.held.done(answered.offset)
        if question.phase is Phase.HELD:
            self.admission.open(question.lane)
        elif question.phase is Phase.WAITING:
            self.admission.drop(record, question.lane)
        else:
            self._commands.append(facts.Cancel(record))
            self._ended(record)
        self._commands.append(facts.Drop(record, cut_off=False))
        self._published(facts.Published(record), now)

    def _take_over(self, record: RecordId, question: Question, since: float, now: float) -> None:
        question.phase = Phase.WAITING
        self._commands.append(facts.TakeOver(record, since))
        if not self._ends_without_a_run(record, question, now):
            self.admission.add_first(record, question.lane)
        self.admission.open(question.lane)

    def _heard(self, event: facts.Heard, _: float) -> None:
        self.lease.renewed(event.sent_at, rebalancing=event.rebalancing)

    def _revoking(self, event: facts.Revoking, now: float) -> None:
        self._departure_due = True
        for number in event.partitions & self.partitions.keys():
            self._leave(number, event.until, now, hand_over=event.commits)
            if not event.commits:
                self.partitions[number].committable = False
                for record, question in list(self.questions.items()):
                    if record.partition == number:
                        self._lose(record, question, now)

    def _leave(self, number: int, until: float, now: float, *, hand_over: bool) -> None:
        """Nothing of the partition starts any more."""
        before = self._departures.get(number)
        until = until if before is None else min(until, before.until)
        self._departures[number] = Departure(until, now, hand_over)
        for record, question in list(self.questions.items()):
            if record.partition != number:
                continue
            if question.phase is Phase.WAITING:
                self.admission.drop(record, question.lane)
            elif question.phase is not Phase.HELD:
                continue
            self._forget(record, question)

    def _draining(self, event: facts.Draining, now: float) -> None:
        if not self._stopping:
            self._stopping = True
            self._departure_due = True
            self._commands.append(facts.Pause(frozenset(self.partitions)))
            for number, departure in self._departures.items():
                until = min(departure.until, event.until)
                self._departures[number] = departure._replace(until=until)
            for record, question in self.questions.items():
                if question.until is not None and question.until > event.until:
                    question.until = event.until
                    self._until.arm(record, event.until)
            for number in self.partitions:
                if number not in self._departures:
                    self._leave(number, event.until, now, hand_over=not event.alone)

    def _last_commit_ended(self, event: facts.Released, now: float) -> None:
        self._released -= event.partitions
        for record in [r for r in self._handing_over if r.partition in event.partitions]:
            self._handing_over.remove(record)
            question = self.questions[record]
            if not event.committed:
                self._lose(record, question, now)
            elif question.waits:
                self._republish.arm(record, now)

    # --- what is due --------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for record in self._until.expired(now):
            if (partition := self._partition_of(record)) is not None:
                partition.hold(Run(record.offset, self.writer, now))
            self._lose(record, self.questions[record], now)
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
            if self._out_of_time(record, question, now):
                self._forget(record, question)
            elif question.conclusion is not None and not self._must_wait(record):
                question.waits = False
                self._commands.append(question.conclusion)

    def _start(self, now: float) -> None:
        if now + self.policy.flight > self.lease.until:
            # Others may have our partitions, and start it too.
            return
        while (record := self.admission.take(self._ceiling)) is not None:
            question = self.questions[record]
            question.phase = Phase.RUNNING
            question.attempt += 1
            if question.expires_at is None:
                question.expires_at = now + question.asked.budget
                self._deadlines.arm(record, question.expires_at)
            self.partitions[record.partition].begun[record.offset] = record
            self.intake.shrank(record.partition)
            self._commands.append(facts.Start(record, question.attempt, question.expires_at))

    def _pause_and_resume(self) -> None:
        pause, resume = self.intake.changes()
        pause, resume = pause - self._departures.keys(), resume - self._departures.keys()
        if pause:
            self._commands.append(facts.Pause(pause))
        if resume:
            self._commands.append(facts.Resume(resume))

    def _ceiling(self, number: int) -> int | None:
        return self.partitions[number].ceiling

    def _follow(self) -> None:
        held = {
            number: partition
            for number, partition in self.partitions.items()
            if partition.held and number not in self._departures
        }
        epochs = {number: partition.epoch for number, partition in held.items()}
        if epochs != self._followed:
            self._followed = epochs
            positions = {n: (p.epoch, p.held.position) for n, p in held.items()}
            self._commands.append(facts.Follow(positions))

    def _commit(self, now: float) -> None:
        if not self.partitions or not self._cadence.due(now):
            return
        repeats = self._cadence.repeats(now)
        self._committing = [
            (number, partition, head)
            for number, partition in self.partitions.items()
            if number not in self._departures
            and ((head := self._head(partition, now)) != partition.committed or repeats)
        ]
        self._cadence.sent(now, in_flight=bool(self._committing))
        if self._committing:
            heads = {number: head for number, _, head in self._committing}
            self._commands.append(facts.Commit(heads))
        self._name_held_back(now)

    def _head(self, partition: Partition, now: float) -> Head:
        """Until our runs of before are ours again, whoever follows has to wait for them."""
        handed_over = (record for record in partition.begun.values() if not partition.open)
        return partition.head(now, self._runs(handed_over))

    def _runs(self, records: Iterable[RecordId]) -> list[Run]:
        untils = ((record.offset, self.questions[record].until) for record in records)
        return [Run(offset, self.writer, until) for offset, until in untils if until is not None]

    def _name_held_back(self, now: float) -> None:
        for number, partition in self.partitions.items():
            if held := partition.held_back(now, self.policy.held_back):
                record = RecordId(number, partition.epoch, held.offset)
                outstanding = len(partition.ledger)
                self._commands.append(facts.HeldBack(record, now - held.since, outstanding))

    def _depart(self, now: float) -> None:
        # One last commit after the other: what the group waits for may be in the one before.
        if self._departure_due and not self._released and not self._busy(now):
            self._departure_due = False
            self._release(frozenset(self._departures), now)
        if self._stopping and not self.partitions and not self._released:
            if not self._departed:
                self._departed = True
                self._commands.append(facts.Depart())
            if not self.questions:
                self._commands.append(facts.Stop(self._stopped_by))

    def _release(self, leaving: frozenset[int], now: float) -> None:
        heads = {}
        for number in leaving:
            partition = self.partitions[number]
            head = self._hand_over(number, partition, now)
            if partition.open and partition.committable:
                heads[number] = head
        self._known.update((number, self.partitions[number].duplicates) for number in leaving)
        self._commands.append(facts.Release(leaving, heads))
        self._released |= leaving
        for number in leaving:
            del self._departures[number], self.partitions[number]
            self.intake.forget(number)

    def _hand_over(self, number: int, partition: Partition, now: float) -> Head:
        """The last head; what it has no room for is lost, and so is all that must not go on."""
        departure = self._departures[number]
        ours = [(record, self.questions[record]) for record in partition.begun.values()]
        if departure.hand_over and partition.open:
            for record, question in ours:
                until = min(departure.until, self._ends_by(question, now))
                if until > now:
                    question.until = until
                    self._until.arm(record, until)
                    self._handing_over.add(record)
        # The oldest first.
        ours.sort(key=lambda one: one[1].expires_at or math.inf)
        head = partition.last_head(now, self._runs(record for record, _ in ours))
        named = {run.offset for run in head.runs}
        for record, question in ours:
            if record.offset not in named:
                self._lose(record, question, now)
        return head

    def _ends_by(self, question: Question, now: float) -> float:
        """With the time it takes to end a run, and to publish what came of it."""
        expires_at = max(now, question.expires_at or now)
        return expires_at + self.policy.cancel_grace + 3 * self.policy.flight

    def _busy(self, now: float) -> bool:
        """Whether partitions on their way out still have work; what is out of time is cancelled."""
        busy = False
        for record, question in list(self.questions.items()):
            if record.partition in self._departures and not question.lost:
                departure = self._departures[record.partition]
                if departure.hand_over:
                    busy |= (
                        self._on_its_way(question) and now < departure.since + self.policy.flight
                    )
                else:
                    busy |= self._finishes(record, question, departure, now)
        return busy

    def _on_its_way(self, question: Question) -> bool:
        return question.phase is Phase.PUBLISHING and not question.waits

    def _finishes(
        self, record: RecordId, question: Question, departure: Departure, now: float
    ) -> bool:
        if now < departure.until:
            return True
        if question.phase is Phase.PUBLISHING:
            # It may be in its topic, and our last commit ought to know.
            if not question.waits and now < departure.until + self.policy.flight:
                return True
            self._lose(record, question, now)
            return False
        if now >= departure.until + self.policy.cancel_grace:
            self._abandon(record, question, now)
            return False
        if question.phase is Phase.RUNNING:
            self._cancel(record, question, now)
        return True

    # --- one record ---------------------------------------------------------------------------

    def _partition_of(self, record: RecordId) -> Partition | None:
        """Of which the record is outstanding; None: it is another's by now."""
        partition = self.partitions.get(record.partition)
        if partition is None:
            return None
        ours = partition.epoch == record.epoch or partition.begun.get(record.offset) == record
        return partition if ours else None

    def _grew(self, record: RecordId) -> None:
        partition = self.partitions.get(record.partition)
        if partition is not None and partition.epoch == record.epoch:
            self.intake.grew(record.partition)

    def _shrank(self, record: RecordId) -> None:
        partition = self.partitions.get(record.partition)
        if partition is not None and partition.epoch == record.epoch:
            self.intake.shrank(record.partition)

    def _ended(self, record: RecordId) -> Question | None:
        """The program has ended, one way or another: its slot is free."""
        question = self.questions.get(record)
        if question is None or question.phase not in (Phase.RUNNING, Phase.CANCELLING):
            return None
        self.admission.free_slot()
        self._deadlines.disarm(record)
        self._grew(record)
        return question

    def _conclude(self, record: RecordId, question: Question, conclusion: Conclusion) -> None:
        if (partition := self._partition_of(record)) is not None:
            partition.begun[record.offset] = record
            partition.completions.sent(record.offset)
        question.phase = Phase.PUBLISHING
        question.conclusion = conclusion
        self._deadlines.disarm(record)
        if self._must_wait(record):
            question.waits = True
        else:
            self._commands.append(conclusion)

    def _must_wait(self, record: RecordId) -> bool:
        """While the last commit names it: what is on its way then, nobody may know of."""
        departure = self._departures.get(record.partition)
        leaves = departure is not None and departure.hand_over
        partition = self._partition_of(record)
        # What was not opened has no last commit: the entry of before stands.
        named = leaves and partition is not None and partition.open
        return record in self._handing_over or named

    def _give_up(self, record: RecordId, question: Question, failure: Failure) -> None:
        self._conclude(record, question, facts.GiveUp(record, "failed", failure, dead_letter=True))

    def _cancel(self, record: RecordId, question: Question, now: float) -> None:
        question.phase = Phase.CANCELLING
        self._deadlines.arm(record, now + self.policy.cancel_grace)
        self._commands.append(facts.Cancel(record))

    def _lose(
        self, record: RecordId, question: Question, now: float, *, cut_off: bool = True
    ) -> None:
        """Nothing more is said of it; somebody else answers."""
        if question.lost:
            return
        question.lost = True
        self._commands.append(facts.Drop(record, cut_off=cut_off and bool(question.attempt)))
        if question.phase is Phase.RUNNING:
            self._cancel(record, question, now)
        elif question.phase is not Phase.CANCELLING:
            self._forget(record, question)

    def _forget(self, record: RecordId, question: Question) -> None:
        """Drop it unanswered: its offset stays outstanding, so the next owner starts it again."""
        begun = question.attempt or question.conclusion is not None
        if not question.lost:
            self._commands.append(facts.Drop(record, cut_off=bool(question.attempt)))
        if begun and (partition := self._partition_of(record)) is not None:
            # Without a run, too, the end of its token stream may be in its topic.
            partition.cut_off(record.offset)
        self._shrank(record)
        del self.questions[record]
        self._disarm(record)
        if question.attempt or question.phase is Phase.HELD:
            self.admission.open(question.lane)

    def _disarm(self, record: RecordId) -> None:
        for due in (self._deadlines, self._republish, self._until):
            due.disarm(record)
        self._handing_over.discard(record)

    def _abandon(self, record: RecordId, question: Question, now: float) -> None:
        """Go on although it runs: its slot goes to others, and whatever it says is stale."""
        self._commands.append(facts.Cancel(record))
        self._ended(record)
        if self._out_of_time(record, question, now):
            self._forget(record, question)
        else:
            self._conclude(record, question, self._expiry(record, "running"))

    def _expiry(self, record: RecordId, stage: str) -> facts.GiveUp:
        return facts.GiveUp(record, "expired", expired(stage), self.policy.dead_letter_expired)

    def _out_of_time(self, record: RecordId, question: Question, now: float) -> bool:
        """Whether somebody else is to answer it."""
        departure = self._departures.get(record.partition)
        leaves = departure is not None and not departure.hand_over and departure.until <= now
        return question.lost or (leaves and self._partition_of(record) is not None)

    def _depart_at(self, now: float) -> float | None:
        """When partitions on their way out are looked at next."""
        moments = (
            moment
            for departure in self._departures.values()
            for moment in (
                departure.since + self.policy.flight,
                departure.until,
                departure.until + self.policy.flight,
                departure.until + self.policy.cancel_grace,
            )
            if moment > now
        )
        return min(moments, default=None)
