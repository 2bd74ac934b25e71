"""Fetch, pause, resume, and what a member finds out about its partitions before."""

from typing import TYPE_CHECKING

from penstock.core import facts
from penstock.core.facts import RecordId
from penstock.kafka.token_tail import Said, TokenTail
from tests.simulation.log import Question
from tests.simulation.recovery import Search

if TYPE_CHECKING:
    from tests.simulation.member import Member


class Source:
    """Positions, and one batch on its way at most."""

    def __init__(self, member: "Member", batch: int, window_ms: int) -> None:
        self.positions: dict[int, int] = {}
        """Of the partitions that have arrived."""
        self.fetching = False
        self._member = member
        self._world = member.world
        self._batch = batch
        self._window_ms = window_ms
        self._epoch = 0
        self._paused: set[int] = set()
        self._tails: dict[int, TokenTail] = {}
        self._arriving: object | None = None

    # --- partitions come and go ---------------------------------------------------------------

    def arrive(self, partitions: list[int]) -> None:
        """They are ours; when we know what of them is done, the engine is told."""
        world, weather = self._world, self._world.weather
        self._arriving = arriving = object()
        searches = [Search(world.log, p, self._window_ms, weather.tail) for p in partitions]
        slowest = world.one_of((1, weather.RECOVERY))
        steps = sorted(world.chance(0, slowest) for _ in range(3))

        def commits() -> None:
            for search in searches:
                search.read_commit()

        def completions() -> None:
            for search in searches:
                search.read_completions(world.now)

        def arrived() -> None:
            found = {search.partition: search.arrival(world.now) for search in searches}
            self._arrived({p: recovered for p, (recovered, _) in found.items()})
            self._tails |= {p: tail for p, (_, tail) in found.items()}

        for at, step in zip(steps, (commits, completions, arrived), strict=True):
            self._member.later(at, lambda step=step: arriving is self._arriving and step())  # type: ignore[misc]
        world.moment("arriving", self._member)

    def _arrived(self, recovered: dict[int, facts.Recovered]) -> None:
        self._arriving = None
        self._epoch += 1
        for partition, found in recovered.items():
            self.positions[partition] = found.done.committed
            self._paused.add(partition)
        self._member.tell(facts.Assigned(dict.fromkeys(recovered, self._epoch), recovered))

    @property
    def arriving(self) -> bool:
        return self._arriving is not None

    def stop_arriving(self) -> bool:
        """Whether the engine knows nothing of what we have."""
        self._arriving = None
        return not self.positions

    def leave(self, partitions: frozenset[int]) -> None:
        for partition in partitions & self.positions.keys():
            del self.positions[partition], self._tails[partition]
        self._paused -= partitions

    def said_before(self, question: Question) -> Said | None:
        tail = self._tails[question.partition]
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
        for partition, position in self.positions.items():
            if partition not in self._paused:
                found += self._world.log.readable(partition, position, self._world.now, self._batch)
        return found

    def _fetched(self) -> None:
        batch = self._available()
        self.fetching = bool(batch)
        for question in batch:
            record = RecordId(question.partition, self._epoch, question.offset)
            again = self._world.happens(self._world.weather.redelivered)
            self.positions[question.partition] = question.offset + (not again)
            self._member.take(question, record)
