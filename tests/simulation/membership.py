"""What does a member say to its group, and what does it do when it hears of a rebalance?"""

from enum import Enum, auto
from typing import TYPE_CHECKING

from penstock.core import facts

if TYPE_CHECKING:
    from tests.simulation.member import Member


class Verdict(Enum):
    """Of the group, about who sends a heartbeat."""

    FINE = auto()
    REBALANCING = auto()
    UNKNOWN = auto()


class State(Enum):
    JOINING = auto()
    MEMBER = auto()
    LETTING_GO = auto()
    LEFT = auto()


class Membership:
    def __init__(self, member: "Member") -> None:
        self.generation = -1
        self.state = State.LEFT
        self._member = member
        self._world = member.world
        self._round: object | None = None
        """What belongs to an earlier attempt to join is of no interest any more."""

    # --- join, sync, and leave ------------------------------------------------------------------

    def join(self) -> None:
        member, group = self._member, self._world.group
        self.state = State.JOINING
        self._round = mine = object()

        def joined(generation: int) -> None:
            # It waits for the others, and their time to let go.
            member.wire.answer(lambda: self._joined(mine, generation), lambda: self._again(mine))

        def sent(done: bool | None) -> None:
            if not done:
                self._again(mine)

        member.wire.call(lambda: group.joins(member, joined), sent)

    def _again(self, mine: object) -> None:
        if mine is self._round:
            self.join()

    def _joined(self, mine: object, generation: int) -> None:
        if mine is not self._round:
            return
        member, sent_at = self._member, self._member.clock.now
        self.generation = generation

        def synced(given: list[int] | None) -> None:
            if mine is not self._round:
                return
            if given is None:
                self.join()
                return
            self.state = State.MEMBER
            member.tell(facts.Heard(sent_at))
            member.source.arrive(given)

        member.wire.call(lambda: self._world.group.syncs(member, generation), synced)

    def leave(self) -> None:
        self.state, self._round = State.LEFT, None
        self._member.source.stop_arriving()
        # Where it cannot be said, the group finds out.
        self._member.wire.call(lambda: self._world.group.leaves(self._member), lambda _: None)

    # --- heartbeats -----------------------------------------------------------------------------

    def beat(self) -> None:
        """Again and again."""
        member, group = self._member, self._world.group
        if self.state in (State.MEMBER, State.LETTING_GO):
            sent_at, generation = member.clock.now, self.generation
            member.wire.call(
                lambda: group.heartbeat(member, generation),
                lambda verdict: self._beaten(sent_at, generation, verdict),
            )
        member.later(self._world.weather.heartbeat, self.beat)

    def _beaten(self, sent_at: float, generation: int, verdict: Verdict | None) -> None:
        if verdict is None:
            return
        if verdict is not Verdict.UNKNOWN:
            self._member.tell(facts.Heard(sent_at, rebalancing=verdict is Verdict.REBALANCING))
        if generation == self.generation and self.state is State.MEMBER:
            if verdict is Verdict.REBALANCING:
                self._let_go(commits=True)
            elif verdict is Verdict.UNKNOWN:
                self._let_go(commits=False)

    # --- letting go -----------------------------------------------------------------------------

    def _let_go(self, *, commits: bool) -> None:
        member, world = self._member, self._world
        self.state = State.LETTING_GO
        if member.source.stop_arriving():
            world.moment("revoked while arriving", member)
        if not commits:
            world.moment("evicted", member)
        told = member.source.told()
        if not told:
            # Of what has not arrived nobody was told, and its last commit stands.
            self.join()
            return
        until = member.clock.now + world.group.time_to_finish()
        revoking = facts.Revoking(told, until, commits)
        # Something else may have to end before.
        slow = world.weather.disturbed and world.happens(0.1)
        member.later(
            world.chance(0, world.weather.rebalance if slow else 0), lambda: member.tell(revoking)
        )

    def released(self) -> None:
        """What was to be committed for the last time is."""
        if self.state is State.LETTING_GO:
            self.join()
