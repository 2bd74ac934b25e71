"""Metrics for Prometheus: their names, units and meaning, and what feeds them."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.breaker import Cause
from penstock.core.engine import Engine
from penstock.core.question import Phase
from penstock.job import Job

# One more series for each, with the time of its first count: nobody looks at those.
disable_created_metrics()  # type: ignore[no-untyped-call]

_FIRST_TOKEN = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)
_DURATION = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600)


class Metrics(Collector):
    """Watches the events and commands that pass through the loop, and looks at who decides."""

    def __init__(
        self,
        engine: Engine,
        lag: Callable[[], Mapping[int, int]],
        resets: Mapping[str, int],
        clock: Clock,
    ) -> None:
        self.registry = CollectorRegistry()
        self._engine = engine
        self._lag = lag
        self._resets = resets
        self._clock = clock
        self.registry.register(self)
        self._cut_off = Counter(
            "penstock_questions_cut_off",
            "Runs given up for another member, which may ask the model again.",
            registry=self.registry,
        )
        self._received = Counter(
            "penstock_questions_received",
            "Questions fetched, decodable or not.",
            registry=self.registry,
        )
        self._ended = Counter(
            "penstock_questions_ended",
            "Completions acknowledged.",
            ["program", "status"],
            registry=self.registry,
        )
        self._attempts_failed = Counter(
            "penstock_attempts_failed",
            "Attempts that failed and are followed by another.",
            ["kind", "code"],
            registry=self.registry,
        )
        self._dead_letters = Counter(
            "penstock_dead_letters",
            "Questions given up for good.",
            ["kind", "code"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "penstock_tokens",
            "Pieces of text the models streamed.",
            ["program"],
            registry=self.registry,
        )
        self._first_token = Histogram(
            "penstock_first_token_seconds",
            "From a question's first start to its first token.",
            ["program"],
            buckets=_FIRST_TOKEN,
            registry=self.registry,
        )
        self._duration = Histogram(
            "penstock_question_duration_seconds",
            "From a question's first start to its end.",
            ["program"],
            buckets=_DURATION,
            registry=self.registry,
        )

    def observe(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        if isinstance(fact, facts.Fetched):
            self._received.inc()
        elif isinstance(fact, facts.RetryAt):
            self._attempts_failed.labels(fact.failure.kind, fact.failure.code).inc()
        elif isinstance(fact, facts.Drop) and fact.cut_off:
            self._cut_off.inc()
        elif isinstance(fact, facts.Published) and job is not None:
            self._end(job)

    def _end(self, job: Job) -> None:
        # A name nobody serves would make a label of whatever a producer writes.
        program = job.delivery.program or "none"
        self._ended.labels(program, job.status).inc()
        if job.dead_lettered and job.failure is not None:
            self._dead_letters.labels(job.failure.kind, job.failure.code).inc()
        if job.started_at is None:
            return
        self._tokens.labels(program).inc(job.stream.tokens)
        if job.ended_at is not None:
            self._duration.labels(program).observe(job.ended_at - job.started_at)
        if job.report.first_token_at is not None:
            first = job.report.first_token_at - job.started_at
            self._first_token.labels(program).observe(first)

    def collect(self) -> Iterator[Metric]:
        """What is read from the engine and the source when somebody asks."""
        engine = self._engine
        waiting = sum(q.phase is Phase.WAITING for q in engine.questions.values())
        yield _gauge("penstock_slots", "Questions that may run at once.", engine.policy.slots)
        yield _gauge("penstock_in_flight", "Questions running.", engine.admission.in_flight)
        yield _gauge("penstock_waiting", "Questions fetched and not started.", waiting)
        yield _gauge(
            "penstock_paused_partitions",
            "Partitions paused: above the high mark, or because nothing of them may start.",
            len(engine.intake.paused),
        )
        yield _gauge(
            "penstock_abandoned",
            "Runs that do not end although they were told to; each keeps its slot.",
            len(engine.work.abandoned),
        )
        retrying = sum(q.phase is Phase.RETRYING for q in engine.questions.values())
        yield _gauge("penstock_retrying", "Questions between two attempts.", retrying)
        yield _gauge(
            "penstock_gate_shut",
            "1: too many questions failed for good, and an operator has to see to it.",
            engine.failing.gate.shut,
        )
        paused = GaugeMetricFamily(
            "penstock_paused",
            "1: an operator wants nothing of this scope to start; see `penstock resume`.",
            labels=["scope"],
        )
        for scope in engine.board.halts.scopes:
            paused.add_metric([str(scope)], 1)
        yield paused
        yield from self._of_models()
        handed_over = sum(q.until is not None for q in engine.questions.values())
        yield _gauge(
            "penstock_handed_over",
            "Questions that go on here although their partition is another member's.",
            handed_over,
        )
        held = sum(len(partition.held) for partition in engine.partitions.values())
        yield _gauge(
            "penstock_held", "Questions of our partitions that go on in other members.", held
        )
        assigned = len(engine.partitions)
        yield _gauge("penstock_assigned_partitions", "Partitions of ours.", assigned)
        yield _per_partition(
            "penstock_commit_lag",
            "Records between the last commit and the end of the log.",
            self._lag(),
        )
        yield _per_partition(
            "penstock_oldest_unresolved_seconds",
            "Since the record was fetched that holds back the commits; 0: none does.",
            self._oldest(),
        )
        resets = CounterMetricFamily(
            "penstock_log_resets",
            "Times a partition's log had lost what was next: retention, or another log.",
            labels=["cause"],
        )
        for cause in ("retention", "truncated"):
            resets.add_metric([cause], self._resets.get(cause, 0))
        yield resets

    def _of_models(self) -> Iterator[Metric]:
        shut = GaugeMetricFamily(
            "penstock_model_shut",
            "1: the model is not called, for this cause.",
            labels=["model", "cause"],
        )
        limit = GaugeMetricFamily(
            "penstock_model_limit",
            "Calls at once that the model serves without a queue, as far as is known.",
            labels=["model"],
        )
        for name, model in self._engine.models.items():
            for cause in Cause:
                shut.add_metric([name, cause], model.breaker.cause is cause)
            limit.add_metric([name], model.limiter.limit)
        yield shut
        yield limit

    def _oldest(self) -> dict[int, float]:
        now = self._clock.monotonic()
        return {
            number: 0.0 if (oldest := partition.ledger.oldest()) is None else now - oldest.since
            for number, partition in self._engine.partitions.items()
        }


def _per_partition(name: str, documentation: str, values: Mapping[int, float]) -> Metric:
    metric = GaugeMetricFamily(name, documentation, labels=["partition"])
    for partition, value in values.items():
        metric.add_metric([str(partition)], value)
    return metric


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
