"""What is said of questions, on its way: one request of a question at a time, only while it is ours
to say; refused, landed, landed and never heard of, given up.
"""

import math
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from penstock.core import facts
from penstock.core.facts import RecordId

if TYPE_CHECKING:
    from tests.simulation.member import Job, Member

SLOW_TOKENS = 0.05
"""Of the token events."""


class State(Enum):
    IDLE = auto()
    QUEUED = auto()
    """The client has it, and will send it."""
    SENT = auto()
    DOUBTFUL = auto()
    """It was given up, and may be in its topic."""


class Saying:
    """One record. `lands` gives its position."""

    def __init__(self, lands: Callable[[], int], *, completes: bool) -> None:
        self.completes = completes
        self.position: int | None = None
        self.tries = 0
        self._lands = lands

    def land(self) -> bool:
        """False: it was there already, and the broker knows it again."""
        if self.position is not None:
            return False
        self.position = self._lands()
        return True


class Channel:
    """Of one question."""

    def __init__(self, member: "Member", record: RecordId) -> None:
        self.state = State.IDLE
        self.closed = False
        self._member = member
        self._world = member.world
        self._record = record
        self._sayings: deque[Saying] = deque()
        self._attempt: object | None = None

    @property
    def completes(self) -> bool:
        """Whether that is what it says next."""
        return bool(self._sayings) and self._sayings[0].completes

    def put(self, saying: Saying) -> None:
        self._sayings.append(saying)
        self.go()

    def go(self) -> None:
        """On, if there is something to say and it may be said."""
        if self.closed or self.state not in (State.IDLE, State.QUEUED) or not self._sayings:
            return
        member = self._member
        until = member.engine.speaks_until(self._record)
        now = member.clock.now
        if self.state is State.QUEUED:
            self._transmit()
        elif until is not None and now + self._world.policy.flight <= until:
            self.state = State.QUEUED
            member.later(self._world.chance(0, 2), self._transmit)
        else:
            self._wait()

    def _wait(self) -> None:
        self._world.moment("suspended", self._member)
        self._member.sink.suspended[self._record] = self

    def _transmit(self) -> None:
        member, world = self._member, self._world
        if self.closed or self.state is not State.QUEUED:
            return
        if member.wire.cut:
            member.wire.when_healed(self._transmit)
            return
        if not self.may_be_sent(self._sayings[0]):
            self._wait()
            return
        self.state = State.SENT
        self._attempt = attempt = object()
        saying, weather = self._sayings[0], world.weather
        saying.tries += 1
        slow = world.happens(weather.slow_broker if saying.completes else SLOW_TOKENS)
        world.in_flight[self._record.partition] += 1
        latency = world.chance(1, weather.PUBLISH if slow else 8)
        refused = saying.completes and member.sink.refuses(self._record)
        world.after(latency, lambda: self._arrives(saying, attempt, refused=refused))

    def may_be_sent(self, _: Saying) -> bool:
        """What the client has must still be ours to say when it leaves."""
        until = self._member.engine.speaks_until(self._record)
        return until is not None and self._member.clock.now < until

    def _arrives(self, saying: Saying, attempt: object, *, refused: bool) -> None:
        member, world = self._member, self._world
        world.in_flight[self._record.partition] -= 1
        if not member.alive and world.happens(0.5):
            return
        if member.wire.swallows():
            member.wire.when_healed(lambda: self._again(attempt))
            return
        position: int | None = None
        if not refused and saying.land():
            position = saying.position
        member.wire.answer(
            lambda: self._answered(saying, attempt, position, refused=refused),
            lambda: self._again(attempt),
        )

    def _again(self, attempt: object) -> None:
        """The client does so for ever."""
        if attempt is self._attempt and not self.closed:
            self.state = State.QUEUED
            self._transmit()

    def _answered(
        self, saying: Saying, attempt: object, position: int | None, *, refused: bool
    ) -> None:
        if attempt is not self._attempt or self.closed:
            return
        self._next()
        if saying.completes:
            # Refused when it was sent again, it may have landed before.
            self._member.jobs[self._record].doubtful = refused and saying.tries > 1
            self._member.sink.answered(self._record, position, refused=refused)
        else:
            self.go()

    def _next(self) -> None:
        self._sayings.popleft()
        self.state, self._attempt = State.IDLE, None

    def give_up(self, settled: float) -> None:
        """The client is no more, and nobody knows what of it has landed; `settled`: then it has,
        or never will.
        """
        if self.closed or self.state not in (State.QUEUED, State.SENT):
            return
        member, saying = self._member, self._sayings[0]
        if saying.completes:
            self._next()
            member.jobs[self._record].doubtful = True
            member.later(1, lambda: member.tell(facts.PublishFailed(self._record)))
            return
        self.state, self._attempt = State.DOUBTFUL, None

        def look() -> None:
            if saying.position is not None:
                self._next()
            self.state = State.IDLE
            self.go()

        member.later(settled + self._world.chance(1, 20), look)


class Sink:
    def __init__(self, member: "Member") -> None:
        self.suspended: dict[RecordId, Channel] = {}
        """What may not be said now."""
        self._member = member
        self._world = member.world
        self._refusals: dict[RecordId, int] = {}
        self._killed_at = -math.inf

    def publish(self, record: RecordId, job: "Job", repeats: int | None) -> None:
        world = self._world
        if not job.doubtful:
            self._send(record, job, repeats)
            return

        def look() -> None:
            """Who asks the topic finds it there."""
            if job.channel.closed:
                return
            job.doubtful = False
            if job.completion is not None and job.completion.position is not None:
                world.moment("found", self._member)
                self._member.tell(facts.Published(record, job.completion.position))
            else:
                self._send(record, job, repeats)

        self._member.later(self.settled + world.chance(1, world.weather.PUBLISH), look)

    def _send(self, record: RecordId, job: "Job", repeats: int | None) -> None:
        world, member = self._world, self._member

        def lands() -> int:
            position = world.log.complete(job.question, world.now, repeats)
            world.say(member, "has completed", record, "at", position)
            world.tell("completed", member.name, record, repeats)
            world.moment("landed", member)
            return position

        if repeats is None:
            job.stream.end()
        job.completion = Saying(lands, completes=True)
        job.channel.put(job.completion)

    def refuses(self, record: RecordId) -> bool:
        world, weather = self._world, self._world.weather
        refused = self._may_refuse(record) and world.happens(weather.refused)
        self._refusals[record] = self._refusals.get(record, 0) + refused
        return refused

    def _may_refuse(self, record: RecordId) -> bool:
        refusals = self._refusals.get(record, 0)
        return self._world.calm_is_far and refusals < self._world.weather.REFUSALS

    def answered(self, record: RecordId, position: int | None, *, refused: bool) -> None:
        world, member = self._world, self._member
        if refused:
            member.tell(facts.PublishFailed(record))
            world.moment("refused", member)
            return
        told: facts.Event = facts.Published(record, position)
        late = 0
        if world.happens(world.weather.answer_lost):
            late = world.chance(1, world.weather.RETRIED)
            told = world.one_of((told, facts.Published(record, None)))
            if self._may_refuse(record):
                self._refusals[record] = self._refusals.get(record, 0) + 1
                told = world.one_of((told, facts.PublishFailed(record)))
        if told == facts.Published(record, None):
            world.moment("position unknown", member)
        if isinstance(told, facts.PublishFailed) and record in member.jobs:
            member.jobs[record].doubtful = True
        if late:
            member.later(late, lambda: member.tell(told))
        else:
            member.tell(told)

    # --- what may not be said -------------------------------------------------------------------

    def look(self) -> None:
        """At what waits; something has happened."""
        suspended, self.suspended = self.suspended, {}
        for channel in suspended.values():
            channel.go()

    def drop(self, job: "Job") -> None:
        """Nothing that the client has of it may be sent any more: the client is killed."""
        unheard = job.channel.state in (State.QUEUED, State.SENT)
        job.channel.closed = True
        if unheard:
            self._world.moment("killed", self._member)
            self._killed_at = self._member.clock.now
            for other in self._member.jobs.values():
                other.channel.give_up(self.settled)

    @property
    def settled(self) -> float:
        """Milliseconds after which nothing is on its way any more of what was given up."""
        return max(0.0, self._killed_at + self._world.policy.flight - self._member.clock.now)
