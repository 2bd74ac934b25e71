"""What goes wrong, and when: people, the retention, and processes that die at the worst moment."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tests.simulation.draw import BUDGET, Draw
from tests.simulation.group import MOST
from tests.simulation.guarantees import Identity
from tests.simulation.log import Question
from tests.simulation.member import Member

if TYPE_CHECKING:
    from tests.simulation.world import World

Fate = Callable[[Member], None]

MOMENTS = (
    *("arriving", "committing", "committed", "commit failed"),
    *("said", "landed", "refused", "acknowledged"),
    *("handed over", "held", "came back", "took over", "suspended"),
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
        calm: tuple[Fate, ...] = (self._restart, self._rebalance, self._another_joins)
        self._fates: tuple[Fate, ...] = (
            *(*calm, *calm),
            *(world.group.crash, self._freeze, self._freeze, self._cut, self._in_a_row),
            *(self._aim, self._aim, self._aim, self._aim),
            self._retain,
            self._to_some_partition(self._recreate),
            self._to_some_partition(self._reset),
            self._to_some_partition(self._forget),
        )
        self._blows: tuple[Fate, ...] = (
            *(world.group.crash, world.group.crash, self._rebalance, self._rebalance),
            *(self._freeze, self._cut, self._restart),
        )
        if not world.weather.disturbed:
            self._fates = self._blows = (*calm, self._in_a_row, self._aim, self._aim)

    def plan(self) -> None:
        world = self._world
        for _ in range(world.chance(2, 12)):
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
                    blow = self._world.one_of(self._blows)
                    self._world.after(0, lambda: blow(member))

    def _strike(self) -> None:
        if self._world.group.processes:
            fate = self._world.one_of(self._fates)
            fate(self._world.one_of(self._world.group.processes))

    # --- processes ----------------------------------------------------------------------------

    def _aim(self, _: Member) -> None:
        self._aims[self._world.one_of(MOMENTS)] += self._world.chance(1, 3)

    def _restart(self, member: Member) -> None:
        world, weather = self._world, self._world.weather
        others = len(world.group.processes) > 1
        if not weather.disturbed:
            # Who is alone hands nothing over: its work has to be done in its time.
            time, alone = weather.FOREVER, not others
        else:
            time = world.chance(0, world.one_of((0, 400, weather.FOREVER)))
            # What it knows of the others may be old.
            alone = others if world.happens(0.2) else not others
        world.say(member, "is asked to stop", *(("alone",) if alone else ()))
        world.drain(member, time, alone=alone)

    def _rebalance(self, _: Member) -> None:
        self._world.group.rebalance()

    def _in_a_row(self, _: Member) -> None:
        """Each before all have arrived, and opened, what the one before has given them."""
        world, at = self._world, 0
        for _again in range(world.chance(2, 4)):
            world.after(at, world.group.rebalance)
            at += world.chance(20, 300)

    def _another_joins(self, _: Member) -> None:
        if len(self._world.group.processes) < MOST:
            self._world.group.another()

    def _freeze(self, member: Member) -> None:
        """Nothing of it happens for a while."""
        world, weather = self._world, self._world.weather
        if member.frozen or not member.alive:
            return
        world.say(member, "is frozen")
        world.tell("stalled", member.name)
        member.frozen = True
        longest = (weather.SESSION // 2, 2 * weather.SESSION, 4 * weather.SESSION)
        world.after(self._how_long(member, longest), lambda: self._thaw(member))

    def _thaw(self, member: Member) -> None:
        if member.alive:
            self._world.say(member, "goes on")
            self._world.tell("stalled", member.name)
            member.thaw()

    def _cut(self, member: Member) -> None:
        world, weather = self._world, self._world.weather
        if member.wire.cut:
            return
        world.say(member, "is cut off")
        world.tell("stalled", member.name)
        member.wire.cut = True
        longest = (weather.SESSION // 2, 3 * weather.SESSION)
        world.after(self._how_long(member, longest), lambda: self._heal(member))

    def _heal(self, member: Member) -> None:
        self._world.say(member, "is not cut off any more")
        self._world.tell("stalled", member.name)
        member.wire.heal()

    def _how_long(self, member: Member, longest: Sequence[int]) -> float:
        """Often until what it has handed over has no more time, or almost none."""
        world = self._world
        untils = [question.until for question in member.engine.questions.values()]
        ends = sorted(member.clock.moment(until) - world.now for until in untils if until)
        if ends and world.happens(0.5):
            return max(0, world.one_of(ends) + world.chance(-20, 10))
        return world.chance(20, world.one_of(longest))

    # --- topics and offsets -------------------------------------------------------------------

    def _to_some_partition(self, what: Callable[[int], None]) -> Fate:
        """When nobody has any."""

        def strike(_: Member) -> None:
            world = self._world
            partition = world.one_of(world.log.partitions)

            def try_it() -> None:
                if world.group.at_rest(partition):
                    what(partition)
                else:
                    world.after(2 * BUDGET, try_again)

            def try_again() -> None:
                if world.calm_is_far:
                    world.group.rebalance(try_it)

            world.group.rebalance(try_it)

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
    return {
        (q.partition, q.offset): Identity(q.question_id, q.arrives_at, q.program) for q in questions
    }
