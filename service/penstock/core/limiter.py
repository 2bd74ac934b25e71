"""How many calls can the provider take now?

Calls beyond what it serves at once wait there for their first token. So the limit is looked for
where hardly any do: by Little's law, calls in flight times the share of their time that they wait
is the length of that queue (as in TCP Vegas, with the time to the first token for the round trip).
"""

from dataclasses import dataclass
from typing import Literal

from penstock.core.facts import RecordId, Used
from penstock.core.rate import Rate

_QUEUE = (1.0, 3.0)
"""Calls that may wait at the provider: below, the limit grows, above, it shrinks."""
_BACK_OFF = 0.8
"""Of the limit, when the provider is overloaded and says so."""
_REMEASURE = 120.0
"""Seconds after which it is found out again how fast the first token comes without a queue ..."""
_THINNED = 0.7
"""... for which calls have to be fewer for a moment."""
_FEWEST = 8
"""Calls that a measurement takes."""


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
        self._measured: list[tuple[float, float]] = []
        """Seconds to the first token, and to the end."""
        self._peak = 0
        self._doubling = True
        self._fastest: float | None = None
        """To the first token where nothing waits."""
        self._fastest_at = 0.0
        self._thinned_from: float | None = None
        self._backed_off_at = 0.0

    def allows_at(self, now: float) -> float | None:
        """When the next call may start; None: when one has ended."""
        if self._policy.mode == "enforce" and len(self._calls) >= int(self.limit):
            return None
        return max((rate.allows_at(now) for rate in self._rates if rate), default=now)

    def started(self, record: RecordId, now: float) -> None:
        charged = [rate.charge(now) if rate else 0.0 for rate in self._rates]
        self._calls[record] = _Call(now, charged)
        self._peak = max(self._peak, len(self._calls))

    def answers(self, record: RecordId, now: float) -> None:
        """It has its first token."""
        if (call := self._calls.get(record)) is not None and call.first_token is None:
            call.first_token = now - call.since

    def ended(self, record: RecordId, used: Used, now: float, *, overloaded: bool) -> None:
        """`overloaded`: the provider refused it, or was too slow."""
        if (call := self._calls.pop(record, None)) is None:
            return
        for rate, charged, said in zip(self._rates, call.charged, used, strict=True):
            if rate is not None:
                rate.settle(charged, said)
        if self._policy.mode == "off":
            return
        if overloaded:
            self._back_off(call, now)
        elif call.first_token is not None:
            self._measured.append((call.first_token, now - call.since))
            if len(self._measured) >= max(_FEWEST, self.limit):
                self._adjust(now)

    def _back_off(self, call: _Call, now: float) -> None:
        """Once for all calls that were on their way together."""
        if call.since >= self._backed_off_at:
            self._backed_off_at = now
            self._doubling = False
            self._set(self.limit * _BACK_OFF)

    def _adjust(self, now: float) -> None:
        # Where calls queue all of them wait; where the provider is only uneven, some do not.
        firsts = sorted(first for first, _ in self._measured)
        first = firsts[len(firsts) // 4]
        duration = sum(whole for _, whole in self._measured) / len(self._measured)
        peak, self._peak = self._peak, len(self._calls)
        self._measured.clear()
        if self._thinned_from is not None:
            self._fastest, self._fastest_at = first, now
            self.limit, self._thinned_from = self._thinned_from, None
            return
        if self._fastest is None or first <= self._fastest:
            self._fastest, self._fastest_at = first, now
        queue = peak * (first - self._fastest) / max(duration, 1e-9)
        least, most = _QUEUE
        if queue > most:
            self._doubling = False
            self._set(peak - queue + least)
        elif queue < least and peak >= int(self.limit):
            self._set(self.limit * 2 if self._doubling else self.limit + 1)
        if self._policy.mode == "enforce" and now - self._fastest_at > _REMEASURE:
            self._thinned_from = self.limit
            self._set(self.limit * _THINNED)

    def _set(self, limit: float) -> None:
        self.limit = min(max(limit, self._policy.least), self._policy.most)
