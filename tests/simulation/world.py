"""A seeded world around the real engine: a log, a group of members, faults, and a clock that jumps
from one thing that happens to the next.
"""

import heapq
import random
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from penstock.core.facts import Command, Commit, Draining, Event, RecordId, Release, Revoking
from tests.simulation.guarantees import GUARANTEES, Bounds, Guarantee
from tests.simulation.log import BUDGET, Question, draw_log, draw_policy, draw_weather
from tests.simulation.member import Member

T = TypeVar("T")
RECORD = re.compile(r"RecordId\(partition=(\d+), epoch=(\d+), offset=(\d+)\)")
FAILURE = re.compile(r"Failure\(.*?code='(\w+)'.*?\)")
SESSION_TIMEOUT = 150
DRAIN = 200
TOO_LONG = 100_000
"""Things that happen in one world; a sound one has a tenth of it."""


class World:
    """Odd seeds have crashes, restarts and rebalances; even ones never do."""

    def __init__(
        self, seed: int, guarantees: Sequence[type[Guarantee]] = GUARANTEES, *, trace: bool = False
    ) -> None:
        self.now: float = 0
        self.trace: list[str] | None = [] if trace else None
        self._rng = rng = random.Random(seed)
        self.weather = weather = draw_weather(rng, disturbed=seed % 2 == 1)
        self.log = draw_log(rng)
        self._policy = policy = draw_policy(rng)
        self._batch = rng.randrange(1, 11)
        self._by_place = {(q.partition, q.offset): q for q in self.log.all()}
        self._guarantees = [
            guarantee(
                Bounds(
                    slots=policy.slots,
                    held=policy.high - 1 + self._batch + policy.slots,
                    ending=weather.ENDING + 2 * weather.LAG,
                    publishing=(weather.REFUSALS + 1) * (weather.PUBLISH + 2 * weather.LAG)
                    + weather.REFUSALS * int(policy.republish),
                    questions=tuple(self._by_place),
                )
            )
            for guarantee in guarantees
        ]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._happened = 0
        self._scheduled = 0
        # The group.
        self._wanted = rng.randrange(1, 4)
        self._born = 0
        self.members: list[Member] = []
        self._generation = 0
        self._joining: list[Member] | None = None
        """During a rebalance: who has not yet let go of its partitions."""
        self._owners: dict[int, Member] = {}
        self._ending = False

    # --- what chance decides ------------------------------------------------------------------

    def chance(self, low: int, high: int) -> int:
        return self._rng.randint(low, high)

    def happens(self, probability: float) -> bool:
        return self._rng.random() < probability

    def one_of(self, choices: Sequence[T]) -> T:
        return self._rng.choice(choices)

    @property
    def calm_is_far(self) -> bool:
        return self.now < self.weather.calm_at

    # --- the clock ----------------------------------------------------------------------------

    def after(self, delay: float, then: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._events, (self.now + delay, self._scheduled, then))

    def run(self) -> None:
        """Lives through the bad times, the calm after them, and a drain at the end."""
        for at in sorted({question.arrives_at for question in self.log.all()}):
            self.after(at, self._arrive)
        for _ in range(self._wanted):
            self._join()
        if self.weather.disturbed:
            for _ in range(self.chance(1, 6)):
                self.after(self.chance(0, self.weather.calm_at - 1), self._disturb)
        # Were all of one key and each ran until its deadline, this would be their time.
        patience = len(self._by_place) * (BUDGET + self.weather.ENDING + self.weather.PUBLISH)
        calm = self._run_until(self.weather.calm_at + patience)
        self.tell("over", self._unfinished(quiet=calm))
        self._ending = True
        for member in self.members:
            member.tell(Draining(self.now + DRAIN))
        self._run_until(self.now + 10 * DRAIN)
        self.tell(
            "over", [f"{m.name} has not stopped" for m in self.members] + self.log.unfinished()
        )

    def _run_until(self, end: float) -> bool:
        """Whether nothing is left to happen."""
        while self._events and self._events[0][0] <= end:
            self.now, _, then = heapq.heappop(self._events)
            self._happened += 1
            if self._happened > TOO_LONG:
                raise RuntimeError("the world does not come to rest")
            then()
        return not self._events

    def _unfinished(self, *, quiet: bool) -> list[str]:
        left = self.log.unfinished()
        left += [
            f"{member.name} holds {r}" for member in self.members for r in member.engine.questions
        ]
        return left if quiet else [*left, "something still happens"]

    # --- who watches --------------------------------------------------------------------------

    def tell(self, what: str, *args: Any, **kwargs: Any) -> None:
        for guarantee in self._guarantees:
            getattr(guarantee, what)(self.now, *args, **kwargs)

    def say(self, who: Member | None, what: Event | Command | str) -> None:
        if self.trace is not None:
            said = FAILURE.sub(r"\1", RECORD.sub(r"\1/\3 (epoch \2)", str(what)))
            self.trace.append(f"{self.now:>6g}  {'' if who is None else who.name:4}  {said}")

    # --- the broker ---------------------------------------------------------------------------

    def question(self, record: RecordId) -> Question:
        return self._by_place[record.partition, record.offset]

    def readable(self, partition: int, position: int, most: int) -> list[Question]:
        questions = self.log.questions[partition]
        begin = bisect_left(questions, position, key=lambda question: question.offset)
        found = questions[begin : begin + most]
        return [question for question in found if question.arrives_at <= self.now]

    def complete(self, member: Member, record: RecordId, *, late: bool) -> None:
        place = (record.partition, record.offset)
        self.log.completions[place] = self.log.completions.get(place, 0) + 1
        self.tell("completed", member.name, record, late=late)

    def commit(self, member: Member, command: Commit | Release) -> bool:
        """False when another member owns one of the partitions: nothing is applied."""
        if any(self._owners.get(partition) is not member for partition in command.offsets):
            return False
        for partition, offset in command.offsets.items():
            self.log.committed[partition] = offset
            self.log.done[partition] = command.done.get(partition, "")
            self.tell("committed", member.name, partition, offset)
        return True

    def _arrive(self) -> None:
        for member in self.members:
            member.fetch()

    # --- the group ----------------------------------------------------------------------------

    def _join(self) -> None:
        if self._ending:
            return
        self._born += 1
        member = Member(self, f"m{self._born}", self._policy, self._batch)
        self.say(member, "joins")
        self.members.append(member)
        self._rebalance()

    def _rebalance(self) -> None:
        """Everybody lets go of everything; when the last has done so, all is dealt out anew."""
        if self._joining is not None:
            return
        self.say(None, "the group rebalances")
        self._joining = list(self.members)
        for member in self._joining:
            self.after(self.chance(0, 30), lambda member=member: self._revoke(member))  # type: ignore[misc]
        self._assign_when_joined()

    def _revoke(self, member: Member) -> None:
        if self._joining is not None and member in self._joining:
            until = self.now + self.chance(0, 300)
            member.tell(Revoking(frozenset(member.positions), until))

    def released(self, member: Member, partitions: Iterable[int], *, committed: bool) -> None:
        if not committed:
            for partition in sorted(partitions):
                self.tell("may_repeat", partition, self.log.kept(partition))
        self._joined(member)

    def _joined(self, member: Member) -> None:
        if self._joining is not None and member in self._joining:
            self._joining.remove(member)
            self._assign_when_joined()

    def _assign_when_joined(self) -> None:
        if self._joining:
            return
        self._joining = None
        if not self.members:
            return
        self._generation += 1
        dealt: dict[str, dict[int, int]] = {member.name: {} for member in self.members}
        partitions = list(self.log.questions)
        self._rng.shuffle(partitions)
        for turn, partition in enumerate(partitions):
            owner = self.members[turn % len(self.members)]
            self._owners[partition] = owner
            dealt[owner.name][partition] = self.log.committed.get(partition, 0)
        for member in self.members:
            mine = dealt[member.name]
            kept = {partition: self.log.kept(partition) for partition in mine}
            member.assigned(mine, self._generation, kept)

    # --- what goes wrong ----------------------------------------------------------------------

    def _disturb(self) -> None:
        if not self.members:
            return
        victim = self.one_of(self.members)
        fate = self.one_of(("crash", "restart", "rebalance", "join"))
        if fate == "crash":
            self._crash(victim)
        elif fate == "restart":
            self.say(victim, "is asked to stop")
            victim.tell(Draining(self.now + self.chance(0, 400)))
        elif fate == "rebalance":
            self._rebalance()
        elif len(self.members) < 3:
            self._join()

    def _crash(self, member: Member) -> None:
        self.say(member, "dies")
        member.alive = False
        for partition in member.positions:
            self.tell("let_go", member.name, partition)
            self.tell("may_repeat", partition, self.log.kept(partition))
        self.after(SESSION_TIMEOUT, lambda: self._gone(member))
        self.after(self.chance(10, 400), self._join)

    def stopped(self, member: Member) -> None:
        self.say(member, "leaves")
        self.after(1, lambda: self._gone(member))
        self.after(self.chance(10, 400), self._join)

    def _gone(self, member: Member) -> None:
        if member not in self.members:
            return
        self.members.remove(member)
        if not self.members:
            self._joining = None
            return
        self._joined(member)
        if not self._ending:
            self._rebalance()
