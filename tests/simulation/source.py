"""Fetch, pause, resume, and what a member finds out about its partitions before."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from penstock.core import facts
from penstock.core.facts import RecordId
from penstock.kafka.token_tail import Said, TokenTail
from tests.simulation.log import Question
from tests.simulation.recovery import Search, token_tail

if TYPE_CHECKING:
    from tests.simulation.member import Member

BEHIND = 2**63


class Source:
    """Positions, and one batch on its way at most."""

    def __init__(self, member: "Member", batch: int, window_ms: int) -> None:
        self.fetching = False
        self._positions: dict[int, int] = {}
        """Of the partitions that have arrived."""
        self._epochs: dict[int, int] = {}
        self._member = member
        self._world = member.world
        self._batch = batch
        self._window_ms = window_ms
        self._paused: set[int] = set()
        self._tails: dict[int, TokenTail] = {}
        self._known: frozenset[int] = frozenset()
        """What was ours before the last rebalance."""
        self._arriving: set[object] = set()
        self._epoch = 0
        """The highest so far."""

    # --- partitions come and go ---------------------------------------------------------------

    def told(self) -> frozenset[int]:
        """The partitions that the engine knows of."""
        return frozenset(self._positions)

    def arrive(self, partitions: Iterable[int]) -> None:
        """They are ours; when we know what of them is done, the engine is told. Those that stay
        do not wait for the others.
        """
        numbers = frozenset(partitions)
        self._arrive(numbers & self._known, known=True)
        self._arrive(numbers - self._known, known=False)

    def _arrive(self, partitions: frozenset[int], *, known: bool) -> None:
        world, weather, member = self._world, self._world.weather, self._member
        if not partitions:
            return
        mine = object()
        self._arriving.add(mine)
        searches = [
            Search(world.log, p, self._window_ms, weather.tail, writer=member.name, known=known)
            for p in sorted(partitions)
        ]
        slowest = world.one_of((1, weather.RECOVERY))
        steps = sorted(world.chance(0, slowest) for _ in range(3))

        def commits() -> None:
            for search in searches:
                search.read_commit(member.clock.now)

        def completions() -> None:
            for search in searches:
                search.read_completions(world.now)

        def arrived() -> None:
            self._arriving.remove(mine)
            found = {search.partition: search.arrival(world.now) for search in searches}
            self._tails |= {p: tail for p, (_, tail) in found.items()}
            self._arrived({p: recovered for p, (recovered, _) in found.items()})

        self._take_steps(mine, list(zip(steps, (commits, completions, arrived), strict=True)), 0)
        world.moment("arriving", member)

    def _take_steps(
        self, mine: object, steps: list[tuple[int, Callable[[], None]]], at: int
    ) -> None:
        """One after the other; what fails is tried again."""
        [(then, step), *others] = steps

        def take() -> None:
            if mine not in self._arriving:
                return
            if self._member.wire.cut:
                self._member.wire.when_healed(take)
                return
            step()
            if others:
                self._take_steps(mine, others, then)

        self._member.later(then - at, take)

    def _arrived(self, recovered: dict[int, facts.Recovered]) -> None:
        self._epoch += 1
        for partition, found in recovered.items():
            self._positions[partition] = found.done.committed
            self._epochs[partition] = self._epoch
            self._paused.add(partition)
            if any(run.runner != self._member.name for run in found.runs):
                self._world.moment("held", self._member)
            elif found.runs:
                self._world.moment("came back", self._member)
        self._member.tell(facts.Assigned(dict.fromkeys(recovered, self._epoch), recovered))

    def stop_arriving(self) -> bool:
        """Whether some were. What has arrived until now is all that was ours."""
        arriving = bool(self._arriving)
        self._arriving.clear()
        self._known = self.told()
        return arriving

    def leave(self, partitions: frozenset[int]) -> None:
        for partition in partitions & self._positions.keys():
            del self._positions[partition], self._tails[partition], self._epochs[partition]
        self._paused -= partitions

    def said_before(self, question: Question) -> Said | None:
        tail = self._tails[question.partition]
        return tail.before(question.offset, question.question_id, question.arrives_at)

    def said_until(self, question: Question, since: float) -> Said | None:
        """As who looks at the earliest moment that is late enough."""
        log, moment = self._world.log, self._member.clock.moment(since)
        topic = log.tokens[question.partition % len(log.tokens)]
        read = topic[: bisect_right(topic, moment, key=lambda said: said.landed_at)]
        tail = token_tail(read, self._world.weather.tail, BEHIND)
        return tail.before(question.offset, question.question_id, question.arrives_at)

    # --- records ------------------------------------------------------------------------------

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions

    def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions

    def fetch(self) -> None:
        if not self.fetching and self._available():
            self.fetching = True
            self._member.later(self._world.chance(0, 8), self._fetched)

    def _available(self) -> list[Question]:
        """The next few of every partition that is not paused."""
        found: list[Question] = []
        for partition, position in self._positions.items():
            if partition not in self._paused:
                found += self._world.log.readable(partition, position, self._world.now, self._batch)
        return found

    def _fetched(self) -> None:
        batch = [] if self._member.wire.cut else self._available()
        self.fetching = bool(batch)
        for question in batch:
            record = RecordId(question.partition, self._epochs[question.partition], question.offset)
            again = self._world.happens(self._world.weather.redelivered)
            self._positions[question.partition] = question.offset + (not again)
            self._member.take(question, record)
