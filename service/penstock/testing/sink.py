"""Where do the answers go? Into the log, acknowledged at once.

The contract suite runs over this and over the real one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.core.failure import Failure
from penstock.errors import TooLargeError
from penstock.events import envelope
from penstock.events.completion import Completion
from penstock.events.dead_letter import Style, Tried, dead_letter_headers
from penstock.events.trace_context import replaced
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.sink import SEQUENCE_DIGITS, Target, TokenSender, cause_of, key_of, size_of
from penstock.testing.log import SimulatedLog


@dataclass
class SimulatedSink:
    """The methods of `KafkaSink`. All is acknowledged at once."""

    log: SimulatedLog
    group_id: str
    tokens: Target
    completions: Target
    dead_letters: Target
    clock: Clock
    style: Style = "kafka"

    def token_sender(self, delivery: Delivery) -> TokenSender:
        async def send(value: bytes, sequence: int) -> "asyncio.Future[Raw]":
            headers = self._headers(envelope.TOKEN, f"{sequence}", delivery)
            done: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
            done.set_result(self._put(self.tokens, delivery, key_of(delivery), value, headers))
            return done

        return send

    async def completion(self, delivery: Delivery, completion: Completion) -> int | None:
        said = self._completion(delivery, completion)
        return self._put(self.completions, delivery, *said).offset

    def fits(self, delivery: Delivery, completion: Completion) -> bool:
        size = size_of(*self._completion(delivery, completion))
        return size + SEQUENCE_DIGITS <= self.completions.limit

    async def dead_letter(
        self, delivery: Delivery, failure: Failure, attempts: int, tried: Sequence[Tried] = ()
    ) -> int | None:
        raw, at = delivery.raw, self.clock.wall()
        cause = cause_of(raw, self.group_id, failure, attempts, tried, at)
        headers = dead_letter_headers(replaced(raw.headers, delivery.trace), cause, self.style)
        return self._put(self.dead_letters, delivery, raw.key, raw.value, headers).offset

    async def settled(self) -> None:
        """Nothing is on its way."""

    def forget(self, record: RecordId) -> None:
        """As above."""

    def _completion(
        self, delivery: Delivery, completion: Completion
    ) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        headers = self._headers(envelope.COMPLETION, "completion", delivery)
        return key_of(delivery), completion.model_dump_json().encode(), headers

    def _headers(self, type_: str, name: str, delivery: Delivery) -> list[tuple[str, bytes]]:
        event_id = f"{place_of(delivery.raw)}/{name}"
        source, now = envelope.source(self.group_id), self.clock.wall()
        said_with = (*delivery.forwarded, *delivery.trace)
        return envelope.headers(type_, event_id, source, now, said_with)

    def _put(
        self,
        target: Target,
        delivery: Delivery,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
    ) -> Raw:
        size = size_of(key, value, headers)
        if size > target.limit:
            raise TooLargeError(f"{target.topic}: {size} bytes; the limit is {target.limit}")
        partition = delivery.raw.partition % target.partitions
        return self.log.append(target.topic, partition, key, value, headers)


def place_of(question: Raw) -> str:
    """With it begin the ids of all events about the question."""
    return f"{question.topic}/{question.partition}/{question.offset}"
