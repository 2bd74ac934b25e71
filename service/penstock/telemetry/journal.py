"""Which log line does an event deserve? One per question, one per change of state."""

import structlog

from penstock.core import facts
from penstock.job import Job

log = structlog.get_logger("penstock")


def observe(fact: facts.Event | facts.Command, job: Job | None) -> None:
    """No text of a question or an answer: ids, numbers and causes."""
    match fact:
        case facts.Published() if job is not None:
            _ended(job)
        case facts.Assigned(_, recovered):
            offsets = {partition: found.done.committed for partition, found in recovered.items()}
            log.info("partitions assigned", offsets=offsets)
        case facts.Revoking(partitions):
            log.info("partitions revoked; running questions finish", partitions=sorted(partitions))
        case facts.Release(partitions, heads):
            offsets = {partition: head.offset for partition, head in heads.items()}
            log.info("partitions released", partitions=sorted(partitions), offsets=offsets)
        case facts.HeldBack(record, seconds, outstanding):
            log.warning(
                "a question holds back the commits of its partition",
                partition=record.partition,
                offset=record.offset,
                question_id=None if job is None else job.delivery.question_id,
                seconds=round(seconds),
                outstanding=outstanding,
            )
        case facts.Pause(partitions):
            log.debug("partitions paused", partitions=sorted(partitions))
        case facts.Resume(partitions):
            log.debug("partitions resumed", partitions=sorted(partitions))
        case facts.Draining():
            log.info("draining: nothing new starts, running questions finish")
        case facts.Stop(failure) if failure is not None:
            log.error("an operator is needed", code=failure.code, reason=failure.message)
        case _:
            pass


def _ended(job: Job) -> None:
    raw, report, failure = job.delivery.raw, job.report, job.failure
    started = job.started_at
    line = {
        "question_id": job.delivery.question_id,
        "status": job.status,
        "program": job.delivery.program,
        "partition": raw.partition,
        "offset": raw.offset,
        "attempts": job.attempts,
    }
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
