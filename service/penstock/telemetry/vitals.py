"""What does this process report of itself? Looked at from outside, whenever a report is due."""

import os
import socket
from collections.abc import Callable, Mapping

from penstock import __version__
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.facts import Reading, RecordId
from penstock.core.question import Phase
from penstock.events import member
from penstock.events.envelope import rfc3339
from penstock.events.sums import Standing
from penstock.job import Job
from penstock.telemetry.tally import Tally

NEWS = (
    facts.Assigned,
    facts.Draining,
    facts.GateShut,
    facts.GateOpened,
    facts.ModelShut,
    facts.ModelOpened,
)
"""What an operator need not wait for the next report to see."""

MESSAGE_CHARACTERS = 200
"""Of what shut the gate: a report stays small, whatever a model's error page says."""

_SAID_AS_WELL = Standing.model_fields.keys() & member.Member.model_fields.keys() - {"questions"}

_HAS_A_SLOT = {Phase.RUNNING, Phase.CANCELLING}


class Vitals:
    """Args:
    group: of the service.
    engine: who decides.
    jobs: the questions that it has.
    member_id: as the group knows us now.
    clock: of the service.
    programs: that it serves.
    default_program: that answers whoever names none.
    """

    def __init__(
        self,
        group: str,
        engine: Engine,
        jobs: Mapping[RecordId, Job],
        member_id: Callable[[], str],
        clock: Clock,
        programs: Mapping[str, member.Served],
        default_program: str,
    ) -> None:
        self._group = group
        self._engine = engine
        self._jobs = jobs
        self._member_id = member_id
        self._clock = clock
        self._programs = dict(programs)
        self._default_program = default_program
        self._tally = Tally(engine)
        self.observe = self._tally.observe
        """For what passes through the loop."""
        self._started_at = rfc3339(clock.wall())
        self._began = clock.monotonic()

    def __call__(self) -> member.Member:
        """As of now."""
        engine = self._engine
        phases = [question.phase for question in engine.questions.values()]
        return member.Member(
            group=self._group,
            member_id=self._member_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            partitions=sorted(engine.partitions),
            paused=sorted(engine.intake.paused),
            slots=engine.policy.slots,
            in_flight=engine.admission.in_flight,
            waiting=phases.count(Phase.WAITING),
            retrying=phases.count(Phase.RETRYING),
            held=sum(len(partition.held) for partition in engine.partitions.values()),
            oldest_running=self._oldest(),
            models={
                name: member.Model(shut=model.breaker.cause, limit=model.limiter.limit)
                for name, model in engine.models.items()
            },
            programs=self._programs,
            default_program=self._default_program,
            gate_shut=engine.failing.gate.shut,
            gate_cause=self._cause(),
            draining=engine.release.stopping,
            questions=self._tally.sums(),
        )

    def standing(self, readings: Mapping[int, Reading]) -> Standing:
        """As of now. `readings`: of its partitions, how far they are read."""
        said = self()
        return Standing(
            **said.model_dump(include=_SAID_AS_WELL),
            uptime_seconds=round(self._clock.monotonic() - self._began, 1),
            backlog=sum(self._engine.backlog(readings).values()),
            questions=self._tally.sums(),
        )

    def _cause(self) -> member.Cause | None:
        failure = self._engine.failing.gate.cause
        if failure is None:
            return None
        message = failure.message[:MESSAGE_CHARACTERS]
        return member.Cause(kind=failure.kind, code=failure.code, message=message)

    def _oldest(self) -> member.Running | None:
        running = [
            (job.started_at, record, job.delivery.question_id)
            for record, question in self._engine.questions.items()
            if question.phase in _HAS_A_SLOT
            and (job := self._jobs.get(record)) is not None
            and job.started_at is not None
        ]
        if not running:
            return None
        since, record, question_id = min(running)
        return member.Running(
            question_id=question_id,
            partition=record.partition,
            offset=record.offset,
            seconds=round(self._clock.monotonic() - since, 1),
        )
