"""A seeded world around the real engine: a log, a group of members, faults, and a clock that jumps
from one thing that happens to the next.
"""

import heapq
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from penstock.core.facts import Assigned, CancelRequested, Draining, Event, Halted, HaltLifted
from penstock.core.halts import Scope
from penstock.core.policy import Policy
from penstock.kafka import metadata
from tests.simulation.draw import BUDGET, FLIGHT, Weather, draw_log, draw_policy, draw_weather
from tests.simulation.faults import Faults, identities
from tests.simulation.group import MOST, Group
from tests.simulation.guarantees import GUARANTEES, Bounds, Guarantee
from tests.simulation.log import Question
from tests.simulation.member import Member

T = TypeVar("T")
RECORD = re.compile(r"RecordId\(partition=(\d+), epoch=(\d+), offset=(\d+)\)")
FAILURE = re.compile(r"Failure\(.*?code='(\w+)'.*?\)")
DRAIN = 200
GLANCE = 200
TIGHT = 0.2
"""Of the worlds have commits that hardly anything fits into."""
TOO_LONG = 100_000
"""Things that happen in one world; a sound one has a tenth of it."""


class World:
    """See `draw_weather`."""

    def __init__(
        self, seed: int, guarantees: Sequence[type[Guarantee]] = GUARANTEES, *, trace: bool = False
    ) -> None:
        self.now: float = 0
        self.trace: list[str] | None = [] if trace else None
        self._rng = rng = random.Random(seed)
        self.weather = draw_weather(rng, seed)
        room = self.weather.moving and not self.weather.disturbed
        tight = rng.random() < TIGHT and not room
        self.log, draw = draw_log(rng, tight=tight)
        self.policy = policy = draw_policy(rng, self.weather, tight=tight)
        batch = rng.randrange(1, 11)
        self.bounds = _bounds(policy, self.weather, batch, self.log.all())
        self._watching = _watching([guarantee(self.bounds) for guarantee in guarantees])
        self._events: list[tuple[float, int, Callable[[], object], Member | None]] = []
        self._happened = 0
        self._scheduled = 0
        self._patience = 0
        self.in_flight: Counter[int] = Counter()
        """Requests about questions of a partition."""
        self._control: dict[object, Callable[[Member], Event]] = {}
        """What is asked of all members, as the control topic has it."""
        self.know(self.log.all())
        self.group = Group(self, policy, batch)
        self._faults = Faults(self, draw)
        self.seen = self._faults.seen

    # --- what chance decides ------------------------------------------------------------------

    def chance(self, low: int, high: int) -> int:
        return low + int(self._rng.random() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        return self._rng.random() < probability

    def random(self) -> float:
        return self._rng.random()

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self._rng.random() * len(choices))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return self._rng.sample(items, len(items))

    @property
    def calm_is_far(self) -> bool:
        return self.now < self.weather.calm_at

    # --- the clock ----------------------------------------------------------------------------

    def after(self, delay: float, then: Callable[[], object], member: Member | None = None) -> None:
        """Unless the member is dead by then, if it is up to one."""
        self._scheduled += 1
        heapq.heappush(self._events, (self.now + delay, self._scheduled, then, member))

    def run(self) -> None:
        """Lives through the bad times, the calm after them, and a drain at the end."""
        fewest = 1 if not self.weather.moving or self.happens(0.2) else 2
        self.group.begin(self.chance(fewest, MOST))
        if self.weather.moving:
            self._faults.plan()
        for scope, since, until in self.weather.pauses:
            self.after(since, partial(self._pause, scope))
            self.after(until, partial(self._resume, scope))
        self.live_until(self.weather.calm_at)
        while self.now < self.weather.calm_at + self._patience and (
            self.group.rebalancing or self._unfinished()
        ):
            self.live_until(self.now + GLANCE)
        # Nothing but commits that say the same again is left to happen.
        self.live_until(self.now + self.bounds.silence + GLANCE)
        self.tell("over", self._unfinished())
        self.group.closing = True
        for member in self.group.processes:
            self.drain(member, DRAIN)
        self.live_until(self.now + 10 * DRAIN)
        members = [f"{member.name} has not stopped" for member in self.group.processes]
        self.tell("over", members + self.log.unfinished())

    def drain(self, member: Member, time: int, *, alone: bool = False) -> None:
        member.tell(Draining(member.clock.now + time, alone))

    def know(self, questions: Sequence[Question]) -> None:
        """They arrive in time. Were they all of one key and each ran until its deadline, their
        time would add to our patience.
        """
        for question in questions:
            self._patience += question.budget + self.weather.ENDING + self.weather.PUBLISH
            if self.happens(self.weather.unwanted):
                at = question.arrives_at - self.now + self.chance(-50, 2 * BUDGET)
                self.after(at, partial(self._cancel, question.question_id))
        for at in sorted({question.arrives_at for question in questions}):
            self.after(at - self.now, self._arrive)

    def _cancel(self, question_id: str) -> None:
        """All members hear of it."""
        self.seen["cancelled"] += 1
        at = self.now

        def asked(member: Member) -> Event:
            until = member.clock.now + at + BUDGET - self.now
            return CancelRequested(question_id, int(at), until)

        self._ask_all(question_id, asked)

    def _pause(self, scope: Scope) -> None:
        self.seen[f"paused: {scope}"] += 1
        self._ask_all(scope, lambda _: Halted(scope))

    def _resume(self, scope: Scope) -> None:
        self._ask_all(scope, lambda _: HaltLifted(scope))

    def _ask_all(self, what: object, asked: Callable[[Member], Event]) -> None:
        self._control[what] = asked
        for member in self.group.processes:
            member.tell(asked(member))

    def ask(self, member: Member) -> None:
        """All that was asked before it came."""
        for asked in self._control.values():
            member.tell(asked(member))

    def _arrive(self) -> None:
        for member in self.group.processes:
            member.source.fetch()

    def live_until(self, end: float) -> None:
        events = self._events
        while events and events[0][0] <= end:
            self.now, _, then, member = heapq.heappop(events)
            self._happened += 1
            if self._happened > TOO_LONG:
                raise RuntimeError("the world does not come to rest")
            if member is None or (member.alive and not member.frozen):
                then()
            elif member.alive:
                member.missed.append(then)
        self.now = end

    def _unfinished(self) -> list[str]:
        left = self.log.unfinished()
        for member in self.group.processes:
            left += [f"{member.name} holds {record}" for record in member.engine.questions]
        return left

    # --- who watches --------------------------------------------------------------------------

    def tell(self, what: str, *args: Any, **kwargs: Any) -> None:
        for watch in self._watching[what]:
            watch(self.now, *args, **kwargs)

    def moment(self, what: str, member: Member) -> None:
        self._faults.moment(what, member)

    def say(self, who: Member | None, *what: object) -> None:
        if self.trace is not None:
            words = " ".join(_arrived(w) if isinstance(w, Assigned) else str(w) for w in what)
            said = FAILURE.sub(r"\1", RECORD.sub(r"\1/\3 (epoch \2)", words))
            self.trace.append(f"{self.now:>6g}  {'' if who is None else who.name:4}  {said}")


def _arrived(event: Assigned) -> str:
    """What was found out, on one line."""
    return "Assigned " + "; ".join(
        f"{partition} (epoch {event.epochs[partition]}): {found.done.committed} and "
        f"{found.done.ranges} are done, claims up to {found.claims.claimed_end}, completions "
        f"{found.bookmark.position} to {found.end.position}, unclean below {found.unclean_below}, "
        f"runs {[tuple(run) for run in found.runs]}{' of ours' if found.ours else ''}"
        for partition, found in event.recovered.items()
    )


def _watching(
    guarantees: Sequence[Guarantee],
) -> dict[str, list[Callable[..., None]]]:
    """By what happens: who looks at it."""
    told = [name for name, what in vars(Guarantee).items() if callable(what) and name[0] != "_"]
    return {
        name: [
            getattr(guarantee, name)
            for guarantee in guarantees
            if getattr(type(guarantee), name) is not getattr(Guarantee, name)
        ]
        for name in told
    }


def _bounds(policy: Policy, weather: Weather, batch: int, questions: Sequence[Question]) -> Bounds:
    letting_go = FLIGHT + 2 * FLIGHT + weather.LAG
    # The last tokens, the end, and the completion.
    saying = 5 * (FLIGHT + weather.LAG)
    confirmed = 2 * weather.heartbeat if weather.moving else 0
    return Bounds(
        slots=policy.slots,
        # Beside those of now, those that were handed over and have come back.
        held=policy.high - 1 + batch + (1 + 2 * weather.moving) * policy.slots,
        ending=weather.ENDING + 2 * weather.LAG,
        publishing=(weather.REFUSALS + 1) * (weather.PUBLISH + 2 * weather.LAG)
        + weather.REFUSALS * int(policy.republish)
        + saying
        + (letting_go + confirmed if weather.moving else 0),
        silence=int(policy.cadence.at_least + policy.cadence.backoff)
        + weather.COMMIT
        + 4 * weather.LAG
        + letting_go,
        metadata=policy.limits.map_letters + metadata.OVERHEAD,
        map_letters=policy.limits.map_letters,
        window=policy.limits.window_ms,
        tails_cut_short=weather.tail is not None,
        handed_over=weather.moving and not weather.disturbed,
        questions=identities(list(questions)),
    )
