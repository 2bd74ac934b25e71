"""What a good engineer has by the evening: aiokafka and `dspy.streamify`.

Questions run at once in so many slots, an offset is committed when all before it are answered, and
every chunk is a record. No deadlines, no retries, no order, and nothing survives a crash but the
offsets.
"""

import argparse
import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from typing import Any

import dspy
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError

from tests.bench import arguments

COMMIT_SECONDS = 1.0
FIELD = "answer"

log = logging.getLogger("reference")


class Reference:
    def __init__(
        self, told: argparse.Namespace, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer
    ) -> None:
        self._slots = asyncio.Semaphore(told.slots)
        self._tokens = told.tokens
        self._completions = told.completions
        self._consumer = consumer
        self._producer = producer
        self._program = dspy.Predict(f"question -> {FIELD}")
        self._next: dict[TopicPartition, int] = {}
        self._running: defaultdict[TopicPartition, set[int]] = defaultdict(set)

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit())
            while True:
                for place, records in (await self._consumer.getmany(timeout_ms=1_000)).items():
                    for record in records:
                        await self._slots.acquire()
                        self._running[place].add(record.offset)
                        self._next[place] = record.offset + 1
                        tasks.create_task(self._run(place, record))

    async def _run(self, place: TopicPartition, record: ConsumerRecord) -> None:
        try:
            await self._answer(orjson.loads(record.value))
        except Exception:
            log.exception("%s %s is not answered", place, record.offset)
        finally:
            self._running[place].remove(record.offset)
            self._slots.release()

    async def _answer(self, question: dict[str, Any]) -> None:
        name = question["id"]
        key = name.encode()
        # A listener of its own: one that is shared yields what another question is told.
        listener = dspy.streaming.StreamListener(signature_field_name=FIELD)
        stream = dspy.streamify(self._program, stream_listeners=[listener], is_async_program=True)
        sequence = 0
        answer = None
        async for said in stream(question=question["question"]):
            match said:
                case dspy.streaming.StreamResponse():
                    event = {"question_id": name, "sequence": sequence, "text": said.chunk}
                    sequence += 1
                    await self._producer.send(self._tokens, orjson.dumps(event), key)
                case dspy.Prediction():
                    answer = said[FIELD]
        completion = {"question_id": name, "answer": answer, "last_sequence": sequence - 1}
        await self._producer.send_and_wait(self._completions, orjson.dumps(completion), key)

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            done = {
                place: min(self._running[place], default=following)
                for place, following in self._next.items()
            }
            if done:
                with suppress(CommitFailedError):
                    await self._consumer.commit(done)


async def run(told: argparse.Namespace) -> None:
    model = dspy.LM(f"openai/{told.model}", api_base=told.api_base, api_key="none", cache=False)
    dspy.configure(lm=model)
    consumer = AIOKafkaConsumer(
        told.questions,
        bootstrap_servers=told.servers,
        group_id=told.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with AIOKafkaProducer(bootstrap_servers=told.servers) as producer, consumer:
        print(f"group {told.group}", flush=True)
        await Reference(told, consumer, producer).serve()


if __name__ == "__main__":
    uvloop.run(run(arguments.read(__doc__)))
