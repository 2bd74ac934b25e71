"""Who has which partition? Everybody lets go of everything, then all is dealt out anew."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from penstock.core.engine import Policy
from penstock.core.facts import Head
from penstock.kafka import metadata
from tests.simulation.log import LastCommit
from tests.simulation.member import Member

if TYPE_CHECKING:
    from tests.simulation.world import World

MOST = 3


class Group:
    def __init__(self, world: "World", policy: Policy, batch: int) -> None:
        self.members: list[Member] = []
        self.closing = False
        """Nobody joins any more."""
        self._world = world
        self._policy = policy
        self._batch = batch
        self._born = 0
        self._generation = 0
        self._joining: list[Member] | None = None
        """During a rebalance: who has not yet let go of its partitions."""
        self._owners: dict[int, Member] = {}
        self._between: list[Callable[[], None]] = []

    # --- members come and go ------------------------------------------------------------------

    def join(self) -> None:
        if self.closing:
            return
        self._born += 1
        member = Member(self._world, f"m{self._born}", self._policy, self._batch)
        self._world.say(member, "joins")
        self.members.append(member)
        self.rebalance()

    def crash(self, member: Member) -> None:
        if not member.alive or member.left:
            return
        world = self._world
        world.say(member, "dies")
        member.alive = False
        for partition in member.source.positions:
            world.tell("let_go", member.name, partition)
        world.after(world.weather.SESSION, lambda: self._gone(member))
        world.after(world.chance(10, 400), self.join)

    def stopped(self, member: Member) -> None:
        self._world.say(member, "leaves")
        self._world.after(1, lambda: self._gone(member))
        self._world.after(self._world.chance(10, 400), self.join)

    def _gone(self, member: Member) -> None:
        if member not in self.members:
            return
        self.members.remove(member)
        if not self.members:
            self._joining = None
            return
        self.joined(member)
        if not self.closing:
            self.rebalance()

    # --- generations --------------------------------------------------------------------------

    @property
    def rebalancing(self) -> bool:
        return self._joining is not None or bool(self._between)

    def rebalance(self, then: Callable[[], None] | None = None) -> None:
        """`then` happens when nobody has anything."""
        if then is not None:
            self._between.append(then)
        if self._joining is not None:
            return
        world = self._world
        world.say(None, "the group rebalances")
        self._joining = list(self.members)
        for member in self._joining:
            member.later(world.chance(0, 30), lambda member=member: self._revoke(member))  # type: ignore[misc]
        self._deal_when_joined()

    def _revoke(self, member: Member) -> None:
        if self._joining is not None and member in self._joining:
            world = self._world
            longest = world.one_of((10, world.weather.RELEASE))
            member.revoke(world.now + world.chance(0, longest))

    def joined(self, member: Member) -> None:
        """It has let go of everything."""
        if self._joining is not None and member in self._joining:
            self._joining.remove(member)
            self._deal_when_joined()

    def _deal_when_joined(self) -> None:
        if self._joining:
            return
        self._joining = None
        if not self.members:
            return
        between, self._between = self._between, []
        for then in between:
            then()
        self._generation += 1
        dealt: dict[str, list[int]] = {member.name: [] for member in self.members}
        for turn, partition in enumerate(self._world.shuffled(self._world.log.partitions)):
            owner = self.members[turn % len(self.members)]
            self._owners[partition] = owner
            dealt[owner.name].append(partition)
        for member in self.members:
            member.assigned(dealt[member.name], self._generation)

    # --- commits ------------------------------------------------------------------------------

    def commit(self, member: Member, generation: int, heads: Mapping[int, Head]) -> bool:
        """False when it comes from a generation that is over: nothing is applied."""
        if generation != self._generation:
            return False
        for partition, head in heads.items():
            assert self._owners[partition] is member, "in this generation it had the partition"
            text = metadata.write(head, member.name)
            self._world.log.commits[partition] = LastCommit(head.offset, text)
            self._world.tell("committed", member.name, partition, head.offset, text)
        return True
