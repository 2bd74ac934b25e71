"""Dead letters of an outage go back to the questions: each once, byte for byte, even if killed."""

import asyncio
import hashlib
from collections import Counter
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from penstock.clock import Clock
from penstock.events.again import REDRIVE, REDRIVES
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import reader
from tests.acceptance.outcome import Outcome
from tests.support.behaviours import Params
from tests.support.command import Ended, penstock, started
from tests.support.model_server import model_server
from tests.support.processes import PENSTOCK_SERVE, Start, service
from tests.support.traffic import World, reading, world

PACES = Params(first_ms=5, token_ms=1, tokens=4)
SETTINGS = {
    # An outage that nobody notices: no breaker, no gate, no second attempt.
    "BREAKER__FAILURES": 1_000_000,
    "GATE__RUN": 1_000_000,
    "RETRY__MAX_ATTEMPTS": 1,
}
PATIENCE_SECONDS = 120.0
AGAIN = 20
"""Letters that fail once more."""
SLACK = 0.15
"""By which the rate may be missed, for the first and the last transaction."""


async def redrive(
    servers: str, *, letters: int = 500, rate: float = 100, start: Start = PENSTOCK_SERVE
) -> Outcome:
    """Args:
    servers: the Kafka.
    letters: that the outage leaves.
    rate: at which they go back, a second.
    start: of the service.
    """
    outcome = Outcome()
    async with (
        world(servers, "redrive") as kafka,
        reading(kafka, "completions") as completions,
        reading(kafka, "dead_letters") as dead,
        model_server(defaults=PACES) as provider,
        service(kafka, provider, SETTINGS, start) as running,
    ):
        away = True
        provider.script["ok"] = lambda *_: "500" if away else "ok"
        await _ask(kafka, [f"q{number}" for number in range(letters)])
        await running.meanwhile(dead.until(letters), PATIENCE_SECONDS)
        away = False

        before = await _ends(kafka)
        dry = await _redrive(kafka)
        outcome.promise("a dry run writes nothing", kept=await _ends(kafka) == before)
        outcome.figures |= {"dead_letters": letters, "dry_run": dry["redriven"]}
        killed = await _killed_midway(kafka, rate, letters)
        rest = await _redrive(kafka, "--execute", "--rate", str(rate))
        await running.meanwhile(completions.until_ended(2 * letters), PATIENCE_SECONDS)
        second = await _redrive(kafka, "--execute", "--rate", str(rate))
        asked = await _records(kafka, "questions")
        outcome.figures |= {
            "went_before_kill": killed,
            "went_after": rest["redriven"],
            "second_run": second["redriven"],
            "per_second": _per_second(asked[letters:]),
        }
        _check_bytes(outcome, asked)
        outcome.promise("the second run redrives none", kept=second["redriven"] == 0)
        outcome.promise("what the two runs say is all", kept=killed <= letters - rest["redriven"])
        outcome.bound(f"{rate} a second", kept=outcome.figures["per_second"] <= rate * (1 + SLACK))

        away = True
        await _ask(kafka, [f"more{number}" for number in range(AGAIN)])
        await running.meanwhile(dead.until(letters + AGAIN), PATIENCE_SECONDS)
        await _redrive(kafka, "--execute")
        await running.meanwhile(completions.until_ended(2 * (letters + AGAIN)), PATIENCE_SECONDS)
        refused = await _redrive(kafka, "--execute", "--max-redrives", "1", code=3)
        outcome.figures["refused"] = sum(refused["refused"].values())
        outcome.promise(
            f"what has failed again is refused: {refused}",
            kept=(refused["redriven"], outcome.figures["refused"]) == (0, AGAIN),
        )
        code = await running.terminate()
        outcome.promise(f"exit code 0, not {code}", kept=code == 0)
        await _check_endings(outcome, kafka, letters)
    return outcome


async def _ask(kafka: World, ids: list[str]) -> None:
    """With keys, and with headers that are no text."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.servers, enable_idempotence=True)
    await producer.start()
    try:
        for number, name in enumerate(ids):
            value = b' {"id": "%s", "question": "\\u003f", "n": 1.10}' % name.encode()
            await producer.send(
                kafka.topics["questions"],
                value,
                key=b"\xff%d" % (number % 50),
                headers=[("trace", b"\x00\xff"), ("n", str(number).encode()), ("n", b"2")],
            )
    finally:
        await producer.stop()


async def _redrive(kafka: World, *words: str, code: int = 0) -> dict[str, Any]:
    ended: Ended = await penstock(
        "dlq", "redrive", *words, "--output", "json", env=_environment(kafka)
    )
    assert ended.code == code, f"{words}: exit code {ended.code}, {ended.stderr}"
    said: dict[str, Any] = orjson.loads(ended.stdout)
    return said


async def _killed_midway(kafka: World, rate: float, letters: int) -> int:
    """How many had gone when it was killed."""
    words = ("dlq", "redrive", "--execute", "--rate", str(rate))
    async with started(*words, env=_environment(kafka)) as process:
        while len(await _records(kafka, "questions")) < 1.4 * letters:  # its state
            assert process.returncode is None, "it ended before it was killed"
            await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
    return len(await _records(kafka, "questions")) - letters


def _environment(kafka: World) -> dict[str, str]:
    topics = {f"TOPICS__{name.upper()}": topic for name, topic in kafka.topics.items()}
    own = {"KAFKA__BOOTSTRAP_SERVERS": kafka.servers, **topics}
    return {f"PENSTOCK_{name}": value for name, value in own.items()}


def _places(kafka: World, kind: str) -> list[TopicPartition]:
    count = 1 if kind == "control" else kafka.partitions
    return [TopicPartition(kafka.topics[kind], number) for number in range(count)]


async def _records(kafka: World, kind: str) -> list[ConsumerRecord]:
    """All that is committed, the oldest first."""
    async with reader(client_arguments(kafka.servers, {}), Clock()) as topics:
        whole = await topics.whole(_places(kafka, kind))
        found = [record async for record in topics.read(kind, whole)]
    return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))


async def _ends(kafka: World) -> dict[TopicPartition, int]:
    places = [place for kind in ("questions", "dead_letters") for place in _places(kafka, kind)]
    async with reader(client_arguments(kafka.servers, {}), Clock()) as topics:
        return {place: log.end for place, log in (await topics.whole(places)).items()}


def _check_bytes(outcome: Outcome, asked: list[ConsumerRecord]) -> None:
    """Each went once: the same partition, key, value and headers, and two of ours behind."""
    redriven = [record for record in asked if REDRIVE in dict(record.headers)]
    first = Counter(map(_sha, (record for record in asked if REDRIVE not in dict(record.headers))))
    again = Counter(map(_sha, redriven))
    odd = [name for name in first | again if first[name] != again[name]]
    outcome.figures["redriven"] = len(redriven)
    outcome.promise(f"each went once, and as it was: {len(odd)} did not", kept=not odd)
    counts = {dict(record.headers)[REDRIVES] for record in redriven}
    outcome.promise(f"they say how often: {counts}", kept=counts == {b"1"})


def _sha(record: ConsumerRecord) -> str:
    headers = [pair for pair in record.headers if pair[0] not in {REDRIVE, REDRIVES}]
    parts = (record.partition, record.key, record.value, headers)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _per_second(redriven: list[ConsumerRecord]) -> int:
    """Within the second that had the most."""
    times: list[int] = sorted(record.timestamp for record in redriven)
    return max(sum(begin <= at < begin + 1000 for at in times) for begin in times)


async def _check_endings(outcome: Outcome, kafka: World, letters: int) -> None:
    """Of each one failure and then one answer, which says that it was redriven."""
    said = [orjson.loads(record.value) for record in await _records(kafka, "completions")]
    ended = Counter(
        (one["question_id"], one["status"], one["redrive"] is not None)
        for one in said
        if one["question_id"].startswith("q")
    )
    ids = [f"q{number}" for number in range(letters)]
    wanted = Counter(
        [(name, "failed", False) for name in ids] + [(name, "completed", True) for name in ids]
    )
    odd = [key for key in wanted | ended if wanted[key] != ended[key]]
    outcome.promise(f"all are completed once: {odd[:5]} are not", kept=not odd)
    outcome.figures["completed"] = sum(n for (_, how, _), n in ended.items() if how == "completed")
