"""One process of the service: the real engine; a loop, a source, a model and a sink of chance."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.core import facts
from penstock.core.engine import Engine, Policy
from penstock.core.facts import Command, Event, RecordId
from tests.simulation.log import Question
from tests.simulation.model import Model, Stream
from tests.simulation.sink import Sink
from tests.simulation.source import Source

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(slots=True)
class Job:
    """`position` of its completion, which its sender may not know."""

    question: Question
    stream: Stream
    position: int | None = None


class Member:
    def __init__(self, world: "World", name: str, policy: Policy, batch: int) -> None:
        self.world = world
        self.name = name
        self.engine = Engine(policy)
        self.source = Source(self, batch, policy.limits.window_ms)
        self.model = Model(self)
        self.sink = Sink(self)
        self.jobs: dict[RecordId, Job] = {}
        self.alive = True
        self.left = False
        self.generation = 0
        self._inbox: list[Event | tuple[Question, RecordId]] = []
        self._turning = False
        self._timer = 0
        self._commits: deque[facts.Commit | facts.Release] = deque()
        """One at a time."""
        self._stop: facts.Stop | None = None

    # --- the loop -----------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        self._put(event)

    def take(self, question: Question, record: RecordId) -> None:
        self._put((question, record))

    def _put(self, item: Event | tuple[Question, RecordId]) -> None:
        self._inbox.append(item)
        if not self._turning:
            self._turning = True
            self.later(self.world.chance(0, self.world.weather.LAG), self._turn)

    def _turn(self) -> None:
        """As the real loop does it: handle what is there, poll once, carry out."""
        now, world = self.world.now, self.world
        self._turning = False
        self._timer += 1
        if self._stop is not None:
            return
        inbox, self._inbox = self._inbox, []
        for item in inbox:
            if isinstance(item, tuple):
                self._take(*item)
            else:
                self._handle(item)
        step = self.engine.poll(now)
        for command in step.commands:
            world.say(self, command)
            self._carry_out(command)
        if any(isinstance(item, tuple) for item in inbox):
            self.source.fetching = False
        self.source.fetch()
        world.tell("turned", self.name, step.wake_at, told=bool(inbox), commands=len(step.commands))
        if step.wake_at is not None:
            timer = self._timer
            # A spinning engine is told apart by its guarantee, not by a world that stands still.
            late = world.chance(0, world.weather.LAG)
            self.later(max(step.wake_at - now, 1) + late, lambda: self._ring(timer))

    def _ring(self, timer: int) -> None:
        if timer == self._timer:
            self._turn()

    def _handle(self, event: Event) -> None:
        self.world.say(self, event)
        if isinstance(event, facts.Published):
            self.jobs.pop(event.record, None)
            self.world.moment("acknowledged", self)
        self.engine.handle(event, self.world.now)

    def _take(self, question: Question, record: RecordId) -> None:
        now = self.world.now
        known = self.engine.owns(record)
        event = facts.Fetched(
            record,
            question.key,
            question.budget,
            question.expires_at,
            question.failure,
            timestamp=question.arrives_at,
            question_id=question.question_id if question.explicit else None,
            asked_at=min(question.arrives_at, int(now)),
        )
        self.world.say(self, event)
        self.engine.handle(event, now)
        if not known and self.engine.owns(record):
            stream = Stream(self, record, question, self.source.said_before(question))
            self.jobs[record] = Job(question, stream)
            self.world.tell("fetched", self.name, record, question.expires_at)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, facts.Start):
            self.model.start(command)
        elif isinstance(command, facts.Cancel):
            self.model.cancel(command.record)
        elif isinstance(command, facts.PublishCompletion | facts.GiveUp):
            self.sink.publish(command.record, self.jobs[command.record], None)
        elif isinstance(command, facts.PublishDuplicate):
            repeats = command.first.offset
            self.sink.publish(command.record, self.jobs[command.record], repeats)
            self.world.moment("repeated", self)
        elif isinstance(command, facts.Pause):
            self.source.pause(command.partitions)
        elif isinstance(command, facts.Resume):
            self.source.resume(command.partitions)
        elif isinstance(command, facts.Commit):
            self._look_at(command)
            self.world.tell("committing", self.name, command.heads)
            self._queue_commit(command)
        elif isinstance(command, facts.Release):
            self._release(command)
        elif isinstance(command, facts.Stop):
            self._stop = command
            self._leave_when_committed()

    def _look_at(self, command: facts.Commit) -> None:
        for number, head in command.heads.items():
            partition = self.engine.partitions[number]
            if partition.ceiling is not None:
                self.world.moment("nearly full", self)
            if head.offset < partition.ledger.committable():
                self.world.moment("did not fit", self)
            if partition.ledger.claimed:
                self.world.moment("claimed", self)

    def later(self, delay: float, then: Callable[[], Any]) -> None:
        """Unless the process is dead by then."""
        self.world.after(delay, then, self)

    # --- partitions, commits, and leaving -----------------------------------------------------

    def assigned(self, partitions: list[int], generation: int) -> None:
        self.generation = generation
        self.source.arrive(partitions)

    def revoke(self, until: float) -> None:
        if self.source.arriving:
            self.world.moment("revoked while arriving", self)
        if self.source.stop_arriving():
            # Nobody was told of these partitions, and their last commits stand.
            self.world.group.joined(self)
        else:
            self.tell(facts.Revoking(frozenset(self.source.positions), until))

    def _queue_commit(self, command: facts.Commit | facts.Release) -> None:
        self._commits.append(command)
        if len(self._commits) == 1:
            self._send_commit()

    def _send_commit(self) -> None:
        world = self.world
        command, generation = self._commits[0], self.generation
        lost = world.calm_is_far and world.happens(world.weather.commit_fails)
        latency = world.chance(
            1, world.weather.COMMIT if world.happens(world.weather.slow_broker) else 15
        )
        # Half of those that get no answer were applied all the same.
        if not lost or world.happens(0.5):
            world.after(latency, lambda: self._commit_lands(command, generation, heard=not lost))
        if lost:
            self.later(world.weather.COMMIT + 1, lambda: self._committed(done=False))
        world.moment("committing", self)

    def _commit_lands(
        self, command: facts.Commit | facts.Release, generation: int, *, heard: bool
    ) -> None:
        world = self.world
        if not self.alive and world.happens(0.3):
            # What nobody waits for may wander about for long.
            late = world.chance(1, 3 * world.weather.SESSION)
            world.after(late, lambda: self._commit_lands(command, generation, heard=False))
            return
        done = world.group.commit(self, generation, command.heads)
        if not done:
            world.moment("generation over", self)
        self.world.moment("committed", self)
        if heard:
            self.later(1, lambda: self._committed(done=done))

    def _committed(self, *, done: bool) -> None:
        command = self._commits.popleft()
        if not done:
            self.world.moment("commit failed", self)
        if isinstance(command, facts.Commit):
            self.tell(facts.Committed() if done else facts.CommitFailed())
        else:
            self.source.leave(command.partitions)
            self.world.group.joined(self)
        if self._commits:
            self._send_commit()
        self._leave_when_committed()

    def _release(self, command: facts.Release) -> None:
        self.world.tell("committing", self.name, command.heads)
        if command.heads.keys() < command.partitions:
            self.world.moment("revoked before it was open", self)
        for record in [one for one in self.jobs if one.partition in command.partitions]:
            del self.jobs[record]
            assert record not in self.model, f"{record} is released while it runs"
        for partition in sorted(command.partitions):
            self.world.tell("let_go", self.name, partition)
        self._queue_commit(command)

    def _leave_when_committed(self) -> None:
        if self._stop is not None and not self._commits and not self.left:
            self.left = True
            self.world.group.stopped(self)
