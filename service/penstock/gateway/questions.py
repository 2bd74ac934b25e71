"""Ask, find, follow and cancel questions: what every door of the gateway does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.partitioner import murmur2

from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.events import envelope
from penstock.events.control import CANCEL, Cancel
from penstock.events.question import Question
from penstock.gateway.backlog import Backlog
from penstock.gateway.caller import Caller
from penstock.gateway.fan_out import FINGERPRINT, FanOut
from penstock.gateway.following import Seen, follow
from penstock.gateway.index import Entry, Index, Place
from penstock.gateway.problem import ProblemError, away
from penstock.gateway.requests import is_about
from penstock.gateway.stream import Said, Stream
from penstock.gateway.tried import Tried
from penstock.gateway.written import written
from penstock.kafka.codec import Codec
from penstock.kafka.stopping import stopped
from penstock.settings import TopicSettings
from penstock.telemetry.tracing.asking import sending

SEND_SECONDS = 5.0
"""What Kafka does not take in this time is told to whoever asked."""

SOURCE = "/penstock/gateway"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that Kafka has taken. `stream`: what is said of it from the beginning; None where
    it was asked before, by the same name.
    """

    entry: Entry
    stream: Stream | None


class Questions:
    """Args:
    client: the connection.
    topics: by their names.
    partitions: how many each has, by its name.
    index: where questions stand.
    fan_out: what is said of them.
    backlog: how long one would wait.
    codec: how a question reads.
    clock: of the process.
    default_program: that answers whoever names none, as is known now.
    max_wait: seconds for which a question without a deadline may wait for its start.
    spend: raises ProblemError where a caller has asked too much already.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topics: TopicSettings,
        partitions: Mapping[str, int],
        index: Index,
        fan_out: FanOut,
        backlog: Backlog,
        codec: Codec,
        clock: Clock,
        default_program: Callable[[], str],
        max_wait: float,
        spend: Callable[[Caller], None],
    ) -> None:
        self._client = client
        self._topics = topics
        self._partitions = partitions
        self.index = index
        self.fan_out = fan_out
        self._backlog = backlog
        self._codec = codec
        self._clock = clock
        self._default_program = default_program
        self._max_wait = max_wait
        self._spend = spend
        self._tried = Tried(index, clock)
        self._producer: AIOKafkaProducer

    async def start(self) -> None:
        """Raises aiokafka.errors.KafkaError: there is no Kafka."""
        self._producer = AIOKafkaProducer(
            **self._client,
            client_id="penstock-gateway",
            acks="all",
            enable_idempotence=True,
            # The brokers know the topic's limit; ours would only hide it.
            max_request_size=2**30,
        )
        await self._producer.start()

    async def stop(self) -> None:
        await stopped(self._producer.stop())

    @property
    def default_program(self) -> str:
        """As is known now."""
        return self._default_program()

    @asynccontextmanager
    async def asked(
        self,
        question: Question,
        caller: Caller,
        key: str | None = None,
        *,
        named: bool = False,
        retry: int | None = None,
    ) -> AsyncIterator[Asked]:
        """Asks it, and listens to what is said while the block runs.

        Args:
            question: its `id` may be left to us.
            caller: who asks.
            key: questions of one key are answered one after the other.
            named: its id is its asker's: the same again is the same question.
            retry: how often he has tried it before, and has got no answer; None: he does not say.
                His last question of this request is this one, if he has asked it.

        Raises:
            ProblemError: it may not, or cannot be asked; or another one was, by the same name.
        """
        question_id = question.id or str(uuid4())
        program = question.program or self._default_program()
        self._may_ask(program, caller)
        self._spend(caller)
        more: dict[str, Any] = {"id": question_id}
        if caller.programs is not None:
            # The service may have another default, which he may not ask.
            more["program"] = program
        question = question.model_copy(update=more)
        value, of_what = written(question, self._codec, key, *(() if named else (caller.subject,)))
        fingerprint = of_what if named or retry is not None else None
        if named and (known := self.index.get(question_id)) is not None:
            is_about(question_id)
            yield Asked(_same(known, fingerprint), None)
            return
        if retry and not named:
            if (tried := self._tried.found(of_what)) is not None:
                is_about(tried.question_id)
                yield Asked(tried, None)
                return
            if (sent := self._tried.sent(of_what)) is not None:
                question_id, named = sent, True
                value, _ = written(question.model_copy(update={"id": sent}), self._codec)
        is_about(question_id)
        self._has_time(question)
        partition = _partition(key or question_id, self._partitions[self._topics.questions])
        tokens = partition % self._partitions[self._topics.tokens]
        with self.fan_out.stream(question_id, tokens, None) as stream:
            if retry is not None:
                self._tried.sending(of_what, question_id)
            place, timestamp = await self._send(question_id, value, key, partition, fingerprint)
            self._tried.acknowledged(of_what)
            if named:
                entry = await self._settled(question_id, place, fingerprint)
                yield Asked(entry, stream if entry.place == place else None)
                return
            # So it is found here at once.
            self.index.asked(
                question_id, place, timestamp, program=program, fingerprint=fingerprint
            )
            yield Asked(self._known(question_id), stream)

    def find(self, question_id: str, caller: Caller) -> Entry:
        """Raises ProblemError: (404) there is none, or none for this caller; (401) his token is not
        good any more.
        """
        caller.must_hold()
        entry = self.index.get(question_id)
        if entry is None or not caller.may_ask(entry.program or self._default_program()):
            raise ProblemError(
                404,
                "unknown_question",
                "no such question was asked in the time that the gateway looks back "
                "(GATEWAY__WINDOW_MS, GATEWAY__WINDOW_IDS)",
            )
        is_about(question_id)
        return entry

    def events(self, asked: Asked, after: Seen | None = None) -> AsyncGenerator[Said | bytes, None]:
        """As `pieces`, one by one."""
        return _one_by_one(self.pieces(asked, after))

    def pieces(
        self, asked: Asked, after: Seen | None = None
    ) -> AsyncGenerator[list[Said | bytes], None]:
        """What is said of it: token events in their order, all that are there at a time, and last
        the completion's bytes. Those `after` what a client has seen.

        Raises:
            ProblemError: they cannot be read; at once: (400) this client has not seen that of it,
                (503) Kafka is known to be away.
        """
        if asked.stream is None and self.fan_out.away:
            raise away("Kafka does not answer")
        partition = self.index.tokens_of(asked.entry)
        if after is not None and after.place is not None and after.place.partition != partition:
            raise ProblemError(
                400, "no_such_event", "this Last-Event-ID is not of an event of this question"
            )
        return self._pieces(asked, partition, after)

    async def _pieces(
        self, asked: Asked, partition: int, after: Seen | None
    ) -> AsyncGenerator[list[Said | bytes], None]:
        try:
            if asked.stream is not None:
                async for piece in follow(asked.stream, self.fan_out.completion):
                    yield piece
                return
            entry = asked.entry
            start = await self._start(entry, after)
            with self.fan_out.stream(entry.question_id, partition, start) as stream:
                # It may have ended meanwhile, and nobody says it twice.
                if entry.ended is not None:
                    stream.end(entry.ended)
                async for piece in follow(stream, self.fan_out.completion, after):
                    yield piece
        except KafkaError as error:
            raise away(str(error)) from error

    async def completion(self, entry: Entry, seconds: float | None = 0.0) -> bytes | None:
        """Its completion's bytes; None: it has not ended in this time. None as time: it is waited
        for without an end.

        Raises:
            ProblemError: it cannot be read.
        """
        try:
            if entry.ended is None:
                with self.fan_out.end(entry) as end:
                    async with asyncio.timeout(seconds):
                        entry = await end
            assert entry.ended is not None
            return await self.fan_out.completion(entry.ended)
        except TimeoutError:
            return None
        except KafkaError as error:
            raise away(str(error)) from error

    async def cancel(self, question_id: str) -> None:
        """Asks all members. Raises ProblemError: Kafka does not take it."""
        key = f"{CANCEL}{question_id}"
        value = Cancel(question_id=question_id).model_dump_json().encode()
        headers = envelope.headers(envelope.CONTROL, key, SOURCE, self._clock.wall())
        await self._acknowledged(self._topics.control, value, key.encode(), 0, headers)

    # --- asking -----------------------------------------------------------------------------------

    def _may_ask(self, program: str, caller: Caller) -> None:
        if not caller.may_ask(program):
            raise ProblemError(
                403, "program_not_allowed", f"this token may not ask the program {program!r}"
            )

    def _has_time(self, question: Question) -> None:
        """Raises ProblemError (429): it would wait for too long."""
        at_most = self._max_wait if question.timeout_ms is None else question.timeout_ms / 1000
        if question.expires_at is not None:
            left = question.expires_at.timestamp() - self._clock.wall()
            # One that has expired is asked, and its completion says so.
            at_most = min(at_most, max(left, 0.0))
        seconds = self._backlog.retry_after(at_most)
        if seconds is not None:
            raise ProblemError(
                429,
                "backlog",
                f"it would wait {self._backlog.wait():.0f} s for its start, and may wait "
                f"{at_most:.0f} s",
                headers={"Retry-After": str(seconds)},
            )

    async def _send(
        self,
        question_id: str,
        value: bytes,
        key: str | None,
        partition: int,
        fingerprint: str | None,
    ) -> tuple[Place, int]:
        headers = envelope.headers(envelope.QUESTION, question_id, SOURCE, self._clock.wall())
        if fingerprint is not None:
            headers.append((FINGERPRINT, fingerprint.encode()))
        record_key = None if key is None else key.encode()
        topic = self._topics.questions
        with sending(topic) as trace:
            headers += trace
            sent = await self._acknowledged(
                topic, value, record_key, partition, headers, id=question_id
            )
        return Place(sent.partition, sent.offset), sent.timestamp

    async def _acknowledged(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        partition: int,
        headers: list[tuple[str, bytes]],
        **more: Any,
    ) -> Any:
        if self.fan_out.away:
            raise away("Kafka does not answer")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                return await self._producer.send_and_wait(
                    topic, value, key, partition, headers=headers
                )
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise ProblemError(
                413, "too_large", f"the topic {topic} does not take a record of this size"
            ) from error
        except (ClientError, TimeoutError) as error:
            raise away(
                "Kafka has not acknowledged it, and may have taken it all the same", **more
            ) from error

    async def _settled(self, question_id: str, place: Place, fingerprint: str | None) -> Entry:
        """Which question it is: another replica may have been asked the same at once."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.fan_out.read_up_to(place)
        except TimeoutError as error:
            raise away("Kafka does not answer", id=question_id) from error
        return _same(self._known(question_id), fingerprint)

    def _known(self, question_id: str) -> Entry:
        entry = self.index.get(question_id)
        if entry is None:
            # More were asked meanwhile than the index holds; or the topic was created anew.
            raise away("it was asked, and is not found here", id=question_id)
        return entry

    async def _start(self, entry: Entry, after: Seen | None) -> int:
        if after is None or after.place is None:
            return await self.fan_out.begin(entry)
        # A client may say what it likes: nothing was said of it before that.
        return max(after.place.offset, entry.tokens or 0)


async def _one_by_one(
    pieces: AsyncGenerator[list[Said | bytes], None],
) -> AsyncGenerator[Said | bytes, None]:
    async with aclosing(pieces):
        async for piece in pieces:
            for event in piece:
                yield event


def _same(entry: Entry, fingerprint: str | None) -> Entry:
    if entry.fingerprint != fingerprint:
        raise ProblemError(
            422,
            "name_taken",
            "another question was asked by this id or Idempotency-Key; take a new one",
        )
    return entry


def _partition(key: str, partitions: int) -> int:
    """As Kafka's own producers choose it by a key."""
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % partitions
