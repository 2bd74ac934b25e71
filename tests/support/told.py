"""Tokens written straight to the topic, as a service would write them, at an even pace.

async with telling(kafka) as teller:
    await teller.tell(streams, seconds=30, per_second=2)
    await teller.end(streams)
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from penstock.events import envelope, token
from tests.support.answered import completion
from tests.support.traffic import World, asking

TEXT = "and nothing holds it up "


@dataclass
class Told:
    """What was told of one question. `place`: partition, offset and timestamp of its record."""

    question_id: str
    place: tuple[int, int, int]
    text: str = TEXT
    events: int = 0
    bytes: int = 0


class Teller:
    def __init__(self, world: World, producer: AIOKafkaProducer) -> None:
        self._world = world
        self._producer = producer
        self._source = envelope.source(world.group)

    async def tell(self, questions: list[Told], *, seconds: float, per_second: float) -> None:
        """Of each so many tokens a second, evenly: not all at once."""
        begun, sent = time.monotonic(), 0
        wanted = round(len(questions) * seconds * per_second)
        while sent < wanted:
            due = min(wanted, int((time.monotonic() - begun) * len(questions) * per_second) + 1)
            for number in range(sent, due):
                one = questions[number % len(questions)]
                await self._send(one, "token", text=one.text, **_FIELD)
            sent = due
            await asyncio.sleep(0.001)
        await self._producer.flush()

    async def end(self, questions: Iterable[Told]) -> None:
        """As a service does: the last token event, then the completion."""
        for one in questions:
            partition, offset, timestamp = one.place
            await self._send(one, "end", status="completed")
            done = completion(
                self._world, one.question_id, partition, offset, timestamp, one.events - 1
            )
            await self._producer.send(self._world.topics["completions"], done, partition=partition)
        await self._producer.flush()

    async def _send(self, one: Told, kind: str, **more: object) -> None:
        value = token.encode(kind, one.question_id, one.events, 1, **more)
        about = f"{one.question_id}/{one.events}"
        one.events += 1
        one.bytes += len(value)
        await self._producer.send(
            self._world.topics["tokens"],
            value,
            key=one.question_id.encode(),
            partition=one.place[0],
            headers=envelope.headers(envelope.TOKEN, about, self._source, time.time()),
        )


_FIELD = {"field": "answer", "step": "predict", "call": 0, "output": True}


async def asked(world: World, question_ids: Iterable[str], text: str = TEXT) -> list[Told]:
    """Nobody answers them but whoever tells of them."""
    async with asking(world) as asker:
        sent = [(name, await asker.ask(name)) for name in question_ids]
        places = [(name, await acknowledged) for name, acknowledged in sent]
    return [Told(name, (at.partition, at.offset, at.timestamp), text) for name, at in places]


@asynccontextmanager
async def telling(world: World) -> AsyncIterator[Teller]:
    producer = AIOKafkaProducer(bootstrap_servers=world.servers, acks="all")
    await producer.start()
    try:
        yield Teller(world, producer)
    finally:
        await producer.stop()
