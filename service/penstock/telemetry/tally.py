"""How many questions have ended here, how, and how fast? The simple sums since the start."""

from collections import Counter

from penstock.core import facts
from penstock.core.engine import Engine
from penstock.events.sums import Sums
from penstock.job import Job


class Tally:
    """Watches the events that pass through the loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ended: Counter[str] = Counter()
        self._ran, self._ran_seconds = 0, 0.0
        self._spoke, self._spoke_seconds = 0, 0.0

    def observe(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        if not isinstance(fact, facts.Published) or job is None or job.status is None:
            return
        self._ended[job.status] += 1
        if job.started_at is None:
            return
        if job.ended_at is not None:
            self._ran += 1
            self._ran_seconds += job.ended_at - job.started_at
        if job.report.first_token_at is not None:
            self._spoke += 1
            self._spoke_seconds += job.report.first_token_at - job.started_at

    def sums(self) -> Sums:
        """As of now."""
        return Sums(
            **self._ended,
            total=self._ended.total() + len(self._engine.questions),
            active=self._engine.admission.in_flight,
            ran=self._ran,
            ran_ms=round(self._ran_seconds * 1000, 1),
            spoke=self._spoke,
            spoke_ms=round(self._spoke_seconds * 1000, 1),
        )
