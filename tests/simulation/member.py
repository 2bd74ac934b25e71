"""One process of the service: the real engine; a loop, a source, a model and a sink of chance."""

from collections import deque
from typing import TYPE_CHECKING, Any

from penstock.core import facts
from penstock.core.engine import Engine, Policy
from penstock.core.facts import Command, Event, RecordId
from penstock.core.failure import Failure, Kind
from penstock.core.offset_map import DoneBeyond
from tests.simulation.log import BUDGET, Question

if TYPE_CHECKING:
    from tests.simulation.world import World

FAILURES = (
    Failure(Kind.RECORD, "invalid_request", "the context window is exceeded"),
    Failure(Kind.ANSWER, "unparsable", "the answer cannot be read"),
    Failure(Kind.UPSTREAM, "server_error", "the model answered 500"),
)
BAD_KEY = Failure(Kind.OPERATOR, "bad_key", "the key is refused")


class Member:
    def __init__(self, world: "World", name: str, policy: Policy, batch: int) -> None:
        self.world = world
        self.name = name
        self.engine = Engine(policy)
        self.alive = True
        self.left = False
        self._batch = batch
        self._inbox: list[Event] = []
        self._turning = False
        self._timer = 0
        # The source: positions, and one batch on its way at most.
        self.positions: dict[int, int] = {}
        self._epoch = 0
        self._paused: set[int] = set()
        self._fetching = False
        # What runs; an entry is replaced when its end was moved by a cancellation.
        self._runs: dict[RecordId, object] = {}
        self._held: dict[RecordId, Question] = {}
        self._dropped: set[RecordId] = set()
        self._refused: dict[RecordId, int] = {}
        self._commits: deque[facts.Commit | facts.Release] = deque()
        """One at a time; a release comes with the lowest offset that is not done, if any."""
        self._stop: facts.Stop | None = None

    # --- the loop -----------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        self._inbox.append(event)
        if not self._turning:
            self._turning = True
            self._later(self.world.chance(0, self.world.weather.LAG), self._turn)

    def _turn(self) -> None:
        """As the real loop does it: handle what is there, poll once, carry out."""
        now, world = self.world.now, self.world
        self._turning = False
        self._timer += 1
        if self._stop is not None:
            return
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            world.say(self, event)
            if isinstance(event, facts.Fetched):
                self._take(event)
            else:
                if isinstance(event, facts.Published):
                    self._held.pop(event.record, None)
                self.engine.handle(event, now)
        step = self.engine.poll(now)
        for command in step.commands:
            world.say(self, command)
            self._carry_out(command)
        if any(isinstance(event, facts.Fetched) for event in inbox):
            self._fetching = False
        self.fetch()
        world.tell("turned", self.name, step.wake_at, told=bool(inbox), commands=len(step.commands))
        if step.wake_at is not None:
            timer = self._timer
            # A spinning engine is told apart by its guarantee, not by a world that stands still.
            self._later(max(step.wake_at - now, 1), lambda: self._ring(timer))

    def _ring(self, timer: int) -> None:
        if timer == self._timer:
            self._turn()

    def _take(self, event: facts.Fetched) -> None:
        record = event.record
        known = self.engine.owns(record)
        self.engine.handle(event, self.world.now)
        if not known and self.engine.owns(record):
            question = self.world.question(record)
            self._held[record] = question
            self.world.tell("fetched", self.name, record, question.expires_at)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, facts.Start):
            self._start(command)
        elif isinstance(command, facts.Cancel):
            self._cancel(command.record)
        elif isinstance(command, facts.PublishCompletion | facts.GiveUp):
            self._publish(command.record)
        elif isinstance(command, facts.Pause):
            self._paused |= command.partitions
        elif isinstance(command, facts.Resume):
            self._paused -= command.partitions
        elif isinstance(command, facts.Commit):
            self.world.tell("committing", self.name, command.offsets, command.done)
            self._queue_commit(command)
        elif isinstance(command, facts.Release):
            self._release(command)
        else:
            self._stop = command
            self._leave_when_committed()

    def _later(self, delay: float, then: Any) -> None:
        self.world.after(delay, lambda: then() if self.alive else None)

    # --- the source ---------------------------------------------------------------------------

    def assigned(
        self, positions: dict[int, int], epoch: int, recovered: dict[int, DoneBeyond]
    ) -> None:
        self.positions = positions
        self._epoch = epoch
        self._paused.clear()
        self.tell(facts.Assigned(dict.fromkeys(positions, epoch), recovered))
        self.fetch()

    def fetch(self) -> None:
        if not self._fetching and self._available():
            self._fetching = True
            self._later(self.world.chance(0, 8), self._fetched)

    def _available(self) -> list[Question]:
        """The next few of every partition that is not paused."""
        found: list[Question] = []
        for partition, position in self.positions.items():
            if partition not in self._paused:
                found += self.world.readable(partition, position, self._batch)
        return found

    def _fetched(self) -> None:
        batch = self._available()
        self._fetching = bool(batch)
        for question in batch:
            record = RecordId(question.partition, self._epoch, question.offset)
            again = self.world.happens(self.world.weather.redelivered)
            self.positions[question.partition] = question.offset + (not again)
            self.tell(
                facts.Fetched(record, question.key, BUDGET, question.expires_at, question.failure)
            )

    # --- the model ----------------------------------------------------------------------------

    def _start(self, command: facts.Start) -> None:
        world, weather, record = self.world, self.world.weather, command.record
        question = self._held[record]
        world.tell("started", self.name, record, question.key, command.expires_at)
        event: Event = facts.Finished(record)
        if world.calm_is_far and world.happens(weather.operator):
            event = facts.Failed(record, BAD_KEY)
        elif world.happens(weather.model_fails):
            event = facts.Failed(record, world.one_of(FAILURES))
        self._runs[record] = run = object()
        if not world.happens(weather.hangs):
            slow = world.happens(0.1)
            duration = world.chance(100, 2 * BUDGET) if slow else world.chance(1, 80)
            self._later(duration, lambda: self._end(record, run, event))

    def _cancel(self, record: RecordId) -> None:
        if (run := self._runs.get(record)) is not None:
            stubborn = self.world.happens(self.world.weather.stubborn)
            delay = self.world.chance(0, self.world.weather.ENDING if stubborn else 2)
            # The run may still end by itself before: an answer that beats its cancellation.
            self._later(delay, lambda: self._end(record, run, facts.Cancelled(record)))

    def _end(self, record: RecordId, run: object, event: Event) -> None:
        if self._runs.get(record) is run:
            del self._runs[record]
            self.world.tell("ended", self.name, record)
            self.tell(event)

    # --- the sink -----------------------------------------------------------------------------

    def _publish(self, record: RecordId) -> None:
        world = self.world
        refusals = self._refused.get(record, 0)
        refused = (
            world.calm_is_far
            and refusals < world.weather.REFUSALS
            and world.happens(world.weather.refused)
        )
        latency = world.chance(1, world.weather.PUBLISH if world.happens(0.1) else 10)
        # Not `_later`: what is on its way when its member dies may land all the same.
        world.after(latency, lambda: self._published(record, refused=refused))

    def _published(self, record: RecordId, *, refused: bool) -> None:
        if not self.alive:
            refused = refused or self.world.happens(0.5)
        if not refused:
            self.world.complete(self, record, late=not self.alive or record in self._dropped)
        if not self.alive:
            return
        if refused:
            self._refused[record] = self._refused.get(record, 0) + 1
        self.tell(facts.PublishFailed(record) if refused else facts.Published(record))

    # --- commits, and leaving -----------------------------------------------------------------

    def _queue_commit(self, command: facts.Commit | facts.Release) -> None:
        self._commits.append(command)
        if len(self._commits) == 1:
            self._send_commit()

    def _send_commit(self) -> None:
        self.world.after(self.world.chance(1, 30), self._commit_lands)

    def _commit_lands(self) -> None:
        world, command = self.world, self._commits[0]
        fails = not self.alive or (world.calm_is_far and world.happens(world.weather.commit_fails))
        # Half of those that fail were applied: only the answer was lost.
        if (not fails or world.happens(0.5)) and not world.commit(self, command):
            fails = True
        if not self.alive:
            return
        self._commits.popleft()
        if isinstance(command, facts.Commit):
            self.tell(facts.CommitFailed() if fails else facts.Committed())
        else:
            for partition in command.partitions:
                self.positions.pop(partition, None)
            world.released(self, command.partitions, committed=not fails)
        if self._commits:
            self._send_commit()
        self._leave_when_committed()

    def _release(self, command: facts.Release) -> None:
        self.world.tell("committing", self.name, command.offsets, command.done)
        for record in [one for one in self._held if one.partition in command.partitions]:
            del self._held[record]
            self._dropped.add(record)
            assert record not in self._runs, f"{record} is released while it runs"
        for partition in sorted(command.partitions):
            self.world.tell("let_go", self.name, partition)
        self._queue_commit(command)

    def _leave_when_committed(self) -> None:
        if self._stop is not None and not self._commits and not self.left:
            self.left = True
            self.world.stopped(self)
