"""What is read when somebody scrapes? How things stand, with those who know it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from penstock import __version__
from penstock.clock import Clock
from penstock.core.breaker import Cause
from penstock.core.engine import Engine
from penstock.core.facts import Reading
from penstock.core.halts import EVERYTHING
from penstock.core.question import Phase
from penstock.telemetry import metrics
from penstock.telemetry.series import Sample, read

RESETS = ("retention", "truncated")


class Source(Protocol):
    """The questions, as far as they are looked at; by partition. See `penstock.kafka.source`."""

    def lag(self) -> Mapping[int, int]: ...
    def readings(self) -> Mapping[int, Reading]: ...
    @property
    def committed_at(self) -> Mapping[int, float]: ...


class Gauges(Collector):
    """Args:
    engine: who decides.
    source: of the questions.
    resets: of logs, by cause.
    threads: seconds that programs have spent in threads, by program.
    reachable: whether Kafka answers.
    clock: of the service.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        resets: Mapping[str, int],
        threads: Callable[[], Mapping[str, float]],
        reachable: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._source = source
        self._resets = resets
        self._threads = threads
        self._reachable = reachable
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        yield from self._of_the_pool()
        yield from self._of_partitions()
        yield from self._of_models()
        yield read(metrics.THREADS, _each(self._threads()))
        yield read(metrics.LOG_RESETS, (([cause], self._resets.get(cause, 0)) for cause in RESETS))
        yield _one(metrics.KAFKA_REACHABLE, self._reachable())
        yield read(metrics.BUILD, [([__version__], 1)])

    def _of_the_pool(self) -> Iterator[Metric]:
        engine = self._engine
        # Thousands, and an enum is slow to count by.
        phases = [question.phase for question in engine.questions.values()]
        handed_over = sum(question.until is not None for question in engine.questions.values())
        held = sum(len(partition.held) for partition in engine.partitions.values())
        yield _one(metrics.SLOTS, engine.policy.slots)
        yield _one(metrics.IN_FLIGHT, engine.admission.in_flight)
        yield _one(metrics.WAITING, phases.count(Phase.WAITING))
        yield _one(metrics.RETRYING, phases.count(Phase.RETRYING))
        yield _one(metrics.HANDED_OVER, handed_over)
        yield _one(metrics.HELD, held)
        yield _one(metrics.ABANDONED, len(engine.work.abandoned))
        yield _one(metrics.GATE_SHUT, engine.failing.gate.shut)
        halts = engine.board.halts
        scopes = {str(EVERYTHING): halts.everything} | {str(scope): True for scope in halts.scopes}
        yield read(metrics.PAUSED, _each(scopes))

    def _of_partitions(self) -> Iterator[Metric]:
        engine, now = self._engine, self._clock.monotonic()
        partitions = engine.partitions
        oldest = {number: one.ledger.oldest() for number, one in partitions.items()}
        ages = {n: 0.0 if one is None else now - one.since for n, one in oldest.items()}
        noted = {number: one.noted(now) for number, one in partitions.items()}
        yield _one(metrics.ASSIGNED, len(partitions))
        yield _one(metrics.PAUSED_PARTITIONS, len(engine.intake.paused))
        yield read(metrics.LAG, _each(self._source.lag()))
        yield read(metrics.BACKLOG, _each(engine.backlog(self._source.readings())))
        yield read(metrics.OLDEST, _each(ages))
        committed_at = self._source.committed_at
        yield read(metrics.COMMIT_AGE, _each({n: now - at for n, at in committed_at.items()}))
        yield read(metrics.OFFSET_MAP, _each(noted))
        yield _one(metrics.OFFSET_MAP_LIMIT, engine.policy.limits.map_letters)

    def _of_models(self) -> Iterator[Metric]:
        models = self._engine.models
        yield read(
            metrics.MODEL_SHUT,
            (
                ([name, cause], model.breaker.cause is cause)
                for name, model in models.items()
                for cause in Cause
            ),
        )
        limits = {name: model.limiter.limit for name, model in models.items()}
        yield read(metrics.MODEL_LIMIT, _each(limits))


def _one(family: metrics.Family, value: float) -> Metric:
    return read(family, [((), value)])


def _each(values: Mapping[int, float] | Mapping[str, float]) -> Iterable[Sample]:
    return (([str(label)], value) for label, value in values.items())
