"""A sink with topics of its own, and what stands in them.

async with saying(bootstrap_servers, topics) as here:
    await here.sink.dead_letter(here.question(7), FAILURE, 1)
    assert len(await here.read(here.sink.dead_letters)) == 1
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.core.facts import RecordId
from penstock.events.completion import Completion, Source, Timing
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.lookup import Lookup
from penstock.kafka.recovery import Recovery
from penstock.kafka.scope import Scope
from penstock.kafka.security import client_arguments
from penstock.kafka.sink import KafkaSink, Target
from tests.support.decoding import codec
from tests.support.kafka import Topics

PATIENCE_S = 15.0
GROUP = "group"


@dataclass
class Saying:
    servers: str
    sink: KafkaSink
    lookup: Lookup

    def question(self, offset: int, partition: int = 0) -> Delivery:
        value = b'{"id":"q%d","question":"?"}' % offset
        raw = Raw("questions", partition, offset, 1_000 + offset, b"k", value, ())
        return codec().decode(RecordId(partition, 1, offset), raw, 0.0, 0.0)

    def completion(self, question: Delivery, group: str = GROUP) -> Completion:
        raw = question.raw
        source = Source(
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            timestamp=raw.timestamp_ms,
            group=group,
        )
        return Completion(
            question_id=question.question_id,
            status="completed",
            answer="!",
            timing=Timing(queued_ms=0),
            source=source,
        )

    async def read(self, target: Target, partition: int = 0) -> list[ConsumerRecord]:
        place = TopicPartition(target.topic, partition)
        async with AIOKafkaConsumer(
            bootstrap_servers=self.servers, fetch_max_wait_ms=100
        ) as consumer:
            consumer.assign([place])
            consumer.seek(place, 0)
            [end] = (await consumer.end_offsets([place])).values()
            found: list[ConsumerRecord] = []
            async with asyncio.timeout(PATIENCE_S):
                while await consumer.position(place) < end:
                    batches = await consumer.getmany(timeout_ms=100)
                    found += [record for records in batches.values() for record in records]
        return found


@asynccontextmanager
async def saying(
    bootstrap_servers: str, topics: Topics, partitions: int = 1
) -> AsyncIterator[Saying]:
    """May speak for ever."""
    tokens, completions, letters = (
        Target(topics.create(topic, partitions), partitions, 2**20)
        for topic in ("tokens", "completions", "letters")
    )
    client, clock = client_arguments(bootstrap_servers, {}), Clock()
    scope = Scope("questions", GROUP, completions, tokens, 0, 10.0, 5.0)
    recovery = Recovery(client, scope, clock, "writer")
    lookup = Lookup(client, clock, scope, recovery.completions, letters)
    sink = KafkaSink(
        client,
        GROUP,
        tokens,
        completions,
        letters,
        clock,
        "writer",
        lambda _: math.inf,
        lookup.last_said,
    )
    await sink.start()
    try:
        yield Saying(bootstrap_servers, sink, lookup)
    finally:
        await sink.stop()
