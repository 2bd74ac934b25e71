"""What a service leaves in the topics, written by the test itself."""

import time

import orjson
from aiokafka import AIOKafkaProducer

from penstock.events.completion import Completion, Program, Source, Timing, Usage
from tests.support.traffic import World


async def answer(kafka: World, questions: int) -> None:
    """So many questions, `q0`, `q1` ..., and the completion of each, partition by partition in
    turn; the topics are empty.
    """
    producer = AIOKafkaProducer(bootstrap_servers=kafka.servers, acks="all", linger_ms=5)
    await producer.start()
    try:
        for number in range(questions):
            offset, partition = divmod(number, kafka.partitions)
            now = int(time.time() * 1000)
            asked = {"id": f"q{number}", "question": f"Why does water find its level? {number}"}
            done = completion(kafka, f"q{number}", partition, offset, now)
            for topic, value in (("questions", orjson.dumps(asked)), ("completions", done)):
                await producer.send(
                    kafka.topics[topic], value, partition=partition, timestamp_ms=now
                )
        await producer.flush()
    finally:
        await producer.stop()


def completion(
    kafka: World,
    question_id: str,
    partition: int,
    offset: int,
    timestamp: int,
    last_sequence: int = 20,
) -> bytes:
    """About 700 bytes."""
    answer = "Because it is heavy and nothing holds it up. " * 2
    said = Completion(
        question_id=question_id,
        status="completed",
        answer=answer,
        outputs={"answer": answer},
        program=Program(name="qa"),
        model="openai/ok",
        usage=Usage(prompt_tokens=160, completion_tokens=38, total_tokens=198),
        attempts=1,
        timing=Timing(queued_ms=3.1, first_token_ms=212.4, duration_ms=540.9),
        last_sequence=last_sequence,
        source=Source(
            topic=kafka.topics["questions"],
            partition=partition,
            offset=offset,
            timestamp=timestamp,
            group=kafka.group,
        ),
    )
    return said.model_dump_json().encode()
