"""Routes events to those who decide, and collects what they decide; holds no rule of its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

from penstock.core import facts
from penstock.core.arrival import Arrival
from penstock.core.board import Board
from penstock.core.commits import Commits
from penstock.core.departures import Departures
from penstock.core.facts import Command, RecordId
from penstock.core.following import Following
from penstock.core.policy import Policy
from penstock.core.release import Release
from penstock.core.work import Work


class Step(NamedTuple):
    commands: list[Command]
    wake_at: float | None


class Engine:
    """`writer`: the random name of this process."""

    def __init__(self, policy: Policy, writer: str = "") -> None:
        self.policy, self.writer = policy, writer
        self.board = board = Board(policy, writer)
        self.questions = board.questions
        self.partitions = board.partitions
        self.departures = departures = Departures(policy)
        self.work = work = Work(board, departures)
        self.admission, self.intake, self.lease = work.admission, work.intake, work.lease
        self.commits = Commits(board, departures)
        self.following = Following(board, departures, work)
        self.release = Release(board, departures, work)
        self.arrival = Arrival(board, departures, work, self.release)
        self._routes: dict[type, Callable[[Any, float], None]] = {
            facts.Assigned: self._assigned,
            facts.Fetched: self._fetched,
            facts.Finished: lambda event, now: work.finished(event.record, now),
            facts.Failed: self._failed,
            facts.Cancelled: lambda event, now: work.cancelled(event.record, now),
            facts.Published: self._published,
            facts.PublishFailed: lambda event, now: work.publish_failed(event.record, now),
            facts.Committed: self._committed,
            facts.CommitFailed: lambda _, now: self.commits.failed(now),
            facts.Followed: self._followed,
            facts.Heard: self._heard,
            facts.Revoking: self.release.revoke,
            facts.Released: self.release.ended,
            facts.Draining: self._draining,
        }

    def handle(self, event: facts.Event, now: float) -> None:
        self._routes[type(event)](event, now)

    def poll(self, now: float) -> Step:
        """What is to be done now, and when to ask again if nothing happens before."""
        work = self.work
        work.expire(now)
        self.commits.commit(now)
        work.start(now)
        work.pause_and_resume()
        self.following.follow()
        self.release.depart(now)
        times = (work.next_at(), self.commits.next_at(), self.departures.next_at(now))
        wake_at = min((at for at in times if at is not None), default=None)
        return Step(self.board.said(), wake_at)

    def owns(self, record: RecordId) -> bool:
        """Whether the record is not done, and we have it or are to have it."""
        return record in self.questions

    def speaks_until(self, record: RecordId) -> float | None:
        """See `Work.speaks_until`."""
        return self.work.speaks_until(record)

    def _assigned(self, event: facts.Assigned, now: float) -> None:
        self.arrival.assigned(event, now)
        self.commits.cadence.hurry()

    def _fetched(self, event: facts.Fetched, now: float) -> None:
        if self.arrival.fetched(event, now):
            self.commits.cadence.resolved(now)

    def _failed(self, event: facts.Failed, now: float) -> None:
        if self.work.failed(event.record, event.failure, now):
            until = now + self.policy.drain
            self.release.drain(until, now, alone=False, stopped_by=event.failure)

    def _published(self, event: facts.Published, now: float) -> None:
        if self.work.published(event.record, event.position, now):
            self.commits.cadence.resolved(now)

    def _committed(self, _: facts.Committed, __: float) -> None:
        if self.arrival.own(self.commits.acknowledged()):
            self.commits.cadence.hurry()

    def _followed(self, event: facts.Followed, now: float) -> None:
        if self.following.completed(event, now):
            self.commits.cadence.resolved(now)

    def _heard(self, event: facts.Heard, _: float) -> None:
        self.lease.renewed(event.sent_at, rebalancing=event.rebalancing)

    def _draining(self, event: facts.Draining, now: float) -> None:
        self.release.drain(event.until, now, alone=event.alone)
