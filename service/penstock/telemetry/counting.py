"""What is counted as it happens? Fed from events and commands, never from inside the core."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from prometheus_client import Counter

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.facts import Status
from penstock.core.failure import CODES, CONSEQUENCES, Failure, Kind
from penstock.job import Job
from penstock.telemetry import metrics
from penstock.telemetry.series import counter, histogram, of_this_process

NONE = "none"
"""The program of a question that names none that is served here."""

OTHER = "other"
"""A code that nobody knows of."""

_COUNTED = (metrics.ENDED, metrics.TOKENS, metrics.MERGED, metrics.SINK_WAIT, metrics.USAGE)
_TIMED = (metrics.QUEUED, metrics.FIRST_TOKEN, metrics.A_TOKEN, metrics.DURATION)
"""By program."""

_NEVER_DEAD_LETTERED = {Kind.OPERATOR, Kind.CANCELLED}


class Counts:
    """Watches what passes through the loop.

    Every series that can be known is there from the start, at 0: whoever asks for its rate would
    miss the first count otherwise.

    Args:
        programs: that are served, by name.
        writer: the random name of this process.
        clock: of the service.
    """

    def __init__(self, programs: Iterable[str], writer: str, clock: Clock) -> None:
        self.registry = registry = of_this_process()
        """All that is served: what else is, is registered there."""
        self._writer = writer
        self._clock = clock
        self._revoked_at: float | None = None
        self._named: dict[int, int] = {}
        """How many runs the last commit of a partition names, which is on its way."""
        self._left: dict[int, int] = {}
        """The same of partitions that may come back."""
        self._received = counter(metrics.RECEIVED, registry)
        self._recovered = counter(metrics.RECOVERED, registry)
        self._handed_over = counter(metrics.HANDED_OVER_TOTAL, registry)
        self._taken_over = counter(metrics.TAKEN_OVER, registry)
        self._cut_off = counter(metrics.CUT_OFF, registry)
        self._attempts = counter(metrics.ATTEMPTS, registry)
        self._rebalance = histogram(metrics.REBALANCE, registry)
        self._loop_lag = histogram(metrics.LOOP_LAG, registry)
        self._attempts_failed = counter(metrics.ATTEMPTS_FAILED, registry)
        self._dead_letters = counter(metrics.DEAD_LETTERS, registry)
        for kind in Kind:
            for code in CODES[kind]:
                if CONSEQUENCES[kind].retried:
                    self._attempts_failed.labels(kind, code)
                if kind not in _NEVER_DEAD_LETTERED:
                    self._dead_letters.labels(kind, code)
        families: dict[metrics.Family, Any] = {
            **{family: counter(family, registry) for family in _COUNTED},
            **{family: histogram(family, registry) for family in _TIMED},
        }
        self._programs = {name: _OfProgram(families, name) for name in (*programs, NONE)}
        self._routes: dict[type, Callable[[Any, Job | None], None]] = {
            facts.Fetched: lambda _, __: self._received.inc(),
            facts.AlreadyDone: lambda _, __: self._recovered.inc(),
            facts.TakeOver: lambda _, __: self._taken_over.inc(),
            facts.Start: lambda _, __: self._attempts.inc(),
            facts.RetryAt: lambda fact, _: _count(self._attempts_failed, fact.failure),
            facts.Published: self._published,
            facts.Drop: self._dropped,
            facts.Release: self._releasing,
            facts.Released: self._released,
            facts.Given: self._given,
            facts.Depart: self._departed,
            facts.Revoking: self._revoking,
            facts.Assigned: self._assigned,
        }

    def observe(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        route = self._routes.get(type(fact))
        if route is not None:
            route(fact, job)

    def late(self, seconds: float) -> None:
        """The event loop was."""
        self._loop_lag.observe(seconds)

    # --- questions ----------------------------------------------------------------------------

    def _published(self, _: facts.Published, job: Job | None) -> None:
        if job is None or job.status is None:
            return
        program = self._program(job)
        program.ended[job.status].inc()
        if job.dead_lettered and job.failure is not None:
            _count(self._dead_letters, job.failure)
        if job.started_at is not None:
            program.spent(job)
            program.took(job)

    def _dropped(self, fact: facts.Drop, job: Job | None) -> None:
        if fact.cut_off:
            self._cut_off.inc()
        if job is not None and job.started_at is not None:
            # It has no end here, and is paid for all the same.
            job.report.catch_up()
            self._program(job).spent(job)

    def _program(self, job: Job) -> "_OfProgram":
        # A name nobody serves would make a label of whatever a producer writes.
        return self._programs.get(job.delivery.program or NONE, self._programs[NONE])

    # --- partitions ---------------------------------------------------------------------------

    def _releasing(self, fact: facts.Release, _: Job | None) -> None:
        now = self._clock.monotonic()
        for number, head in fact.heads.items():
            # What has ended and is only looked up stands there, too, with no time left.
            ours = [run for run in head.runs if run.runner == self._writer and run.until > now]
            self._named[number] = len(ours)

    def _released(self, fact: facts.Released, _: Job | None) -> None:
        for number in fact.partitions:
            named = self._named.pop(number, 0)
            if fact.committed:
                self._left[number] = named

    def _given(self, fact: facts.Given, _: Job | None) -> None:
        gone = self._left.keys() - fact.partitions
        self._handed_over.inc(sum(self._left[number] for number in gone))
        self._left.clear()
        if not fact.partitions:
            self._revoked_at = None

    def _departed(self, _: facts.Depart, __: Job | None) -> None:
        self._handed_over.inc(sum(self._left.values()))
        self._left.clear()

    def _revoking(self, _: facts.Revoking, __: Job | None) -> None:
        if self._revoked_at is None:
            self._revoked_at = self._clock.monotonic()

    def _assigned(self, _: facts.Assigned, __: Job | None) -> None:
        since, self._revoked_at = self._revoked_at, None
        if since is not None:
            self._rebalance.observe(self._clock.monotonic() - since)


class _OfProgram:
    """The series of one program, each looked up once."""

    def __init__(self, families: Mapping[metrics.Family, Any], name: str) -> None:
        self.ended = {
            status: families[metrics.ENDED].labels(name, status) for status in get_args(Status)
        }
        self._prompt, self._completion = (
            families[metrics.USAGE].labels(name, type_) for type_ in ("prompt", "completion")
        )
        self._tokens = families[metrics.TOKENS].labels(name)
        self._merged = families[metrics.MERGED].labels(name)
        self._sink_wait = families[metrics.SINK_WAIT].labels(name)
        self._queued = families[metrics.QUEUED].labels(name)
        self._first_token = families[metrics.FIRST_TOKEN].labels(name)
        self._a_token = families[metrics.A_TOKEN].labels(name)
        self._duration = families[metrics.DURATION].labels(name)

    def spent(self, job: Job) -> None:
        """Over all its attempts, those that failed as well."""
        stream, usage = job.stream, job.report.usage
        self._tokens.inc(stream.tokens)
        self._merged.inc(stream.merged)
        self._sink_wait.inc(stream.waited)
        self._prompt.inc(usage.prompt_tokens)
        self._completion.inc(usage.completion_tokens)

    def took(self, job: Job) -> None:
        """Until its end."""
        exemplar = None if job.trace_id is None else {"trace_id": job.trace_id}
        assert job.started_at is not None, "what took no time has not started"
        self._queued.observe(job.queued, exemplar)
        first, ended = job.report.first_token_at, job.ended_at
        if ended is not None:
            self._duration.observe(ended - job.started_at, exemplar)
        if first is None:
            return
        self._first_token.observe(first - job.started_at, exemplar)
        more = job.stream.tokens - 1
        # Of several attempts, the time between them would count; of one cut off, its silence.
        if job.status == "completed" and job.attempts == 1 and more > 0 and ended is not None:
            self._a_token.observe((ended - first) / more, exemplar)


def _count(family: Counter, failure: Failure) -> None:
    """By its code, if that is one of ours: whatever a program raises makes no label."""
    known = failure.code in CODES[failure.kind]
    family.labels(failure.kind, failure.code if known else OTHER).inc()
