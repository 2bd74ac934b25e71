"""What goes wrong, and when: people, the retention, and processes that die at the worst moment."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.draw import Draw
from tests.simulation.group import MOST
from tests.simulation.guarantees import Identity
from tests.simulation.log import Question
from tests.simulation.member import Member

if TYPE_CHECKING:
    from tests.simulation.world import World

MOMENTS = (
    *("arriving", "committing", "committed", "commit failed"),
    *("said", "landed", "refused", "acknowledged"),
)
"""At which a member may die or have to let go: just then, and before what follows."""


class Faults:
    def __init__(self, world: "World", draw: Draw) -> None:
        self._world = world
        self._draw = draw
        self.seen: Counter[str] = Counter()
        self._aims: Counter[str] = Counter()
        """After so many more of these moments it happens."""
        self._reset_once: set[int] = set()
        self._fates: tuple[Callable[[Member], None], ...] = (
            world.group.crash,
            *(self._aim, self._aim, self._aim),
            *(self._restart, self._rebalance, self._rebalance, self._another_joins),
            self._retain,
            self._to_some_partition(self._recreate),
            self._to_some_partition(self._reset),
            self._to_some_partition(self._forget),
        )

    def plan(self) -> None:
        world = self._world
        for _ in range(world.chance(1, 8)):
            world.after(world.chance(0, world.weather.calm_at - 1), self._strike)

    def moment(self, what: str, member: Member) -> None:
        self.seen[what] += 1
        if what in self._aims:
            self._aims[what] -= 1
            if not self._aims[what]:
                del self._aims[what]
                if self._world.calm_is_far and member.alive:
                    self.seen[f"struck: {what}"] += 1
                    self._world.say(member, f"is struck ({what})")
                    self._world.after(
                        0,
                        self._world.one_of(
                            (lambda: self._world.group.crash(member), self._world.group.rebalance)
                        ),
                    )

    def _strike(self) -> None:
        if self._world.group.members:
            fate = self._world.one_of(self._fates)
            fate(self._world.one_of(self._world.group.members))

    # --- processes ----------------------------------------------------------------------------

    def _aim(self, _: Member) -> None:
        self._aims[self._world.one_of(MOMENTS)] += self._world.chance(1, 3)

    def _restart(self, member: Member) -> None:
        self._world.say(member, "is asked to stop")
        self._world.drain(member, self._world.chance(0, 400))

    def _rebalance(self, _: Member) -> None:
        self._world.group.rebalance()

    def _another_joins(self, _: Member) -> None:
        if len(self._world.group.members) < MOST:
            self._world.group.join()

    # --- topics and offsets -------------------------------------------------------------------

    def _to_some_partition(self, what: Callable[[int], None]) -> Callable[[Member], None]:
        """When nobody has any."""

        def strike(_: Member) -> None:
            partition = self._world.one_of(self._world.log.partitions)
            self._world.group.rebalance(lambda: what(partition))

        return strike

    def _recreate(self, partition: int) -> None:
        """Old completions stay, and tell of other questions under the same offsets."""
        world = self._world
        since = int(world.now) + 1
        questions = self._draw.questions({partition: 0}, since, world.chance(5, 30))[partition]
        self.seen["recreated"] += 1
        world.say(None, f"partition {partition} is another one, with {len(questions)} questions")
        world.log.create(partition, questions)
        world.know(questions)
        world.tell("recreated", partition, identities(questions))

    def _reset(self, partition: int) -> None:
        world, log = self._world, self._world.log
        start = log.starts[partition]
        if partition not in log.commits or log.commits[partition].offset <= start:
            return
        offset = world.chance(start, log.commits[partition].offset)
        self.seen["reset"] += 1
        world.say(None, f"partition {partition} is reset to {offset}")
        log.reset(partition, offset)
        self._reset_once.add(partition)
        world.tell("reset", partition, offset)

    def _retain(self, _: Member) -> None:
        world, log = self._world, self._world.log
        partition = world.one_of(log.partitions)
        start = log.starts[partition]
        kept = world.chance(start, log.end(partition, world.now))
        self.seen["retained"] += kept > start
        world.say(None, f"the retention takes partition {partition} from {start} up to {kept}")
        log.retain(partition, kept)
        world.tell("taken", partition, kept)

    def _forget(self, partition: int) -> None:
        world = self._world
        if partition in self._reset_once:
            # Only the commit knew which of the answers its operator does not want to count.
            return
        self.seen["forgotten"] += 1
        world.say(None, f"the commit of partition {partition} is gone")
        world.log.commits.pop(partition, None)
        world.tell("forgotten", partition)


def identities(questions: list[Question]) -> dict[tuple[int, int], Identity]:
    return {(q.partition, q.offset): Identity(q.question_id, q.arrives_at) for q in questions}
