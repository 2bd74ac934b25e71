"""One question from its start to its end: the run, what it says, and how it is concluded."""

import structlog

from penstock.clock import Clock
from penstock.core.facts import Status
from penstock.core.failure import Failure, Kind
from penstock.errors import PublishError, TooLargeError
from penstock.events.completion import Completion, DeadLetterRef, Error, Source, Timing
from penstock.events.report import Report
from penstock.kafka.codec import Delivery
from penstock.kafka.sink import KafkaSink
from penstock.program.runner import Runner
from penstock.program.stream import TokenStream

log = structlog.get_logger("penstock")


class Job:
    """Knows the payload, so that the loop and the core need not."""

    def __init__(
        self,
        delivery: Delivery,
        runner: Runner,
        sink: KafkaSink,
        clock: Clock,
        min_interval: float,
    ) -> None:
        self.delivery = delivery
        self.report = Report()
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.attempts = 0
        self.status: Status | None = None
        self.failure: Failure | None = None
        self.stream = TokenStream(delivery.question_id, sink.token_sender(delivery), min_interval)
        self._runner = runner
        self._sink = sink
        self._clock = clock
        self._queued = 0.0
        self._dead_lettered = False
        self._kept = False
        """Whether the dead letter is in its topic."""
        self._token_stream_ended = False

    async def run(self, attempt: int) -> Failure | None:
        """None when the program answered. Cancelling it closes the connection to the model."""
        if self.started_at is None:
            self.started_at = self._clock.monotonic()
            self._queued = self._waited()
        self.attempts = self.stream.attempt = attempt
        stream = self.stream if self.delivery.streams else None
        try:
            return await self._run_program(stream)
        finally:
            self.ended_at = self._clock.monotonic()

    async def conclude(self, status: Status, failure: Failure | None, *, dead_letter: bool) -> None:
        """Dead letter, `end` and completion; returns when all are acknowledged.

        Raises:
            KafkaError: call it again; what was acknowledged is not sent twice.
        """
        if status == "completed" and self._too_large():
            status, dead_letter = "failed", True
            failure = Failure(
                Kind.ANSWER, "answer_too_large", "the answer is too large for its topic"
            )
        self.status, self.failure = status, failure
        if dead_letter and failure is not None and not self._dead_lettered:
            await self._dead_letter(failure)
            self._dead_lettered = True
        if self.delivery.streams and not self._token_stream_ended:
            # Whoever reads the completion finds all tokens there.
            await self._end_token_stream(status)
            self._token_stream_ended = True
        completion = self._completion(status, failure, dead_letter=self._kept)
        if not self._sink.fits(self.delivery, completion):
            completion = completion.model_copy(update={"metadata": None})
        await self._sink.completion(self.delivery, completion)

    async def _end_token_stream(self, status: Status) -> None:
        acknowledged = await self.stream.end(status)
        try:
            await acknowledged
        except Exception as error:
            raise PublishError(f"the end of the token stream: {error}") from error

    async def _dead_letter(self, failure: Failure) -> None:
        try:
            await self._sink.dead_letter(self.delivery, failure, self.attempts)
            self._kept = True
        except TooLargeError:
            # Compressed it fitted the questions topic. Trying again is useless; it stays there.
            log.exception(
                "a dead letter does not fit its topic; the record stays where it is",
                question_id=self.delivery.question_id,
                record=self.delivery.record,
            )

    async def _run_program(self, stream: TokenStream | None) -> Failure | None:
        question, program = self.delivery.question, self.delivery.program
        assert question is not None, "undecodable records do not run"
        assert program is not None, "a decoded question has a program"
        return await self._runner.run(program, question.fields, self.report, stream)

    def drop(self) -> None:
        """Another process will answer this question."""
        self.stream.drop()

    def _too_large(self) -> bool:
        return not self._sink.fits(
            self.delivery, self._completion("completed", None, dead_letter=False)
        )

    def _completion(
        self, status: Status, failure: Failure | None, *, dead_letter: bool
    ) -> Completion:
        raw, report = self.delivery.raw, self.report
        answered = status == "completed"
        question = self.delivery.question
        return Completion(
            question_id=self.delivery.question_id,
            status=status,
            answer=report.answer if answered else None,
            outputs=report.outputs if answered else None,
            error=failure and Error(kind=failure.kind, code=failure.code, message=failure.message),
            program=report.program,
            model=report.model,
            usage=report.usage,
            attempts=self.attempts,
            timing=self._timing(),
            last_sequence=self.stream.last_sequence,
            source=Source(
                topic=raw.topic,
                partition=raw.partition,
                offset=raw.offset,
                timestamp=raw.timestamp_ms,
                group=self._sink.group_id,
            ),
            dead_letter=DeadLetterRef(topic=self._sink.dead_letters.topic) if dead_letter else None,
            metadata=question and question.metadata,
        )

    def _waited(self) -> float:
        """Seconds since the record's timestamp, which a producer may leave out or set ahead."""
        asked_at = self.delivery.raw.timestamp_ms / 1000
        return max(0.0, self._clock.wall() - asked_at) if asked_at >= 0 else 0.0

    def _timing(self) -> Timing:
        if self.started_at is None:
            return Timing(queued_ms=_milliseconds(self._waited()))
        first = self.report.first_token_at
        ended = self.started_at if self.ended_at is None else self.ended_at
        return Timing(
            queued_ms=_milliseconds(self._queued),
            first_token_ms=None if first is None else _milliseconds(first - self.started_at),
            duration_ms=_milliseconds(ended - self.started_at),
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
