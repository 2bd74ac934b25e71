"""Which log line does an event deserve? One per question, one per change of state."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import structlog

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.facts import Head
from penstock.core.failure import CONSEQUENCES
from penstock.core.handover import Run
from penstock.events.envelope import Headers, rfc3339, text_header
from penstock.events.trace_context import trace_id
from penstock.job import Job

log = structlog.get_logger("penstock")

_CORRELATIONS = ("ce_correlationid", "kafka_correlationId")
"""Headers by which who asks finds his question again; the first that is there counts."""

CORRELATION_CHARACTERS = 128
"""Of one at most, in a line."""

_TO_DO = {
    "model_auth": "set the right API_KEY of this model",
    "model_unpaid": "pay its provider, or set another API_KEY of this model",
    "unknown_model": "set NAME and API_BASE of this model to what its provider has",
    "model_configuration": "see to the settings of this model",
    "too_many_dead_letters": "see to what the reason names",
}
"""By the code of what has stopped the service."""

_GATE_SHUT = {
    "pause": "too many questions fail for good: nothing starts any more; see to the cause, then "
    "`penstock resume` asks them again",
    "exit": "too many questions fail for good: nothing starts any more",
}


class Journal:
    """No text of a question or an answer: ids, numbers and causes."""

    def __init__(self, writer: str, clock: Clock, gate: Literal["pause", "exit"] = "pause") -> None:
        self._writer = writer
        self._clock = clock
        self._gate = gate
        self._draining = False
        self._since: Counter[str] = Counter()
        """What became of the questions since we were asked to stop."""
        self._refused_by: str | None = None
        """The first model that an operator has to see to."""
        self._reasons: dict[str, str] = {}
        """Why a model has failed last."""

    def observe(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        self._of_a_question(fact, job)
        self._of_partitions(fact)
        self._of_models(fact, job)
        self._of_the_process(fact)

    def _of_a_question(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        match fact:
            case facts.Published() if job is not None:
                self._since["finished"] += 1
                _ended(job)
            case facts.Drop(_, cut_off) if cut_off:
                self._since["cut_off"] += 1
            case facts.RetryAt(record, failure, at):
                log.info(
                    "an attempt failed; there will be another",
                    partition=record.partition,
                    offset=record.offset,
                    **_who(job),
                    attempts=None if job is None else job.attempts,
                    kind=failure.kind,
                    code=failure.code,
                    reason=failure.message,
                    seconds=max(0.0, round(at - self._clock.monotonic(), 1)),
                )
            case facts.KeptBack(record, failure):
                log.info(
                    "a question has failed for good and is kept",
                    partition=record.partition,
                    offset=record.offset,
                    **_who(job),
                    kind=failure.kind,
                    code=failure.code,
                )
            case facts.TakeOver(record):
                log.info(
                    "a question starts again: its process has not ended it in time",
                    partition=record.partition,
                    offset=record.offset,
                    **_who(job),
                )
            case facts.HeldBack(record, seconds, outstanding, elsewhere):
                log.warning(
                    "a question holds back the commits of its partition",
                    partition=record.partition,
                    offset=record.offset,
                    **_who(job),
                    seconds=round(seconds),
                    outstanding=outstanding,
                    running_elsewhere=elsewhere,
                )

    def _of_partitions(self, fact: facts.Event | facts.Command) -> None:
        match fact:
            case facts.Assigned(_, recovered):
                offsets = {number: found.done.committed for number, found in recovered.items()}
                runs = [run for found in recovered.values() for run in found.runs]
                log.info("partitions assigned", offsets=offsets, **self._running_elsewhere(runs))
            case facts.Revoking(partitions):
                log.info("partitions revoked", partitions=sorted(partitions))
            case facts.Release(partitions, heads):
                self._released(partitions, heads)
            case facts.Released(partitions, committed) if not committed:
                numbers = sorted(partitions)
                log.warning("whether the last commit is there is not known", partitions=numbers)
            case facts.Pause(partitions):
                log.debug("partitions paused", partitions=sorted(partitions))
            case facts.Resume(partitions):
                log.debug("partitions resumed", partitions=sorted(partitions))

    def _of_models(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        match fact:
            case facts.Failed(_, failure) if job:
                consequence = CONSEQUENCES[failure.kind]
                if consequence.stops_service:
                    self._refused_by = self._refused_by or job.report.model
                if consequence.counts_against_breaker:
                    self._reasons[job.delivery.model] = failure.message
            case facts.ModelShut(model, cause):
                log.warning(
                    "a model is not called until it is back",
                    model=model,
                    cause=cause,
                    reason=self._reasons.pop(model, None),
                )
            case facts.ModelOpened(model):
                log.warning("a model is back", model=model)
            case facts.GateShut(failure):
                # Where it exits, what is an error is said when it does.
                tell = log.error if self._gate == "pause" else log.warning
                tell(
                    _GATE_SHUT[self._gate],
                    kind=failure.kind,
                    code=failure.code,
                    reason=failure.message,
                )
            case facts.GateOpened():
                log.warning("an operator lets questions start again")
            case facts.Halted(scope, reason):
                log.warning(
                    "paused by an operator: nothing new starts of this scope, what runs finishes",
                    scope=str(scope),
                    reason=reason,
                )
            case facts.HaltLifted(scope):
                log.warning("an operator has taken back a pause", scope=str(scope))

    def _of_the_process(self, fact: facts.Event | facts.Command) -> None:
        match fact:
            case facts.Draining(until, alone):
                self._draining = True
                self._since.clear()
                log.info(
                    "draining: nothing new starts, running questions finish",
                    at_most_seconds=round(until - self._clock.monotonic(), 1),
                    other_members=not alone,
                )
            case facts.Stop(failure) if failure is not None:
                log.error(
                    "an operator is needed; then a start goes on where this one stopped",
                    code=failure.code,
                    reason=failure.message,
                    model=self._refused_by,
                    to_do=_TO_DO.get(failure.code),
                )
            case facts.Stop():
                finished, cut_off = self._since["finished"], self._since["cut_off"]
                log.info("stopped", finished=finished, cut_off=cut_off)

    def _running_elsewhere(self, runs: Sequence[Run]) -> dict[str, Any]:
        """What waits for another process, and how long if that does not end it."""
        untils = [run.until for run in runs if run.runner != self._writer]
        if not untils:
            return {}
        last = self._clock.wall() + max(untils) - self._clock.monotonic()
        return {"running_elsewhere": len(untils), "until": rfc3339(last)}

    def _released(self, partitions: frozenset[int], heads: Mapping[int, Head]) -> None:
        offsets = {number: head.offset for number, head in heads.items()}
        log.info("partitions released", partitions=sorted(partitions), offsets=offsets)
        ours = [run for h in heads.values() for run in h.runs if run.runner == self._writer]
        if ours:
            last = max(run.until for run in ours) - self._clock.monotonic()
            log.info(
                "running questions are handed over: they go on here, and nobody starts them again"
                " before",
                questions=len(ours),
                until=rfc3339(self._clock.wall() + last),
                seconds=round(last, 1),
                leaving_the_group=self._draining,
            )


def _who(job: Job | None) -> dict[str, str | None]:
    if job is None:
        return {}
    delivery = job.delivery
    return {"question_id": delivery.question_id, "program": delivery.program, **_trace(job)}


def _trace(job: Job) -> dict[str, str]:
    """Of ours, or of whoever asked, where there is one."""
    found = job.trace_id or trace_id(job.delivery.trace)
    return {} if found is None else {"trace_id": found}


def _ended(job: Job) -> None:
    raw, report, failure = job.delivery.raw, job.report, job.failure
    started = job.started_at
    line = {
        "question_id": job.delivery.question_id,
        "status": job.status,
        "program": job.delivery.program,
        "topic": raw.topic,
        "partition": raw.partition,
        "offset": raw.offset,
        "attempts": job.attempts,
        **_trace(job),
    }
    if (correlation := _correlation(raw.headers)) is not None:
        line["correlation_id"] = correlation
    if started is not None and job.ended_at is not None:
        line["duration_ms"] = round((job.ended_at - started) * 1000)
    if started is not None and report.first_token_at is not None:
        line["first_token_ms"] = round((report.first_token_at - started) * 1000)
    if failure is None:
        log.info("question ended", **line)
    else:
        log.warning(
            "question ended", **line, kind=failure.kind, code=failure.code, reason=failure.message
        )


def _correlation(headers: Headers) -> str | None:
    """By what its asker knows it; the key says it, too, but may be a person's."""
    for name in _CORRELATIONS:
        said = text_header(headers, name)
        if said is not None and said.isprintable():
            return said[:CORRELATION_CHARACTERS]
    return None
