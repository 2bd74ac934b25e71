"""One process of the service: the real engine; a loop, a source, a model and a sink of chance."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.facts import Event, RecordId
from penstock.core.failure import RATE_LIMITED, Failure
from penstock.core.policy import Policy
from penstock.core.question import Phase
from tests.simulation.clock import Clock
from tests.simulation.commits import Commits
from tests.simulation.follower import Follower
from tests.simulation.log import Question
from tests.simulation.membership import Membership, State
from tests.simulation.model import Model, Stream
from tests.simulation.sink import Channel, Saying, Sink
from tests.simulation.source import Source
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(slots=True)
class Job:
    """`completion`: as it was sent. `doubtful`: its sender does not know whether it has landed."""

    question: Question
    stream: Stream
    channel: Channel
    completion: Saying | None = None
    doubtful: bool = False


class Member:
    def __init__(self, world: "World", name: str, policy: Policy, batch: int) -> None:
        self.world = world
        self.name = name
        self.engine = Engine(policy, name, world.random)
        self.clock = Clock(world, world.chance(0, 10**6), world.one_of(world.weather.rates))
        self.wire = Wire(self)
        self.membership = Membership(self)
        self.commits = Commits(self)
        self.source = Source(self, batch, policy.limits.window_ms)
        self.follower = Follower(self)
        self.model = Model(self)
        self.sink = Sink(self)
        self.jobs: dict[RecordId, Job] = {}
        """Until they are done or dropped, whoever has the partition."""
        self.alive = True
        self.frozen = False
        self.missed: list[Callable[[], object]] = []
        """What would have happened."""
        self._routes: dict[type, Callable[[Any], object]] = {
            facts.Start: self.model.start,
            facts.TakeOver: self._take_over,
            facts.Drop: self._drop,
            facts.Cancel: lambda command: self.model.cancel(command.record),
            facts.PublishCompletion: self._publish,
            facts.GiveUp: self._publish,
            facts.PublishDuplicate: self._publish_duplicate,
            facts.Pause: lambda command: self.source.pause(command.partitions),
            facts.Resume: lambda command: self.source.resume(command.partitions),
            facts.Commit: self._commit,
            facts.Follow: lambda command: self.follower.follow(command.partitions),
            facts.Release: self._release,
            **dict.fromkeys(
                (
                    facts.AlreadyDone,
                    facts.HeldBack,
                    facts.RetryAt,
                    facts.ModelShut,
                    facts.ModelOpened,
                ),
                lambda _: None,
            ),
            facts.GateShut: self._call_an_operator,
            facts.KeptBack: lambda command: world.tell("kept_back", name, command.record),
            facts.Depart: self._depart,
            facts.Stop: self._stopped,
        }
        self._inbox: list[Event | tuple[Question, RecordId]] = []
        self._turning = False
        self._wakes_at = self._rings_at = math.inf
        self._stop = False

    def begin(self) -> None:
        self.world.ask(self)
        self.membership.join()
        self.later(self.world.chance(1, self.world.weather.heartbeat), self.membership.beat)

    def thaw(self) -> None:
        """What has not happened does, at once and in any order."""
        self.frozen = False
        missed, self.missed = self.world.shuffled(self.missed), []
        for then in missed:
            self.later(0, then)

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
        now, world = self.clock.now, self.world
        self._turning = False
        if self._stop:
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
            self._routes[type(command)](command)
        self.sink.look()
        if any(isinstance(item, tuple) for item in inbox):
            self.source.fetching = False
        self.source.fetch()
        self._wake(step.wake_at)
        waits = None if step.wake_at is None else step.wake_at - now
        world.tell("turned", self.name, waits, told=bool(inbox), commands=len(step.commands))

    def _wake(self, wake_at: float | None) -> None:
        """A timer that is set already, and earlier, is used again."""
        if wake_at is None:
            self._wakes_at = math.inf
            return
        now, world = self.world.now, self.world
        # A spinning engine is told apart by its guarantee, not by a world that stands still.
        wakes = max(self.clock.moment(wake_at) - now, 1)
        self._wakes_at = now + wakes + world.chance(0, world.weather.LAG)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._wakes_at < self._rings_at:
            self._rings_at = rings_at = self._wakes_at
            self.later(rings_at - self.world.now, lambda: self._ring(rings_at))

    def _ring(self, rings_at: float) -> None:
        if rings_at != self._rings_at:
            return
        self._rings_at = math.inf
        if self.world.now < self._wakes_at:
            self._set_timer()
        else:
            self._turn()

    def _handle(self, event: Event) -> None:
        self.world.say(self, event)
        if isinstance(event, facts.Published):
            self.jobs.pop(event.record, None)
            self.world.moment("acknowledged", self)
        elif isinstance(event, facts.Draining):
            # Nothing is committed any more until the last time.
            for partition in self.source.told():
                self.world.tell("released", self.name, partition)
        elif isinstance(event, facts.CancelRequested):
            self.world.tell("unwanted", self.name, event.question_id, event.at)
        elif isinstance(event, facts.GateOpened):
            self.world.tell("gate", self.name, shut=False)
        elif isinstance(event, facts.Halted):
            self.world.tell("paused", self.name, event.scope)
        elif isinstance(event, facts.HaltLifted):
            self.world.tell("resumed", self.name, event.scope)
        elif isinstance(event, facts.Failed) and event.record in self.jobs:
            self._fails(event.record, event.failure)
        self.engine.handle(event, self.clock.now)

    def _fails(self, record: RecordId, failure: Failure) -> None:
        if failure.code == RATE_LIMITED:
            until = self.clock.moment(self.clock.now + (failure.retry_after or 0))
            self.world.tell("limited", self.name, record, until)

    def _call_an_operator(self, _: facts.GateShut) -> None:
        self.world.moment("gate shut", self)
        self.world.tell("gate", self.name, shut=True)
        minutes = self.world.chance(1, self.world.weather.OPERATOR)
        self.later(minutes, lambda: self.tell(facts.GateOpened()))

    def _take(self, question: Question, record: RecordId) -> None:
        now, reads = self.clock.now, self.clock.reads
        event = facts.Fetched(
            record,
            question.key,
            question.budget,
            None if question.expires_at is None else reads(question.expires_at),
            question.failure,
            timestamp=question.arrives_at,
            question_id=question.question_id,
            own_id=not question.explicit,
            asked_at=min(question.arrives_at, int(self.world.now)),
            program=question.program,
        )
        self.world.say(self, event)
        self.engine.handle(event, now)
        if record not in self.jobs and self.engine.owns(record):
            stream = Stream(self, record, question, self.source.said_before(question))
            self.jobs[record] = Job(question, stream, Channel(self, record))
            held = self.engine.questions[record].phase is Phase.HELD
            # Whoever runs it has to be in time.
            expires_at = None if held else question.expires_at
            self.world.tell("fetched", self.name, record, expires_at)

    def _commit(self, command: facts.Commit) -> None:
        self._look_at(command)
        self.world.tell("committing", self.name, command.heads)
        self.commits.put(command)

    def _publish(self, command: facts.PublishCompletion | facts.GiveUp) -> None:
        self.sink.publish(command.record, self.jobs[command.record], None)

    def _publish_duplicate(self, command: facts.PublishDuplicate) -> None:
        self.world.moment("repeated", self)
        self.sink.publish(command.record, self.jobs[command.record], command.first.offset)

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

    # --- records ------------------------------------------------------------------------------

    def _take_over(self, command: facts.TakeOver) -> None:
        record, job = command.record, self.jobs[command.record]
        job.stream.goes_on(self.source.said_until(job.question, command.since))
        self.world.tell("fetched", self.name, record, job.question.expires_at)
        self.world.moment("took over", self)

    def _drop(self, command: facts.Drop) -> None:
        if (job := self.jobs.pop(command.record, None)) is not None:
            self.sink.drop(job)
        self.world.tell("let_go", self.name, command.record)

    # --- partitions, and leaving --------------------------------------------------------------

    def _release(self, command: facts.Release) -> None:
        world = self.world
        world.tell("committing", self.name, command.heads)
        if command.heads.keys() < command.partitions:
            world.moment("revoked before it was open", self)
        for partition in sorted(command.partitions):
            world.tell("released", self.name, partition)
        for partition, head in command.heads.items():
            for run in head.runs:
                if run.runner == self.name:
                    self._hand_over(partition, run.offset, run.until)
        self.commits.put(command)

    def _hand_over(self, partition: int, offset: int, until: float) -> None:
        """Until then, whatever becomes of it here and however late we notice."""
        known = [one for one in self.jobs if (one.partition, one.offset) == (partition, offset)]
        if not known:
            # It is lost already, and nobody is to begin it anew before all of it has arrived.
            return
        [record] = known
        self.world.moment("handed over", self)

        def let_go() -> None:
            question = self.engine.questions.get(record)
            if question is not None and question.until == until:
                self.world.tell("let_go", self.name, record)

        self.world.after(self.clock.moment(until) - self.world.now, let_go)

    def released(self, command: facts.Release, *, committed: bool) -> None:
        """For the last time something was committed, or not."""
        if not committed:
            for record in self.jobs:
                if record.partition in command.heads:
                    self.world.tell("let_go", self.name, record)
        self.source.leave(command.partitions)
        self.tell(facts.Released(command.partitions, committed))
        self.later(self.world.weather.LAG + 1, self._go_on)

    def _go_on(self) -> None:
        """When what was dropped is not on its way any more."""
        if self.sink.settled:
            self.later(self.sink.settled, self._go_on)
        else:
            self.membership.released()

    def _depart(self, _: facts.Depart) -> None:
        self.source.stop_arriving()
        self._leave()

    def _leave(self) -> None:
        if self.sink.settled:
            self.later(self.sink.settled, self._leave)
        else:
            self.membership.leave()

    def _stopped(self, _: facts.Stop) -> None:
        self._stop = True
        self._end()

    def _end(self) -> None:
        if self.commits or self.membership.state is not State.LEFT:
            self.later(1, self._end)
        else:
            self.world.group.stopped(self)
