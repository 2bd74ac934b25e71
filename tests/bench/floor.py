"""What the same work costs at least: aiokafka, aiohttp and nothing else.

No DSPy, no guarantees, no deadlines, no order: a question in, a call, a record for every chunk and
one at the end. What Penstock takes beyond this is the price of what it promises.
"""

import argparse
import asyncio
import time
from typing import Any

import aiohttp
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.bench import arguments

PROMPT = "Given the fields `question`, produce the fields `answer`."


class Floor:
    def __init__(
        self, told: argparse.Namespace, producer: AIOKafkaProducer, web: aiohttp.ClientSession
    ) -> None:
        self.slots = asyncio.Semaphore(told.slots)
        self._url = f"{told.api_base}/chat/completions"
        self._model = told.model
        self._tokens = told.tokens
        self._completions = told.completions
        self._producer = producer
        self._web = web

    async def answer(self, value: bytes) -> None:
        try:
            await self._answer(orjson.loads(value))
        finally:
            self.slots.release()

    async def _answer(self, question: dict[str, Any]) -> None:
        name = question["id"]
        key = name.encode()
        said: list[str] = []
        begun = time.monotonic()
        first_token_ms = None
        async with self._web.post(self._url, json=self._request(question["question"])) as response:
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                choices = orjson.loads(line[6:])["choices"]
                text = choices[0]["delta"].get("content") if choices else None
                if not text:
                    continue
                if first_token_ms is None:
                    first_token_ms = (time.monotonic() - begun) * 1000
                event = {"question_id": name, "sequence": len(said), "text": text}
                said.append(text)
                await self._producer.send(self._tokens, orjson.dumps(event), key)
        timing = {"first_token_ms": first_token_ms}
        completion = {"question_id": name, "answer": "".join(said), "timing": timing}
        await self._producer.send_and_wait(self._completions, orjson.dumps(completion), key)

    def _request(self, question: str) -> dict[str, Any]:
        return {
            "model": self._model,
            "stream": True,
            "messages": [
                {"role": "system", "content": PROMPT},
                {"role": "user", "content": question},
            ],
        }


async def run(told: argparse.Namespace) -> None:
    servers = told.servers
    consumer = AIOKafkaConsumer(
        told.questions,
        bootstrap_servers=servers,
        group_id=told.group,
        auto_offset_reset="earliest",
    )
    async with (
        AIOKafkaProducer(bootstrap_servers=servers) as producer,
        consumer,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), json_serialize=_dumps
        ) as web,
        asyncio.TaskGroup() as running,
    ):
        floor = Floor(told, producer, web)
        print(f"group {told.group}", flush=True)
        async for record in consumer:
            await floor.slots.acquire()
            running.create_task(floor.answer(record.value))


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


if __name__ == "__main__":
    uvloop.run(run(arguments.read(__doc__)))
