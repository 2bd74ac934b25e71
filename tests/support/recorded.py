"""Questions and completions as they would stand in the topics, had somebody answered.

async with recording(bootstrap_servers, topics) as record:
    where = await record.question("Why?")
    await record.completion(where, outputs={"answer": "Because."})
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from penstock.events.again import Replay
from penstock.events.completion import (
    Completion,
    CompletionStatus,
    Error,
    Program,
    Source,
    Timing,
    Usage,
)
from tests.support.kafka import Topics


class Where(NamedTuple):
    """A question's record. `timestamp` in Unix milliseconds."""

    partition: int
    offset: int
    timestamp: int


@dataclass
class Recorder:
    """Topics by their short names; the group is the one of `tests.support.service`."""

    topics: Topics
    producer: AIOKafkaProducer

    @property
    def group(self) -> str:
        return self.topics.name("group")

    async def question(
        self,
        body: str | Mapping[str, Any] | None,
        partition: int = 0,
        key: str | None = None,
        timestamp: int | None = None,
    ) -> Where:
        """`body`: a text is the question; None is a record without a value."""
        asked = {"question": body} if isinstance(body, str) else body
        sent = await self.producer.send_and_wait(
            self.topics.name("questions"),
            None if asked is None else json.dumps(asked).encode(),
            None if key is None else key.encode(),
            partition,
            timestamp,
        )
        return Where(partition, sent.offset, sent.timestamp)

    async def completion(
        self,
        asked: Where,
        outputs: Mapping[str, Any] | None = None,
        *,
        replay: str | None = None,
        topic: str = "completions",
        partition: int | None = None,
        timestamp: int | None = None,
        **more: Any,
    ) -> None:
        """`partition`: of the completions, else the question's. `more`: see `completion`."""
        group = self.group if replay is None else f"{self.group}.replay.{replay}"
        said = completion(asked, self.topics.name("questions"), group, outputs, replay, **more)
        await self.producer.send(
            self.topics.name(topic),
            said.model_dump_json().encode(),
            said.question_id.encode(),
            asked.partition if partition is None else partition,
            timestamp,
        )


def completion(
    asked: Where,
    questions: str,
    group: str,
    outputs: Mapping[str, Any] | None,
    replay: str | None,
    *,
    status: CompletionStatus = "completed",
    error: Error | None = None,
    question_id: str | None = None,
    duration_ms: float | None = 100.0,
    tokens: int = 10,
    metadata: Mapping[str, Any] | None = None,
    program: Program | None = None,
    model: str = "openai/scripted",
) -> Completion:
    """`tokens`: of the prompt, and as many of the answer."""
    if status == "failed" and error is None:
        error = Error(kind="ANSWER", code="unparsable", message="no field `answer`")
    place = (asked.partition, asked.offset)
    return Completion(
        question_id=question_id or f"{questions}/{asked.partition}/{asked.offset}",
        status=status,
        outputs=None if outputs is None else dict(outputs),
        error=error,
        program=program or Program(name="qa", version="1"),
        model=model,
        usage=Usage(prompt_tokens=tokens, completion_tokens=tokens, total_tokens=2 * tokens),
        attempts=1,
        timing=Timing(queued_ms=1.0, first_token_ms=duration_ms, duration_ms=duration_ms),
        source=Source(
            topic=questions,
            partition=asked.partition,
            offset=asked.offset,
            timestamp=asked.timestamp,
            group=group,
        ),
        replay=None
        if replay is None
        else Replay(id=replay, topic=questions, partition=place[0], offset=place[1]),
        metadata=None if metadata is None else dict(metadata),
    )


@asynccontextmanager
async def recording(
    bootstrap_servers: str, topics: Topics, transactional_id: str | None = None
) -> AsyncIterator[Recorder]:
    """What was said is acknowledged at its end. With an id, `producer.transaction()` is there."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, transactional_id=transactional_id, linger_ms=5
    )
    await producer.start()
    try:
        yield Recorder(topics, producer)
    finally:
        await producer.stop()
