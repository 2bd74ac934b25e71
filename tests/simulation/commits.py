"""Commits of one member, one at a time: applied or not, heard of or not."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from penstock.core import facts
from penstock.kafka import metadata
from tests.simulation.log import LastCommit

if TYPE_CHECKING:
    from tests.simulation.member import Member

Answered = Callable[..., None]
"""With `done`."""

TRIES = 2
"""Of the last one of a partition."""


class Commits:
    def __init__(self, member: "Member") -> None:
        self._member = member
        self._world = member.world
        self._queue: deque[facts.Commit | facts.Release] = deque()
        self._tries = 0
        self._waiting: object | None = None

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put(self, command: facts.Commit | facts.Release) -> None:
        self._queue.append(command)
        if len(self._queue) == 1:
            self._begin()

    def _begin(self) -> None:
        command = self._queue[0]
        self._tries = TRIES if isinstance(command, facts.Release) else 1
        if not command.heads:
            self._ended(done=True)
        elif command.heads.keys() - self._member.source.told():
            # Others have them.
            self._ended(done=False)
        else:
            self._try()

    def _try(self) -> None:
        member, world, weather = self._member, self._world, self._world.weather
        now = member.clock.now
        said = {
            partition: LastCommit(head.offset, metadata.write(head, member.name, now))
            for partition, head in self._queue[0].heads.items()
        }
        self._tries -= 1
        self._waiting = waiting = object()

        def heard(*, done: bool) -> None:
            if self._waiting is waiting:
                self._waiting = None
                # A group takes commits while it rebalances: only heartbeats say whether it does.
                self._tried(done=done)

        lost = world.calm_is_far and world.happens(weather.commit_fails)
        latency = world.chance(1, weather.COMMIT if world.happens(weather.slow_broker) else 15)
        if lost and world.happens(0.3):
            # Refused, as by a broker that is not the coordinator any more.
            member.later(world.chance(1, latency), lambda: heard(done=False))
        elif not member.wire.cut and not (lost and world.happens(0.5)):
            # Half of those that get no answer are applied all the same.
            answered = _nobody if lost else heard
            generation = member.membership.generation
            world.after(latency, lambda: self._arrives(said, generation, answered))
        member.later(world.policy.flight, lambda: heard(done=False))
        world.moment("committing", member)

    def _arrives(self, said: Mapping[int, LastCommit], generation: int, answered: Answered) -> None:
        member, world = self._member, self._world
        if not member.alive and world.happens(0.3):
            # What nobody waits for may wander about for long.
            late = world.chance(1, 3 * world.weather.SESSION)
            world.after(late, lambda: world.group.commit(member, generation, said))
            return
        if member.wire.swallows():
            return
        done = world.group.commit(member, generation, said)
        if not done:
            world.moment("generation over", member)
        world.moment("committed", member)
        member.wire.answer(lambda: answered(done=done), lambda: None)

    def _tried(self, *, done: bool) -> None:
        if not done:
            self._world.moment("commit failed", self._member)
        if done or not self._tries:
            self._ended(done=done)
        else:
            self._try()

    def _ended(self, *, done: bool) -> None:
        command = self._queue.popleft()
        if isinstance(command, facts.Commit):
            self._member.tell(facts.Committed() if done else facts.CommitFailed())
        else:
            self._member.released(command, committed=done)
        if self._queue:
            self._begin()


def _nobody(*, done: bool) -> None:
    """Hears of it."""
