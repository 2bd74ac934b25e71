"""May another call to this model start now, and if not, when is it worth asking again?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.core.breaker import Breaker, BreakerPolicy, Cause
from penstock.core.facts import RecordId, Used
from penstock.core.failure import CONSEQUENCES, MODEL_TIMEOUT, RATE_LIMITED, Failure, Kind
from penstock.core.limiter import Limiter, LimiterPolicy

OVERLOADED = frozenset({RATE_LIMITED, MODEL_TIMEOUT})
"""The codes of failures that say the provider has too much to do."""


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """`hold`: seconds for which a provider is not called that asks us to wait and names none.
    `longest_hold`: after which one call finds out all the same, for limits are raised.
    """

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    limiter: LimiterPolicy = field(default_factory=LimiterPolicy)
    hold: float = 1.0
    longest_hold: float = 600.0


class Model:
    """One of them: a breaker and a limiter, told of every call."""

    def __init__(self, policy: ModelPolicy) -> None:
        self.breaker = Breaker(policy.breaker)
        self.limiter = Limiter(policy.limiter)
        self._policy = policy

    def allows_at(self, now: float) -> float | None:
        """When the next call may start; None: when something has happened."""
        if not self.breaker.may_start(now):
            return self.breaker.next_at()
        return self.limiter.allows_at(now)

    def calls_now(self, now: float) -> bool:
        """Whether it may."""
        at = self.allows_at(now)
        return at is not None and at <= now

    def started(self, record: RecordId, now: float) -> None:
        self.breaker.started(record)
        self.limiter.started(record, now)

    def answers(self, record: RecordId, now: float) -> None:
        """The first token is there."""
        self.breaker.answers(record, now)
        self.limiter.answers(record, now)

    def succeeded(self, record: RecordId, used: Used, now: float) -> None:
        self.breaker.succeeded(record, now)
        # Without a stream its answer is its first token.
        self.limiter.answers(record, now)
        self.limiter.ended(record, used, now)

    def failed(
        self, record: RecordId, failure: Failure, used: Used, now: float, *, answered: bool = False
    ) -> None:
        """`answered`: it had its first token, and no end."""
        if failure.code == RATE_LIMITED:
            wanted = failure.retry_after or self._policy.hold
            self.breaker.limited(record, now + min(wanted, self._policy.longest_hold))
        elif CONSEQUENCES[failure.kind].counts_against_breaker and failure.stage == "running":
            self.breaker.failed(record, now, answered=answered)
        elif failure.kind is Kind.ANSWER and answered:
            # What the program makes of it is another matter.
            self.breaker.succeeded(record, now)
        else:
            # It may never have been called; where it has answered, its first token has told.
            self.breaker.unclear(record)
        self.limiter.ended(record, used, now, overloaded=failure.code in OVERLOADED)

    def gone(self, record: RecordId, now: float) -> None:
        """The call was cut off."""
        self.breaker.unclear(record)
        self.limiter.ended(record, None, now)


class Models(dict[str, Model]):
    """All that programs use, by the names they have in the settings."""

    def __init__(self, policies: Mapping[str, ModelPolicy]) -> None:
        super().__init__({name: Model(policy) for name, policy in policies.items()})
        self._told: dict[str, Cause | None] = dict.fromkeys(policies)

    def changes(self) -> list[tuple[str, Cause | None]]:
        """Who is shut now and why, or open again, since this was asked."""
        changed = [
            (name, model.breaker.cause)
            for name, model in self.items()
            if model.breaker.cause is not self._told[name]
        ]
        self._told.update(changed)
        return changed
