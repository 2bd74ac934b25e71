"""Which spans has a question? One from its first start to its completion, one per attempt, and one
for each record that ends it.

Fed from events and commands, as logs and metrics are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.trace import Span

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.facts import RecordId
from penstock.core.failure import Failure
from penstock.events.completion import Completion
from penstock.events.dead_letter import Tried
from penstock.job import Job, Sink
from penstock.kafka.codec import Delivery
from penstock.kafka.once import Position
from penstock.kafka.sink import Target, TokenSender
from penstock.telemetry.tracing import spans
from penstock.telemetry.tracing.exporting import Exporting
from penstock.telemetry.tracing.model_calls import ModelCalls

CANCELLED = "cancelled"
CUT_OFF = "cut_off"
"""Another process answers it."""


@dataclass(slots=True)
class _Open:
    """The spans of a question that have not ended."""

    process: Span
    attempt: Span | None = None


class Traces:
    """Args:
    exporting: of this process.
    group: of the service.
    clock: of the service.
    hide: takes secrets out of a text.
    tells_content: whether what models are asked, and answer, is part of it, and the record's key.
    """

    def __init__(
        self,
        exporting: Exporting,
        group: str,
        clock: Clock,
        hide: Callable[[str], str],
        *,
        tells_content: bool,
    ) -> None:
        self._exporting = exporting
        self._tracer = exporting.tracer
        self._clock = clock
        self._group = group
        self._hide = hide
        self._tells_content = tells_content
        self._open: dict[RecordId, _Open] = {}
        self._taken_over: set[RecordId] = set()
        self._routes: dict[type, Callable[[Any, Job | None], None]] = {
            facts.TakeOver: lambda fact, _: self._taken_over.add(fact.record),
            facts.Start: self._started,
            facts.Finished: lambda fact, job: self._attempt_ended(fact.record, job, None),
            facts.Failed: lambda fact, job: self._attempt_ended(
                fact.record, job, fact.failure.code
            ),
            facts.Cancelled: lambda fact, job: self._attempt_ended(fact.record, job, CANCELLED),
            facts.PublishCompletion: self._concludes,
            facts.PublishDuplicate: self._concludes,
            facts.GiveUp: self._concludes,
            facts.Published: self._published,
            facts.Drop: self._dropped,
        }

    def observe(self, fact: facts.Event | facts.Command, job: Job | None) -> None:
        route = self._routes.get(type(fact))
        if route is not None:
            route(fact, job)

    def of(self, delivery: Delivery) -> Delivery:
        """The same question, with the context of its span."""
        found = self._open.get(delivery.record)
        if found is None or not (trace := spans.headers_of(found.process)):
            return delivery
        return replace(delivery, trace=trace)

    @contextmanager
    def sending(self, delivery: Delivery, target: Target) -> Iterator[tuple[Delivery, Span]]:
        """What is sent in this block carries the context of its span."""
        found = self._open.get(delivery.record)
        span = self._tracer.start_span(
            f"send {target.topic}",
            spans.parent_in(delivery.trace) if found is None else spans.within(found.process),
            spans.PRODUCER,
            spans.sending(target.topic, delivery.raw.partition % target.partitions),
        )
        try:
            yield replace(delivery, trace=spans.headers_of(span) or delivery.trace), span
        except BaseException as error:
            spans.failed(span, type(error).__name__)
            raise
        finally:
            span.end()

    def sink(self, sink: Sink, completions: Target) -> Sink:
        """What is said there carries the context of its span."""
        return _TracedSink(sink, self, completions)

    async def stop(self) -> None:
        """What has not ended is cut off; and all is sent, for a limited time."""
        for record in list(self._open):
            self._dropped_span(record)
        await self._exporting.stop()

    # --- a question -------------------------------------------------------------------------------

    def _started(self, fact: facts.Start, job: Job | None) -> None:
        if job is None:
            return
        found = self._begun(job)
        program, context = job.delivery.program, spans.within(found.process)
        found.attempt = self._tracer.start_span(
            f"invoke_workflow {program}",
            context,
            spans.INTERNAL,
            {
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.agent.name": program,
                "penstock.attempt": fact.attempt,
            },
        )
        job.calls = ModelCalls(
            self._tracer,
            found.attempt,
            self._clock,
            self._hide,
            tells_content=self._tells_content,
        )

    def _attempt_ended(self, record: RecordId, job: Job | None, error: str | None) -> None:
        found = self._open.get(record)
        if found is None or found.attempt is None:
            return
        span, found.attempt = found.attempt, None
        if job is not None and job.report.program is not None and job.report.program.version:
            span.set_attribute("gen_ai.agent.version", job.report.program.version)
        if error is not None:
            spans.failed(span, error)
        span.end()

    def _concludes(self, _: Any, job: Job | None) -> None:
        """A question that has not begun, and never will: it cannot be read, say."""
        if job is not None:
            self._begun(job)

    def _published(self, fact: facts.Published, job: Job | None) -> None:
        found = self._open.pop(fact.record, None)
        if found is None or job is None:
            return
        if found.attempt is not None:
            # A program that does not end; its question has.
            spans.failed(found.attempt, CANCELLED)
            found.attempt.end()
        span = found.process
        span.set_attribute("penstock.status", str(job.status))
        span.set_attribute("penstock.attempts", job.attempts)
        if job.failure is not None:
            spans.failed(span, job.failure.code)
        span.end()

    def _dropped(self, fact: facts.Drop, _: Job | None) -> None:
        self._taken_over.discard(fact.record)
        self._dropped_span(fact.record)

    def _dropped_span(self, record: RecordId) -> None:
        found = self._open.pop(record, None)
        if found is None:
            return
        for span in (found.attempt, found.process):
            if span is not None:
                spans.failed(span, CUT_OFF)
                span.end()

    def _begun(self, job: Job) -> _Open:
        delivery = job.delivery
        found = self._open.get(delivery.record)
        if found is not None:
            return found
        raw = delivery.raw
        attributes = {
            **spans.processing(raw.topic, raw.partition, raw.offset, self._group),
            # It may be a person's.
            **(spans.key_attribute(raw.key) if self._tells_content else {}),
            "penstock.question_id": delivery.question_id,
        }
        if raw.value is None:
            attributes["messaging.kafka.message.tombstone"] = True
        if delivery.program is not None:
            attributes["penstock.program"] = delivery.program
        if delivery.record in self._taken_over:
            self._taken_over.discard(delivery.record)
            attributes["penstock.taken_over"] = True
        again = delivery.replay or delivery.redrive
        if again is None:
            context, links = spans.parent_in(delivery.trace), []
        else:
            # Of then, which has ended, maybe days ago.
            context, links = spans.NOWHERE, spans.link_to(delivery.trace)
            attributes["penstock.replay" if delivery.replay else "penstock.redrive"] = again.id
        span = self._tracer.start_span(
            f"process {raw.topic}", context, spans.CONSUMER, attributes, links
        )
        job.trace_id = spans.trace_id_of(span)
        found = self._open[delivery.record] = _Open(span)
        return found


class _TracedSink:
    def __init__(self, sink: Sink, traces: Traces, completions: Target) -> None:
        self._sink = sink
        self._traces = traces
        self._completions = completions
        self.settled = sink.settled
        self.forget = sink.forget

    @property
    def group_id(self) -> str:
        return self._sink.group_id

    @property
    def dead_letters(self) -> Target:
        return self._sink.dead_letters

    def token_sender(self, delivery: Delivery) -> TokenSender:
        """Its span is there when it has something to say, and not before."""
        sender: TokenSender | None = None

        async def send(value: bytes, sequence: int) -> Any:
            nonlocal sender
            if sender is None:
                sender = self._sink.token_sender(self._traces.of(delivery))
            return await sender(value, sequence)

        return send

    def fits(self, delivery: Delivery, completion: Completion) -> bool:
        return self._sink.fits(self._traces.of(delivery), completion)

    async def completion(self, delivery: Delivery, completion: Completion) -> Position:
        with self._traces.sending(delivery, self._completions) as (traced, span):
            return _found_at(span, await self._sink.completion(traced, completion))

    async def dead_letter(
        self, delivery: Delivery, failure: Failure, attempts: int, tried: Sequence[Tried] = ()
    ) -> Position:
        with self._traces.sending(delivery, self.dead_letters) as (traced, span):
            position = await self._sink.dead_letter(traced, failure, attempts, tried)
            return _found_at(span, position)


def _found_at(span: Span, position: Position) -> Position:
    if position is not None:
        span.set_attribute("messaging.kafka.offset", position)
    return position
