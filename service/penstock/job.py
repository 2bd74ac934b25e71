"""One question from its start to its end: the run, what it says, and how it is concluded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from penstock.clock import Clock
from penstock.core.duplicates import Asked
from penstock.core.facts import RecordId, Status, Used
from penstock.core.failure import Failure, Kind
from penstock.errors import KafkaError, PublishError, TooLargeError
from penstock.events import envelope
from penstock.events.completion import Completion, DeadLetterRef, Error, Source, Timing
from penstock.events.dead_letter import Tried
from penstock.events.report import Report, answer_of
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.once import Once, Position
from penstock.kafka.sink import Target, TokenSender
from penstock.kafka.token_tail import Said
from penstock.program.calls import Calls
from penstock.program.classify import not_published
from penstock.program.runner import Runner
from penstock.program.stream import TokenStream

AGAIN_SECONDS = 1.0

SaidUntil = Callable[[Delivery, float], Awaitable[Said | None]]

log = structlog.get_logger("penstock")


class Sink(Protocol):
    """Where it is answered; see `penstock.kafka.sink`."""

    @property
    def group_id(self) -> str: ...
    @property
    def dead_letters(self) -> Target: ...
    def token_sender(self, delivery: Delivery) -> TokenSender: ...
    def fits(self, delivery: Delivery, completion: Completion) -> bool: ...
    async def completion(self, delivery: Delivery, completion: Completion) -> Position: ...
    async def dead_letter(
        self, delivery: Delivery, failure: Failure, attempts: int, tried: Sequence[Tried] = ()
    ) -> Position: ...
    async def settled(self) -> None: ...
    def forget(self, record: RecordId) -> None: ...


class Lookup(Protocol):
    """What may or may not have arrived; see `penstock.kafka.lookup`."""

    async def completion(self, question: Raw, since: float) -> Position: ...
    async def dead_letter(self, question: Raw, since: float) -> Position: ...


class Job:
    """Knows the payload, so that the loop and the core need not.

    Args:
        delivery: the question.
        runner: of its program.
        sink: where it is answered.
        lookup: for what may or may not have arrived.
        clock: of the service.
        interval: seconds from one of its token records to the next at least, asked for at each.
        answering: is called with the first words of every attempt.
        before: what a run of it had said that a crash has cut off.
        said_until: what another process had said of it that does so no more since this moment, in
            monotonic seconds.
        tells_partly: whether the completion of an expired question holds what was streamed.
    """

    def __init__(
        self,
        delivery: Delivery,
        runner: Runner,
        sink: Sink,
        lookup: Lookup,
        clock: Clock,
        interval: Callable[[], float],
        answering: Callable[[], None],
        before: Said | None,
        said_until: SaidUntil,
        *,
        tells_partly: bool = False,
    ) -> None:
        self.delivery = delivery
        self.report = Report(answering=answering)
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.attempts = 0
        self.status: Status | None = None
        self.failure: Failure | None = None
        self.queued = 0.0
        """Seconds from when it was asked to its first start."""
        self.trace_id: str | None = None
        """Of the trace that is recorded of it: 32 hexadecimal digits; None: none is."""
        self.calls: Calls | None = None
        """Who is told of the model calls of its attempt; None: nobody."""
        self.stream = TokenStream(
            delivery.question_id,
            sink.token_sender(delivery),
            interval,
            0 if before is None else before.sequence + 1,
        )
        self._attempts_before = 0 if before is None else before.attempt
        self.stream.attempt = self._attempts_before
        self._said_until = said_until
        self._taken_over: float | None = None
        """Since when; until it is known what was said before."""
        self._runner = runner
        self._sink = sink
        self._completed, self._dead_lettered = (
            Once(partial(find, delivery.raw), sink.settled, clock.wall)
            for find in (lookup.completion, lookup.dead_letter)
        )
        self._clock = clock
        self._restarts = before is not None
        self._tells_partly = tells_partly
        self._tried: list[Tried] = []
        self._used_before = Used(0, 0)
        self._kept: bool | None = None
        """Whether the dead letter is in its topic, as soon as that is known."""
        self._token_stream_ended = False

    @property
    def dead_lettered(self) -> bool:
        """Whether it is in its topic."""
        return bool(self._kept)

    async def run(self, attempt: int) -> Failure | None:
        """None when the program answered. Cancelling it closes the connection to the model."""
        if self.started_at is None:
            self.started_at = self._clock.monotonic()
            self.queued = self._waited()
        self.attempts = attempt
        self._used_before = self._used_so_far()
        try:
            failure = await self._attempt(attempt)
        except KafkaError as error:
            failure = not_published(error)
        finally:
            self.ended_at = self._clock.monotonic()
        if failure is not None:
            at = envelope.rfc3339(self._clock.wall())
            self._tried.append(Tried(attempt, failure.kind, failure.code, failure.message, at))
        return failure

    @property
    def used(self) -> Used:
        """By the last attempt, of the model."""
        now, before = self._used_so_far(), self._used_before
        return Used(max(1, now.requests - before.requests), now.tokens - before.tokens)

    def _used_so_far(self) -> Used:
        return Used(self.report.requests, self.report.usage.total_tokens)

    async def _attempt(self, attempt: int) -> Failure | None:
        if not self.delivery.streams:
            return await self._run_program(None)
        await self._find_what_was_said()
        self.stream.begin(self._attempts_before + attempt)
        await self._go_on_from_before()
        if attempt > 1 and self.stream.said_something:
            await self.stream.restart(self._why_again(attempt - 1))
        return await self._run_program(self.stream)

    def _why_again(self, before: int) -> str:
        """A program that cancels itself, or panics, has ended without a failure of ours."""
        if self._tried and (last := self._tried[-1]).attempt == before:
            return f"attempt {before} failed: {last.code}"
        return f"attempt {before} ended without an answer"

    async def conclude(
        self,
        status: Status,
        failure: Failure | None = None,
        *,
        dead_letter: bool = False,
        first: Asked | None = None,
    ) -> int | None:
        """Dead letter, `end` and completion; when all are acknowledged, its position, if known.

        Raises:
            KafkaError: call it again; what was acknowledged is not sent twice.
        """
        self.report.catch_up()
        if status == "completed" and self._too_large():
            status, dead_letter = "failed", True
            failure = Failure(
                Kind.ANSWER, "answer_too_large", "the answer is too large for its topic"
            )
        self.status, self.failure = status, failure
        if dead_letter and failure is not None and self._kept is None:
            self._kept = await self._dead_letter(failure)
        # A duplicate has nothing to say: what its id says is said by the first.
        if self.delivery.streams and first is None and not self._token_stream_ended:
            # Whoever reads the completion finds all tokens there.
            await self._end_token_stream(status)
            self._token_stream_ended = True
        completion = self._completion(status, failure, dead_letter=bool(self._kept), first=first)
        if not self._sink.fits(self.delivery, completion):
            completion = completion.model_copy(update={"metadata": None})
        return await self._completed.send(partial(self._sink.completion, self.delivery, completion))

    def take_over(self, since: float) -> None:
        """From a process that does not run it any more since then, in monotonic seconds."""
        self._taken_over = since

    async def _find_what_was_said(self) -> None:
        while self._taken_over is not None:
            try:
                before = await self._said_until(self.delivery, self._taken_over)
            except Exception as error:  # noqa: BLE001 - not to know is not to have nothing
                log.warning("what was said of a question cannot be read yet", error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self._taken_over = None
            self._restarts = before is not None
            if before is not None:
                self._attempts_before = before.attempt
                self.stream.goes_on(before.sequence + 1, before.attempt)

    async def _go_on_from_before(self) -> None:
        """Before anything else is said, if it is only the end."""
        if self._restarts:
            await self.stream.restart("the process that said this has ended")
            self._restarts = False

    async def _end_token_stream(self, status: Status) -> None:
        await self._find_what_was_said()
        await self._go_on_from_before()
        acknowledged = await self.stream.end(status)
        try:
            await acknowledged
        except Exception as error:
            raise PublishError(f"the end of the token stream: {error}") from error

    async def _dead_letter(self, failure: Failure) -> bool:
        """Whether its topic has it."""
        try:
            send = partial(
                self._sink.dead_letter, self.delivery, failure, self.attempts, self._tried
            )
            await self._dead_lettered.send(send)
        except TooLargeError:
            # Compressed it fitted the questions topic. Trying again is useless; it stays there.
            log.exception(
                "a dead letter does not fit its topic; the record stays where it is",
                question_id=self.delivery.question_id,
                record=self.delivery.record,
            )
            return False
        return True

    async def _run_program(self, stream: TokenStream | None) -> Failure | None:
        question, program = self.delivery.question, self.delivery.program
        assert question is not None, "undecodable records do not run"
        assert program is not None, "a decoded question has a program"
        return await self._runner.run(program, question.fields, self.report, stream, self.calls)

    def drop(self, *, cut_off: bool) -> None:
        """Another process answers this question."""
        if cut_off:
            record = self.delivery.record
            log.warning(
                "a question was cut off; it is asked again by who has its partition next",
                question_id=self.delivery.question_id,
                partition=record.partition,
                offset=record.offset,
            )
        self.stream.drop()
        self._sink.forget(self.delivery.record)

    def _too_large(self) -> bool:
        return not self._sink.fits(
            self.delivery, self._completion("completed", None, dead_letter=False, first=None)
        )

    def _completion(
        self,
        status: Status,
        failure: Failure | None,
        *,
        dead_letter: bool,
        first: Asked | None,
    ) -> Completion:
        raw, report = self.delivery.raw, self.report
        source = Source(
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            timestamp=raw.timestamp_ms,
            group=self._sink.group_id,
        )
        answered = status == "completed"
        partial = status == "expired" and self._tells_partly and bool(report.said)
        outputs = report.outputs if answered else report.said if partial else None
        question = self.delivery.question
        return Completion(
            question_id=self.delivery.question_id,
            status=status,
            answer=report.answer if answered else answer_of(outputs or {}),
            outputs=outputs,
            partial=partial,
            error=failure and Error(kind=failure.kind, code=failure.code, message=failure.message),
            program=report.program,
            model=report.model,
            usage=report.usage,
            attempts=self.attempts,
            timing=self._timing(),
            last_sequence=self.stream.last_sequence,
            source=source,
            duplicate_of=first
            and source.model_copy(update={"offset": first.offset, "timestamp": first.timestamp}),
            dead_letter=DeadLetterRef(topic=self._sink.dead_letters.topic) if dead_letter else None,
            replay=self.delivery.replay,
            redrive=self.delivery.redrive,
            metadata=question and question.metadata,
        )

    def _waited(self) -> float:
        """Seconds since it was asked."""
        return max(0.0, self._clock.wall() - self.delivery.asked_at / 1000)

    def _timing(self) -> Timing:
        if self.started_at is None:
            return Timing(queued_ms=_milliseconds(self._waited()))
        first = self.report.first_token_at
        # A program that does not end goes on; its question is over.
        ended = self._clock.monotonic() if self.ended_at is None else self.ended_at
        return Timing(
            queued_ms=_milliseconds(self.queued),
            first_token_ms=None if first is None else _milliseconds(first - self.started_at),
            duration_ms=_milliseconds(ended - self.started_at),
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
