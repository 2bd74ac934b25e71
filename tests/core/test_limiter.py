"""How many calls at once: looked for beside a simulated provider, and told what it grants."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from statistics import fmean
from typing import Literal

import pytest

from penstock.core.facts import ONE_CALL, RecordId, Used
from penstock.core.limiter import Limiter, LimiterPolicy

SLOTS = 64
ENOUGH = 64
"""Calls after which a limit has been looked at more than once."""


def call(number: int) -> RecordId:
    return RecordId(0, 1, number)


def limiter(
    mode: Literal["off", "observe", "enforce"] = "enforce", least: int = 4, most: int = SLOTS
) -> Limiter:
    return Limiter(LimiterPolicy(mode, least, most))


# --- a provider ---------------------------------------------------------------------------------

Seconds = Callable[[Random], float]


@dataclass(frozen=True)
class Provider:
    """Serves so many calls at once, first come, first served; the others wait.

    Args:
        at_once: from a moment on.
        first: seconds to the first token, from when a call is served.
        rest: from there to the end.
    """

    at_once: Callable[[float], float]
    first: Seconds
    rest: Seconds


@dataclass
class Run:
    """What came of it: when calls ended, when they had their first token and after how long, and
    what the limit was when.
    """

    ends: list[float]
    firsts: list[tuple[float, float]]
    limits: list[tuple[float, float]]

    def throughput(self, since: float) -> float:
        return sum(at >= since for at in self.ends) / (self.ends[-1] - since)

    def p95(self, since: float) -> float:
        firsts = sorted(seconds for at, seconds in self.firsts if at >= since)
        return firsts[int(len(firsts) * 0.95)]

    def limit(self, since: float, until: float) -> float:
        """On average."""
        return fmean(limit for at, limit in self.limits if since <= at < until)


class Client:
    """Has as many calls on their way as the limit and the slots allow, all the time."""

    def __init__(self, provider: Provider, seed: int, limit: Limiter) -> None:
        self._provider, self._limiter, self._random = provider, limit, Random(seed)
        self._numbers, self._order = count(), count()
        self._queue: deque[RecordId] = deque()
        self._served = 0
        self._since: dict[RecordId, float] = {}
        self._events: list[tuple[float, int, bool, RecordId]] = []
        self.run = Run([], [], [])

    def work(self, until: float) -> Run:
        self._turn(0.0)
        while self._events[0][0] < until:
            now, _, ends, record = heapq.heappop(self._events)
            if ends:
                self._served -= 1
                del self._since[record]
                self._limiter.ended(record, ONE_CALL, now)
                self.run.ends.append(now)
                self.run.limits.append((now, self._limiter.limit))
            else:
                self._limiter.answers(record, now)
                self.run.firsts.append((now, now - self._since[record]))
            self._turn(now)
        return self.run

    def _turn(self, now: float) -> None:
        while len(self._since) < SLOTS and self._limiter.allows_at(now) == now:
            record = call(next(self._numbers))
            self._since[record] = now
            self._limiter.started(record, now)
            self._queue.append(record)
        while self._queue and self._served < self._provider.at_once(now):
            self._served += 1
            record = self._queue.popleft()
            first = now + self._provider.first(self._random)
            self._later(first, record, ends=False)
            self._later(first + self._provider.rest(self._random), record, ends=True)

    def _later(self, at: float, record: RecordId, *, ends: bool) -> None:
        heapq.heappush(self._events, (at, next(self._order), ends, record))


def work(provider: Provider, until: float, seed: int = 1, fixed: int | None = None) -> Run:
    """`fixed`: with so many calls at once instead of a limit that is found out."""
    limit = limiter() if fixed is None else limiter(least=fixed, most=fixed)
    return Client(provider, seed, limit).work(until)


def always(number: float) -> Callable[[object], float]:
    return lambda _: number


def about(seconds: float) -> Seconds:
    return lambda random: seconds * random.uniform(0.9, 1.1)


TWENTY = Provider(always(20), always(0.2), always(0.32))
UNEVEN = Provider(always(20), about(0.2), lambda random: random.expovariate(1 / 0.32))
SLOW = Provider(always(20), about(2), about(8))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("provider", "until"),
    [(TWENTY, 150), (UNEVEN, 150), (SLOW, 2_000)],
    ids=["20", "uneven", "slow"],
)
def test_it_finds_what_a_provider_serves_at_once(
    provider: Provider, until: float, seed: int
) -> None:
    since = until / 3
    found, unlimited = work(provider, until, seed), work(provider, until, seed, SLOTS)
    best = max(work(provider, until, seed, fixed).throughput(since) for fixed in (16, 20, 24, 64))
    assert 15 <= found.limit(since, until) <= 25
    assert found.throughput(since) >= 0.95 * best
    assert found.p95(since) < unlimited.p95(since) / 2


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_a_first_token_that_comes_now_sooner_now_later_is_no_queue(seed: int) -> None:
    uncertain = Provider(always(SLOTS), lambda random: random.uniform(0.2, 1.0), always(0.32))
    found = work(uncertain, 200, seed)
    assert found.limit(50, 200) >= 59
    assert found.throughput(50) >= 0.9 * work(uncertain, 200, seed, SLOTS).throughput(50)
    # But for the moments in which it is measured, when it is thinned out.
    assert sum(limit >= 48 for at, limit in found.limits if at >= 50) >= 0.85 * sum(
        at >= 50 for at in found.ends
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_a_provider_that_is_uncertain_and_has_an_end(seed: int) -> None:
    uncertain = Provider(always(20), lambda random: random.uniform(0.2, 1.0), always(0.32))
    found = work(uncertain, 300, seed)
    assert 15 <= found.limit(100, 300) <= 25
    assert found.throughput(100) >= 0.95 * work(uncertain, 300, seed, 24).throughput(100)
    assert found.p95(100) < work(uncertain, 300, seed, SLOTS).p95(100) / 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_follows_a_provider_that_serves_fewer_and_then_more_again(seed: int) -> None:
    found = work(
        Provider(lambda now: 10 if 100 <= now < 200 else 20, about(0.2), about(0.32)), 300, seed
    )
    assert 15 <= found.limit(50, 100) <= 25
    assert found.limit(120, 200) <= 15
    assert 15 <= found.limit(220, 300) <= 25


def test_a_provider_that_has_become_slower_is_found_out_to_have() -> None:
    slower = iter(count())
    becomes = Provider(always(SLOTS), lambda _: 0.2 if next(slower) < 20_000 else 1.0, always(0.32))
    found = work(becomes, 500)
    assert found.limit(450, 500) >= 48


# --- what it looks at ---------------------------------------------------------------------------


def wave(
    one: Limiter, now: float, size: int, first: float | None, whole: float, **ends: bool
) -> float:
    """So many calls at once; gives the moment at which they have ended."""
    for number in range(size):
        one.started(call(number), now)
    for number in range(size):
        if first is not None:
            one.answers(call(number), now + first)
    for number in range(size):
        one.ended(call(number), ONE_CALL, now + whole, **{"overloaded": False, **ends})
    return now + whole


def waves(one: Limiter, now: float, times: int, first: float = 1, whole: float = 2) -> float:
    for _ in range(times):
        now = wave(one, now, int(one.limit), first, whole)
    return now


def started(one: Limiter, now: float, most: int) -> int:
    """How many calls may start now, `most` of them wanted."""
    for number in range(most):
        if one.allows_at(now) != now:
            return number
        one.started(call(1_000 + number), now)
    return most


def test_it_begins_with_the_least_and_doubles_while_nothing_waits() -> None:
    one = limiter()
    now = 0.0
    seen = {one.limit: None}
    for _ in range(9):
        now = waves(one, now, 1)
        seen[one.limit] = None
    assert list(seen) == [4, 8, 16, 32, 64]


def test_no_more_than_the_limit_are_on_their_way() -> None:
    one = limiter()
    assert started(one, 0, 10) == 4
    assert one.allows_at(0) is None
    one.ended(call(1_000), ONE_CALL, 1)
    assert one.allows_at(1) == 1


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_only_what_is_enforced_holds_back_calls(mode: Literal["off", "observe"]) -> None:
    one = limiter(mode)
    assert started(one, 0, 100) == 100


def test_what_is_observed_is_found_out_all_the_same() -> None:
    one = limiter("observe")
    now = 0.0
    for _ in range(5):
        now = wave(one, now, SLOTS, 1, 2)
    assert one.limit == SLOTS
    wave(one, now, SLOTS, 2, 3)
    assert one.limit == pytest.approx(SLOTS - SLOTS / 3 + 1)


def test_where_it_is_off_nothing_is_found_out() -> None:
    one = limiter("off")
    wave(one, wave(one, 0, SLOTS, 1, 2), SLOTS, 9, 10, overloaded=True)
    assert one.limit == SLOTS


def test_it_does_not_grow_where_it_is_not_used_up() -> None:
    one = limiter()
    now = 0.0
    for _ in range(20):
        now = wave(one, now, 2, 1, 2)
    assert one.limit == 4


def test_an_overload_takes_a_fifth_once_for_all_calls_that_were_on_their_way() -> None:
    one = limiter()
    now = waves(one, 0, 6)
    before = one.limit
    now = wave(one, now, int(before), None, 2, overloaded=True)
    assert one.limit == pytest.approx(before * 0.8)
    wave(one, now, int(one.limit), None, 2, overloaded=True)
    assert one.limit == pytest.approx(before * 0.8 * 0.8)


def test_it_never_falls_below_the_least() -> None:
    one = limiter(least=3)
    now = 0.0
    for _ in range(5):
        now = wave(one, now, 3, None, 2, overloaded=True)
    assert one.limit == 3


def test_an_overload_while_it_is_thinned_out_counts() -> None:
    """What it was thinned out from does not come back."""
    one = limiter(most=20)
    now = waves(one, 0, 4)
    assert one.limit == 20
    now = waves(one, now, 13)
    assert one.limit == pytest.approx(14)
    now = wave(one, now, 14, None, 2, overloaded=True)
    assert one.limit == pytest.approx(14 * 0.8)
    waves(one, now, 2)
    assert one.limit < 14


def test_calls_without_a_first_token_say_nothing_of_a_queue() -> None:
    one = limiter()
    now = 0.0
    for _ in range(20):
        now = wave(one, now, 4, None, 0.01)
    assert one.limit == 4
    assert not one._measured


def test_who_has_begun_before_a_decision_does_not_count_for_the_next() -> None:
    """It has waited in a queue that may be gone."""
    one = limiter()
    now = waves(one, 0, 2)
    assert one.limit == 8
    for number in range(100, 108):
        one.started(call(number), now - 1)
    now = waves(one, now, 1)
    assert one.limit == 16
    for number in range(100, 108):
        one.answers(call(number), now + 50)
        one.ended(call(number), ONE_CALL, now + 50)
    assert one.limit == 16
    assert not one._measured


def test_who_is_not_known_changes_nothing() -> None:
    one = limiter()
    one.answers(call(1), 1)
    one.ended(call(1), ONE_CALL, 2, overloaded=True)
    assert one.limit == 4


def test_only_the_first_of_its_tokens_is_one() -> None:
    one = limiter()
    now = waves(one, 0, 2)
    for number in range(8):
        one.started(call(number), now)
    for number in range(8):
        one.answers(call(number), now + 1)
        one.answers(call(number), now + 40)
        one.ended(call(number), ONE_CALL, now + 41)
    assert one.limit > 8


def test_nothing_is_kept_of_calls_that_have_ended() -> None:
    one = limiter()
    waves(one, 0, 200)
    assert not one._calls
    assert len(one._measured) <= SLOTS


# --- what the provider grants -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_what_is_granted_a_minute_always_counts(
    mode: Literal["off", "observe", "enforce"],
) -> None:
    one = Limiter(LimiterPolicy(mode, requests_per_minute=60))
    one.started(call(0), 0)
    assert one.allows_at(0) == pytest.approx(1)
    one.ended(call(0), ONE_CALL, 0.5)
    assert one.allows_at(0.5) == pytest.approx(1)
    assert one.allows_at(1) == 1


def test_an_answer_that_was_cut_off_without_a_word_of_what_it_took_has_taken_the_usual() -> None:
    one = Limiter(LimiterPolicy("off", tokens_per_minute=60))
    for number, used in enumerate((60, 0)):
        one.started(call(number), 0)
        one.answers(call(number), 0)
        one.ended(call(number), Used(1, used), 0)
    # 60 for each, and what is due for a third one.
    assert one.allows_at(0) == pytest.approx(120)


def test_the_scarcer_of_requests_and_tokens_counts() -> None:
    one = Limiter(LimiterPolicy("off", requests_per_minute=600, tokens_per_minute=6_000))
    now = 0.0
    starts: list[float] = []
    for number in range(100):
        at = one.allows_at(now)
        assert at is not None
        now = max(now, at)
        starts.append(now)
        one.started(call(number), now)
        one.answers(call(number), now)
        one.ended(call(number), Used(1, 300), now)
    # 6,000 tokens are 20 of these calls.
    assert starts[99] - starts[19] == pytest.approx(80 * 3, rel=0.05)
