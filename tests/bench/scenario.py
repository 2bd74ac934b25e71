"""What a scenario is, and what it is told."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from penstock.local.broker import Kafka, broker
from tests.bench.result import Result

ROUNDS = 3


@dataclass(frozen=True)
class Wanted:
    """Args:
    questions: that are measured, of each program.
    intervals_ms: `TOKENS__MIN_INTERVAL_MS` of the service, once for each.
    rounds: of all measurements, of which the medians are told.
    """

    questions: int
    intervals_ms: tuple[int, ...] = (0,)
    rounds: int = 1


@dataclass(frozen=True)
class Scenario:
    """Args:
    run: it, given the bootstrap servers.
    questions: enough for figures that hold.
    few: enough to see that it works, in a minute or so.
    intervals_ms: see `Wanted`.
    rounds: see `Wanted`; to see that it works there is one.
    kafka: of its own.
    """

    run: Callable[[str, Wanted], Awaitable[Result]]
    questions: int
    few: int
    intervals_ms: tuple[int, ...] = (0,)
    rounds: int = ROUNDS
    kafka: Callable[[], AbstractAsyncContextManager[Kafka]] = broker
