"""Routes events to those who decide, and collects what they decide; holds no rule of its own."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from penstock.core import facts
from penstock.core.arrival import Arrival
from penstock.core.board import Board
from penstock.core.commits import Commits
from penstock.core.deadline import earliest
from penstock.core.facts import Command, RecordId
from penstock.core.failing import Failing
from penstock.core.following import Following
from penstock.core.policy import Policy
from penstock.core.publishing import Publishing
from penstock.core.release import Release
from penstock.core.starting import Starting
from penstock.core.work import Work


class Step(NamedTuple):
    commands: list[Command]
    wake_at: float | None


class Engine:
    """`writer`: the random name of this process. `chance` gives numbers from 0 to 1."""

    def __init__(
        self, policy: Policy, writer: str = "", chance: Callable[[], float] = lambda: 1.0
    ) -> None:
        self.policy, self.writer = policy, writer
        self.board = board = Board(policy, writer)
        self.questions, self.partitions = board.questions, board.partitions
        self.admission, self.intake = board.admission, board.intake
        self.lease, self.models = board.lease, board.models
        self.publishing = publishing = Publishing(board)
        self.failing = failing = Failing(board, publishing, chance)
        self.work = work = Work(board, publishing, failing)
        self.starting = Starting(board)
        self.commits = Commits(board)
        self.following = Following(board, work)
        self.release = release = Release(board, work, publishing)
        self.arrival = Arrival(board, work, release)
        self._routes: dict[type, Callable[[Any, float], None]] = {
            facts.Given: lambda _, __: None,
            facts.Assigned: self._assigned,
            facts.Fetched: self._fetched,
            facts.Answers: lambda event, now: work.answers(event.record, now),
            facts.Finished: lambda event, now: work.finished(event.record, event.used, now),
            facts.Failed: lambda event, now: work.failed(
                event.record, event.failure, event.used, now
            ),
            facts.Cancelled: lambda event, now: work.cancelled(event.record, now),
            facts.Published: self._published,
            facts.PublishFailed: lambda event, now: publishing.refused(event.record, now),
            facts.Committed: self._committed,
            facts.CommitFailed: lambda _, now: self.commits.failed(now),
            facts.Followed: self._followed,
            facts.CancelRequested: work.cancel_requested,
            facts.GateOpened: lambda _, now: failing.open_the_gate(now),
            facts.Paced: lambda event, now: board.pace.change(event.per_second, now),
            facts.Halted: lambda event, _: board.halts.add(event.scope),
            facts.HaltLifted: lambda event, _: board.halts.lift(event.scope),
            facts.Heard: self._heard,
            facts.Revoking: release.revoke,
            facts.Released: release.ended,
            facts.Draining: self._draining,
        }

    def handle(self, event: facts.Event, now: float) -> None:
        self._routes[type(event)](event, now)

    def poll(self, now: float) -> Step:
        """What is to be done now, and when to ask again if nothing happens before."""
        board, failing = self.board, self.failing
        self.work.expire(now)
        if failing.stops_for is not None:
            until = now + self.policy.drain
            self.release.drain(until, now, alone=False, stopped_by=failing.stops_for)
        self.commits.commit(now)
        if not self._stands_still:
            self.starting.start(now)
        self._pause_and_resume(now)
        self.following.follow()
        self.release.depart(now)
        times = (
            self.work.next_at(),
            self.starting.next_at(now),
            self.commits.next_at(),
            board.departures.next_at(now),
        )
        return Step(board.said(), earliest(times))

    def owns(self, record: RecordId) -> bool:
        """Whether the record is not done, and we have it or are to have it."""
        return record in self.questions

    def backlog(self, readings: Mapping[int, facts.Reading]) -> dict[int, int]:
        """By partition, see `Ledger.backlog`; without those of another assignment than ours, of
        which nobody has told us yet.
        """
        return {
            number: partition.ledger.backlog(reading)
            for number, reading in readings.items()
            if (partition := self.partitions.get(number)) and partition.epoch == reading.epoch
        }

    def speaks_until(self, record: RecordId) -> float | None:
        """See `Board.speaks_until`."""
        return self.board.speaks_until(record)

    @property
    def _stands_still(self) -> bool:
        """Whether nothing may start, whatever it is."""
        return self.failing.gate.shut or self.board.halts.everything

    def _pause_and_resume(self, now: float) -> None:
        board = self.board
        for name, cause in board.models.changes():
            board.say(facts.ModelShut(name, cause) if cause else facts.ModelOpened(name))
        closed = self._stands_still or board.has_questions_enough(now)
        pause, resume = board.intake.changes(closed=closed, halted=board.halts.partitions)
        leaving = board.departures.leaving.keys()
        if pause and (pause := pause - leaving):
            board.say(facts.Pause(pause))
        if resume and (resume := resume - leaving):
            board.say(facts.Resume(resume))

    def _assigned(self, event: facts.Assigned, now: float) -> None:
        self.arrival.assigned(event, now)
        self.commits.cadence.hurry()

    def _fetched(self, event: facts.Fetched, now: float) -> None:
        if self.arrival.fetched(event, now):
            self.commits.cadence.resolved(now)

    def _published(self, event: facts.Published, now: float) -> None:
        if self.work.published(event.record, event.position, now):
            self.commits.cadence.resolved(now)

    def _committed(self, _: facts.Committed, __: float) -> None:
        if self.arrival.opened(self.commits.acknowledged()):
            self.commits.cadence.hurry()

    def _followed(self, event: facts.Followed, now: float) -> None:
        if self.following.completed(event, now):
            self.commits.cadence.resolved(now)

    def _heard(self, event: facts.Heard, _: float) -> None:
        self.lease.renewed(event.sent_at, rebalancing=event.rebalancing)

    def _draining(self, event: facts.Draining, now: float) -> None:
        self.release.drain(event.until, now, alone=event.alone)
