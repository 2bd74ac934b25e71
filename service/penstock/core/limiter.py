"""How many calls can the provider take now?

Calls beyond what it serves at once wait there for their first token. So the limit is looked for
where hardly any do: by Little's law, calls in flight times the share of their time that they wait
is the length of that queue (as in TCP Vegas, with the time to the first token for the round trip).
How long the first token takes where nothing waits is found out with fewer calls now and then.
"""

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from penstock.core.facts import RecordId, Used
from penstock.core.rate import Rate

_QUEUE = (1.0, 2.0)
"""Calls that may wait at the provider: below, the limit grows, above, it shrinks; and one standard
error more, for without a queue, too, first tokens come now sooner and now later."""
_GROWTH = 1.1
_BACK_OFF = 0.8
"""Of the limit, when the provider is overloaded and says so."""
_REMEASURE = 16
"""Decisions after which it is found out again how fast the first token comes without a queue ..."""
_THINNED = 0.7
"""... for which calls have to be fewer for a moment."""
_FEWEST = 8
"""Calls that a decision takes."""


@dataclass(frozen=True, slots=True)
class LimiterPolicy:
    """`mode` is about the limit that is found out, from `least` to `most` calls at once; what the
    provider grants a minute always counts.
    """

    mode: Literal["off", "observe", "enforce"] = "observe"
    least: int = 4
    most: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class _Call:
    __slots__ = ("charged", "first_token", "since")

    def __init__(self, since: float, charged: list[float]) -> None:
        self.since = since
        self.charged = charged
        self.first_token: float | None = None


class Limiter:
    """Of one model. Times in seconds."""

    def __init__(self, policy: LimiterPolicy) -> None:
        self.limit = float(policy.most if policy.mode == "off" else policy.least)
        self._policy = policy
        granted = (policy.requests_per_minute, policy.tokens_per_minute)
        self._rates = [None if one is None else Rate(one) for one in granted]
        self._calls: dict[RecordId, _Call] = {}
        self._since = 0.0
        """Of the last decision: the next one looks at calls that have begun since."""
        self._peak = 0
        self._measured: list[tuple[float, float]] = []
        """Seconds to the first token, and to the end."""
        self._doubling = True
        self._unqueued: float | None = None
        """Seconds to the first token where nothing waits."""
        self._thinned_from: float | None = None
        self._decisions = 0
        """Since that was measured."""

    def allows_at(self, now: float) -> float | None:
        """When the next call may start; None: when one has ended."""
        if self._policy.mode == "enforce" and len(self._calls) >= int(self.limit):
            return None
        at = now
        for rate in self._rates:
            if rate is not None:
                at = max(at, rate.allows_at(now))
        return at

    def started(self, record: RecordId, now: float) -> None:
        charged = [rate.charge(now) if rate else 0.0 for rate in self._rates]
        self._calls[record] = _Call(now, charged)
        self._peak = max(self._peak, len(self._calls))

    def answers(self, record: RecordId, now: float) -> None:
        """It has its first token."""
        if (call := self._calls.get(record)) is not None and call.first_token is None:
            call.first_token = now - call.since

    def ended(
        self, record: RecordId, used: Used | None, now: float, *, overloaded: bool = False
    ) -> None:
        """`used`: as far as it is known. `overloaded`: the provider refused it, or was too slow."""
        if (call := self._calls.pop(record, None)) is None:
            return
        if used is not None:
            answered = call.first_token is not None
            for rate, charged, said in zip(self._rates, call.charged, used, strict=True):
                # What an answer took that was cut off midway nobody tells us.
                if rate is not None and (said or not answered):
                    rate.settle(charged, said, answered=answered)
        if self._policy.mode == "off" or call.since < self._since:
            return
        if overloaded:
            self._doubling, self._thinned_from = False, None
            self._decide(self.limit * _BACK_OFF, now)
        elif call.first_token is not None:
            self._measured.append((call.first_token, now - call.since))
            if len(self._measured) >= max(_FEWEST, self.limit):
                self._look(now)

    def _look(self, now: float) -> None:
        firsts = [first for first, _ in self._measured]
        first, duration = fmean(firsts), fmean(whole for _, whole in self._measured)
        if self._unqueued is None:
            self._unqueued = first
        if self._thinned_from is not None:
            limit, self._unqueued = self._thinned_from, first
            self._thinned_from, self._decisions = None, 0
            self._decide(limit, now)
            return
        if first < self._unqueued:
            # Half of it: the least of many means is chance.
            self._unqueued += (first - self._unqueued) / 2
        in_queue = self._peak / max(duration, 1e-9)
        """Calls, for each second that a call waits."""
        variance = fmean((one - first) ** 2 for one in firsts)
        doubt = in_queue * math.sqrt(variance / len(firsts))
        self._follow(in_queue * (first - self._unqueued), doubt, now)
        self._decisions += 1
        if self._policy.mode == "enforce" and self._decisions >= _REMEASURE:
            self._thinned_from = self.limit
            self._decide(self.limit * _THINNED, now)

    def _follow(self, queue: float, doubt: float, now: float) -> None:
        limit, (least, most) = self.limit, (calls + doubt for calls in _QUEUE)
        if queue > most:
            self._doubling = False
            limit = self._peak - queue + least
        elif queue < least and self._peak >= int(limit):
            limit = limit * 2 if self._doubling else max(limit + 1, limit * _GROWTH)
        self._decide(limit, now)

    def _decide(self, limit: float, now: float) -> None:
        self.limit = min(max(limit, self._policy.least), self._policy.most)
        self._since, self._peak = now, len(self._calls)
        self._measured.clear()
