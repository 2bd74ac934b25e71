"""Who has which partition? The coordinator: everybody lets go of everything and joins anew, then
all is dealt out. Who is not heard of for long, or lets go too slowly, is in the group no more.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from penstock.core.facts import RecordId
from penstock.core.policy import Policy
from penstock.kafka import metadata
from tests.simulation.log import LastCommit
from tests.simulation.member import Member
from tests.simulation.membership import Verdict

if TYPE_CHECKING:
    from tests.simulation.world import World

MOST = 3


class Group:
    def __init__(self, world: "World", policy: Policy, batch: int) -> None:
        self.processes: list[Member] = []
        """All that live, those too that have left and finish what they run."""
        self.closing = False
        """Nobody joins any more."""
        self._world = world
        self._policy = policy
        self._batch = batch
        self._born = 0
        self._generation = 0
        self._heard: dict[Member, float] = {}
        """Its members, and when something of them has arrived."""
        self._watched: set[Member] = set()
        self._joined: dict[Member, Callable[[int], None]] | None = None
        """During a rebalance: who waits for it to end."""
        self._expected = 0
        self._owners: dict[int, Member] = {}
        self._between: list[Callable[[], None]] = []

    # --- processes come and go ------------------------------------------------------------------

    def begin(self, members: int) -> None:
        """The first generation waits for all of them."""
        self._expected = members
        for _ in range(members):
            self.another()

    def another(self) -> None:
        if self.closing:
            return
        self._born += 1
        member = Member(self._world, f"m{self._born}", self._policy, self._batch)
        self._world.say(member, "begins")
        self.processes.append(member)
        member.begin()

    def crash(self, member: Member) -> None:
        if not member.alive:
            return
        world = self._world
        world.say(member, "dies")
        for record in member.jobs:
            world.tell("let_go", member.name, record)
        for partition in member.source.told():
            world.tell("released", member.name, partition)
        self._ends(member)

    def stopped(self, member: Member) -> None:
        self._world.say(member, "has stopped")
        self._ends(member)

    def _ends(self, member: Member) -> None:
        member.alive = False
        self.processes.remove(member)
        self._world.after(self._world.chance(10, 400), self.another)

    # --- what arrives of members ----------------------------------------------------------------

    def joins(self, member: Member, joined: Callable[[int], None]) -> bool:
        self._hear(member)
        self._prepare()
        assert self._joined is not None
        self._joined[member] = joined
        self._expected = max(0, self._expected - 1)
        self._deal_when_joined()
        return True

    def syncs(self, member: Member, generation: int) -> list[int] | None:
        """Its partitions, unless the next rebalance has begun."""
        if self.heartbeat(member, generation) is not Verdict.FINE:
            return None
        return [partition for partition, owner in self._owners.items() if owner is member]

    def heartbeat(self, member: Member, generation: int) -> Verdict:
        if member not in self._heard or generation != self._generation:
            return Verdict.UNKNOWN
        self._hear(member)
        return Verdict.FINE if self._joined is None else Verdict.REBALANCING

    def leaves(self, member: Member) -> bool:
        if member in self._heard:
            self._remove(member)
        return True

    def commit(self, member: Member, generation: int, commits: Mapping[int, LastCommit]) -> bool:
        """False when it comes from a generation that is over: nothing is applied."""
        if self.heartbeat(member, generation) is Verdict.UNKNOWN:
            return False
        for partition, said in commits.items():
            assert self._owners[partition] is member, "in this generation it had the partition"
            self._world.log.commits[partition] = said
            self._world.tell("committed", member.name, partition, *said)
        return True

    # --- who is in the group --------------------------------------------------------------------

    def _hear(self, member: Member) -> None:
        self._heard[member] = self._world.now
        if member not in self._watched:
            self._watched.add(member)
            self._watch(member)

    def _watch(self, member: Member) -> None:
        session = self._world.weather.SESSION
        silent_at = self._heard[member] + session

        def look() -> None:
            if member not in self._heard:
                self._watched.discard(member)
                return
            if self._joined is not None and member in self._joined:
                # Who waits for the others need not say so.
                self._heard[member] = self._world.now
            if self._heard[member] + session <= self._world.now:
                self._watched.discard(member)
                self._evict(member, "is not heard of")
            else:
                self._watch(member)

        self._world.after(silent_at - self._world.now, look)

    def _evict(self, member: Member, why: str) -> None:
        world = self._world
        world.say(member, why, "and is in the group no more")
        world.moment("out", member)
        for record in member.jobs:
            if self._owners.get(record.partition) is member and not self._waits(member, record):
                world.tell("let_go", member.name, record)
        self._remove(member)

    def _waits(self, member: Member, record: RecordId) -> bool:
        """Whether who comes next is told to wait for what the member goes on with."""
        question = member.engine.questions.get(record)
        try:
            last = metadata.read(*self._world.log.commits[record.partition], 0)
        except (KeyError, metadata.ForeignError):
            return False
        handed_over = question is not None and question.until is not None
        named = {(run.runner, run.offset) for run in last.runs}
        return handed_over and (member.name, record.offset) in named

    def _remove(self, member: Member) -> None:
        del self._heard[member]
        if self._joined is not None:
            self._joined.pop(member, None)
        self._prepare()
        self._deal_when_joined()

    # --- generations ----------------------------------------------------------------------------

    @property
    def rebalancing(self) -> bool:
        return self._joined is not None or bool(self._between)

    def rebalance(self, then: Callable[[], None] | None = None) -> None:
        """`then` happens when nobody has anything."""
        if then is not None:
            self._between.append(then)
        self._prepare()

    def time_to_finish(self) -> int:
        """Of running work, when its partition goes."""
        if self._between:
            # The operator wants to see it at rest.
            return 0
        world = self._world
        if not world.weather.disturbed:
            return world.weather.FOREVER
        return world.chance(0, world.one_of((10, 300, world.weather.FOREVER)))

    def _prepare(self) -> None:
        if self._joined is not None or not (self._heard or self._expected):
            return
        world = self._world
        world.say(None, "the group rebalances")
        self._joined = {}
        generation = self._generation
        world.after(world.weather.rebalance, lambda: self._wait_no_longer(generation))

    def _wait_no_longer(self, generation: int) -> None:
        if self._joined is None or generation != self._generation:
            return
        for member in [one for one in self._heard if one not in self._joined]:
            self._world.moment("too slow", member)
            self._evict(member, "lets go too slowly")

    def _deal_when_joined(self) -> None:
        if self._joined is None or self._expected or self._heard.keys() - self._joined.keys():
            return
        joined, self._joined = self._joined, None
        self._generation += 1
        if not joined:
            self._owners = {}
            return
        between, self._between = self._between, []
        for then in between:
            then()
        members = list(joined)
        for turn, partition in enumerate(self._world.shuffled(self._world.log.partitions)):
            self._owners[partition] = members[turn % len(members)]
        for member, answer in joined.items():
            self._heard[member] = self._world.now
            answer(self._generation)

    def at_rest(self, partition: int) -> bool:
        """Whether nobody has begun anything of it."""
        running = any(job for one in self.processes for job in one.jobs if job[0] == partition)
        return not running and not self._world.in_flight[partition]
