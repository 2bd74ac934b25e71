"""What is drawn at random before a world begins: its questions, its policy, its weather."""

import random
from dataclasses import dataclass

from penstock.core.breaker import BreakerPolicy
from penstock.core.cadence import CadencePolicy
from penstock.core.failure import Failure, Kind
from penstock.core.gate import GatePolicy
from penstock.core.halts import EVERYTHING, Scope
from penstock.core.lease import LeasePolicy
from penstock.core.limiter import LimiterPolicy
from penstock.core.models import ModelPolicy
from penstock.core.partition import Limits
from penstock.core.policy import Policy
from penstock.core.retry import RetryPolicy
from tests.simulation.log import Log, Question

BUDGET = 300
SLOW_BUDGET = 3_000
SCOPES = (
    *(EVERYTHING, EVERYTHING),
    *(Scope(partition=0), Scope(partition=1)),
    *(Scope(program="program-0"), Scope(program="program-1")),
)
POISON = Failure(Kind.RECORD, "not_json", "not JSON", "decode")


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad things may get, and for how long. Times in milliseconds."""

    disturbed: bool
    """Whether members crash and freeze, and commits and networks fail."""
    moving: bool
    """Whether members come and go and the group rebalances."""
    calm_at: int
    """From now on nothing is refused and nobody dies."""
    refused: float
    slow_broker: float
    """Requests that take long."""
    answer_lost: float
    """Completions that land, and whose sender learns it late, by a refusal, or without a place."""
    commit_fails: float
    redelivered: float
    model_fails: float
    hangs: float
    stubborn: float
    """Runs that ignore their cancellation for a while."""
    operator: float
    tail: int | None
    """Token events that are read back at most."""
    rates: tuple[float, ...]
    """Of the members' clocks."""
    outage: tuple[int, int]
    """From when to when the model answers nobody."""
    limited: float
    """Calls that the provider refuses, and wants to be left alone for a while."""
    unwanted: float
    """Questions that somebody cancels."""
    pauses: tuple[tuple[Scope, int, int], ...]
    """What an operator pauses, from when to when."""
    heartbeat: int
    """From one to the next."""
    rebalance: int
    """The longest that a group waits for those who have to let go."""

    REFUSALS = 3
    """A completion is not refused more often than this."""
    PUBLISH = 60
    """The longest until a completion lands."""
    RETRIED = 150
    """The longest until a producer that did not hear of a completion learns that it has landed."""
    COMMIT = 60
    """The longest until a commit arrives."""
    RECOVERY = 80
    """The longest until a member knows what of its new partitions is done."""
    ENDING = 150
    """The longest a cancelled run goes on."""
    FOREVER = 10_000
    """Longer than any run."""
    SESSION = 400
    """Until the group takes a silent member for dead."""
    MARGIN = 100
    """More than anything may be on its way, and than clocks differ by during a run."""
    RETRY_AFTER = 120
    """The longest that a provider wants to be left alone."""
    OPERATOR = 40
    """The longest until somebody sees to a gate that is shut."""
    LAG = 3
    """The longest an event waits for the loop."""


FLIGHT = Weather.PUBLISH + Weather.LAG


def draw_weather(rng: random.Random, seed: int) -> Weather:
    """Half of the worlds are at rest, and in an eighth members only come and go."""
    disturbed, moving = seed % 2 == 1 and seed % 8 != 1, seed % 2 == 1
    bad = rng.random() < 0.75
    fails = rng.choice((0.1, 0.3, 0.6)) if bad else 0.0
    provider = random.Random(seed)
    outage = provider.randrange(2_000) if provider.random() < 0.4 else 10**9
    calm_at = rng.randrange(2_500, 5_000)
    return Weather(
        disturbed=disturbed,
        moving=moving,
        calm_at=calm_at,
        refused=rng.uniform(0, 0.3) if bad else 0.0,
        slow_broker=rng.choice((0.1, 0.5)),
        answer_lost=rng.choice((0.0, 0.05, 0.3)),
        # One that nobody has heard of may be the last one of a partition.
        commit_fails=fails if disturbed or not moving else 0.0,
        redelivered=0.05 if bad else 0.0,
        model_fails=rng.uniform(0, 0.3),
        hangs=rng.uniform(0, 0.1),
        stubborn=rng.uniform(0, 0.5),
        operator=rng.choice((0.0, 0.01)) if disturbed else 0.0,
        tail=rng.choice((None, None, None, rng.randrange(1, 40))),
        outage=(outage, outage + provider.randrange(50, 800)),
        limited=provider.choice((0.0, 0.02, 0.2)),
        unwanted=provider.choice((0.0, 0.1)),
        pauses=_pauses(provider, calm_at) if provider.random() < 0.3 else (),
        rates=(0.998, 1, 1.002) if disturbed else (1,),
        # Often enough for a lease that never lapses where nothing happens to it.
        heartbeat=100 if disturbed else 200,
        rebalance=rng.choice((300, 700)) if disturbed else 1_000,
    )


def _pauses(rng: random.Random, calm_at: int) -> tuple[tuple[Scope, int, int], ...]:
    """All are taken back before the calm."""
    drawn = ((rng.choice(SCOPES), rng.randrange(calm_at)) for _ in range(rng.randrange(1, 5)))
    return tuple((scope, at, rng.randrange(at, min(at + 1_500, calm_at))) for scope, at in drawn)


def draw_policy(rng: random.Random, weather: Weather, *, tight: bool) -> Policy:
    """Tight: hardly anything fits into a commit, and a lot goes on at once."""
    high = rng.randrange(10, 40) if tight else rng.randrange(2, 12)
    return Policy(
        slots=rng.randrange(3, 10) if tight else rng.randrange(1, 6),
        high=high,
        low=rng.randrange(high),
        drain=rng.randrange(50, 500),
        republish=rng.randrange(10, 60),
        # Longer than the most stubborn run: a slot given away while its run goes on is no slot.
        cancel_grace=2 * weather.ENDING,
        flight=FLIGHT,
        cadence=CadencePolicy(
            records=rng.randrange(1, 12),
            interval=rng.randrange(10, 200),
            backoff=rng.randrange(10, 100),
            at_least=rng.randrange(300, 1_500),
        ),
        limits=Limits(
            map_letters=rng.randrange(*rng.choice(((3, 10), (20, 80)))) if tight else 3_900,
            window_ms=rng.choice((0, 200, 1_000, 60_000)),
            margin=weather.MARGIN,
        ),
        lease=LeasePolicy(weather.SESSION, weather.rebalance, weather.MARGIN),
        retry=RetryPolicy(
            base=rng.choice((1, 20)),
            cap=rng.choice((20, 200)),
            attempts={Kind.UPSTREAM: rng.randrange(1, 5), Kind.ANSWER: rng.randrange(1, 3)},
        ),
        gate=GatePolicy(run=rng.choice((3, 20, 10**6)), window=1_000),
        models={
            "": ModelPolicy(
                BreakerPolicy(failures=rng.randrange(2, 6), window=500, probe=rng.choice((10, 80))),
                LimiterPolicy(rng.choice(("off", "observe", "enforce")), least=1, most=9),
                hold=10,
            )
        },
    )


def draw_log(rng: random.Random, *, tight: bool) -> tuple[Log, "Draw"]:
    """And who draws the same kind of questions again. Tight: more of them are slow."""
    count = rng.randrange(1, 3 if tight else 5)
    log = Log(count, rng.randrange(1, count + 1) if rng.random() < 0.5 else count)
    # What is done without a run does not wait for room in the commit.
    draw = Draw(
        rng,
        holes=0.2,
        poison=0.0 if tight else 0.04,
        repeated=0.0 if tight else rng.choice((0.0, 0.15)),
        hurried=0.0 if tight else rng.choice((0.0, 0.2)),
        slow=0.05 if tight else rng.choice((0.0, 0.02)),
    )
    starts = {partition: rng.randrange(5) for partition in range(count)}
    asked = rng.randrange(70, 160) if tight else rng.randrange(25, 80)
    for partition, questions in draw.questions(starts, 0, asked).items():
        log.create(partition, questions, starts[partition])
    return log, draw


class Draw:
    """Offsets have gaps, keys repeat, records come in bursts; some are poison, some in a hurry,
    some slow, and some have the id of another.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        holes: float,
        poison: float,
        repeated: float,
        hurried: float,
        slow: float,
    ) -> None:
        self._rng = rng
        self._holes = holes
        self._poison = poison
        self._repeated = repeated
        self._slow = slow
        self._keys = [f"key-{number}" for number in range(rng.randrange(1, 13))]
        self._keyless = rng.choice((0.0, 0.3, 1.0))
        self._hurried = hurried
        self._asked = 0

    def questions(
        self, starts: dict[int, int], since: int, count: int
    ) -> dict[int, list[Question]]:
        rng = self._rng
        drawn: dict[int, list[Question]] = {partition: [] for partition in starts}
        offsets = dict(starts)
        now = since
        for _ in range(count):
            now += rng.choice((0, 0, 0, rng.randrange(60)))
            partition = rng.choice(list(starts))
            drawn[partition].append(
                self._question(partition, offsets[partition], now, drawn[partition])
            )
            offsets[partition] += rng.randrange(2, 6) if rng.random() < self._holes else 1
        return drawn

    def _question(self, partition: int, offset: int, now: int, before: list[Question]) -> Question:
        rng = self._rng
        poison = rng.random() < self._poison
        slow = rng.random() < self._slow
        own, explicit = f"{partition}/{offset}", rng.random() < 0.3
        if explicit:
            self._asked += 1
            own = f"question-{self._asked}"
        if before and rng.random() < self._repeated and not poison:
            others = [one.question_id for one in before[-20:] if one.explicit]
            own, explicit = (rng.choice(others), True) if others else (own, explicit)
        return Question(
            partition=partition,
            offset=offset,
            question_id=own,
            explicit=explicit and not poison,
            key=None if rng.random() < self._keyless else rng.choice(self._keys),
            arrives_at=now,
            expires_at=now + rng.randrange(-50, 1_500) if rng.random() < self._hurried else None,
            failure=POISON if poison else None,
            budget=SLOW_BUDGET if slow else BUDGET,
        )
