"""More questions than slots: how near to the model's own limit, and at what cost?

The same for the floor, one after the other on the same Kafka and the same kind of model server.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from statistics import median

from tests.bench.result import Result, say
from tests.support.processes import (
    Running,
    calls,
    cpu_seconds,
    models,
    process,
    resident_mb,
    service,
)
from tests.support.traffic import Asker, Reader, World, asking, reading, world

SLOTS = 64
FIRST_TOKEN_MS = 200
TOKEN_MS = 5
CHUNKS = 64
"""Of the model's answer: a word each, and the field markers around them."""
WORDS = 53
MARKERS_BEFORE = 5
LIMIT = SLOTS * 1000 / (FIRST_TOKEN_MS + (CHUNKS - 1) * TOKEN_MS)
"""Questions per second; in so many slots the model answers no more."""
WARM_UP = 64
UNLOADED = 20
PATIENCE_SECONDS = 120

Subject = Callable[[World, Running], AbstractAsyncContextManager[Running]]


async def saturation(servers: str, questions: int) -> Result:
    """64 slots; 200 ms to the model's first token, 64 tokens, 5 ms from one to the next."""
    if questions < 4 * SLOTS:
        raise SystemExit(f"saturation takes {4 * SLOTS} questions or more")
    conditions = {
        "questions": questions,
        "slots": SLOTS,
        "first_token_ms": FIRST_TOKEN_MS,
        "token_ms": TOKEN_MS,
        "tokens": CHUNKS,
        "limit_per_second": round(LIMIT, 1),
    }
    subjects = {
        "penstock": await _measured(servers, questions, penstock, MARKERS_BEFORE * TOKEN_MS),
        "with DSPy's client": await _measured(
            servers, questions, native, MARKERS_BEFORE * TOKEN_MS
        ),
        "floor": await _measured(servers, questions, floor, 0),
    }
    return Result(conditions, subjects)


def penstock(
    kafka: World, provider: Running, engine: str = "auto"
) -> AbstractAsyncContextManager[Running]:
    settings = {"MODEL__NAME": "openai/bench", "MODEL__ENGINE": engine, "POOL__SLOTS": SLOTS}
    return service(kafka, provider, settings)


def native(kafka: World, provider: Running) -> AbstractAsyncContextManager[Running]:
    return penstock(kafka, provider, "native")


def floor(kafka: World, provider: Running) -> AbstractAsyncContextManager[Running]:
    topics = [f"--{kind}={kafka.topics[kind]}" for kind in ("questions", "tokens", "completions")]
    reach = [f"--servers={kafka.servers}", f"--api-base={provider.address}", "--model=bench"]
    return process(
        *(sys.executable, "-m", "tests.bench.floor", *reach, *topics),
        *(f"--group={kafka.group}", f"--slots={SLOTS}"),
        says=r"^group \S+$",
    )


async def _measured(
    servers: str, questions: int, subject: Subject, held_ms: float
) -> dict[str, float]:
    """`held_ms`: the time the model takes for what it says before the answer begins."""
    name = subject.__name__
    async with (
        world(servers, name) as kafka,
        models(first_token_ms=FIRST_TOKEN_MS, token_ms=TOKEN_MS, tokens=WORDS) as provider,
        subject(kafka, provider) as running,
        asking(kafka) as asker,
        reading(kafka, "completions") as completions,
        reading(kafka, "tokens") as tokens,
    ):
        say(f"{name}: {WARM_UP} questions to warm up")
        await asker.ask_all(f"warm-{number}" for number in range(WARM_UP))
        await running.meanwhile(completions.until(WARM_UP), PATIENCE_SECONDS)
        said = (await calls(provider, last=1))["calls"][0]["chunks"]
        assert said == CHUNKS, f"the model says {said} chunks: the limit is another"
        say(f"{name}: {UNLOADED} questions, one at a time")
        await tokens.rest()
        one_by_one = _unloaded(asker, completions, tokens, held_ms)
        unloaded = await running.meanwhile(one_by_one, PATIENCE_SECONDS)
        say(f"{name}: {questions} questions at once")
        ids = [f"q{number}" for number in range(questions)]
        records, cpu = await tokens.written(), cpu_seconds(running.pid)
        await asker.ask_all(ids)
        ended = await running.meanwhile(
            completions.about(*ids), PATIENCE_SECONDS + 10 * questions / LIMIT
        )
        cpu = cpu_seconds(running.pid) - cpu
        records = await tokens.written() - records
        rate = _per_second([event.timestamp for event in ended])
        return {
            "questions_per_second": round(rate, 1),
            "ratio_to_limit": round(rate / LIMIT, 3),
            "cpu_ms_per_question": round(cpu * 1e3 / questions, 2),
            "cpu_us_per_chunk": round(cpu * 1e6 / questions / CHUNKS, 1),
            "token_records_per_question": round(records / questions, 1),
            "peak_memory_mb": round(resident_mb(running.pid, peak=True), 1),
            **unloaded,
        }


def _per_second(timestamps: list[int]) -> float:
    """Of completions, without those of the first and the last questions in every slot: while the
    slots fill up and run out, what is measured is not the program."""
    full = sorted(timestamps)[SLOTS - 1 : -SLOTS]
    return (len(full) - 1) * 1000 / (full[-1] - full[0])


async def _unloaded(
    asker: Asker, completions: Reader, tokens: Reader, held_ms: float
) -> dict[str, float]:
    """What is added to the model's own time to the first token, in the middle and at worst.

    Once as the program itself says it in the completion, from the start of the question to the
    model's first chunk; once as a reader sees it, from the question's record to the first record
    of its answer.
    """
    inside: list[float] = []
    outside: list[float] = []
    for number in range(UNLOADED):
        name = f"unloaded-{number}"
        asked = await (await asker.ask(name))
        (ended,) = await completions.about(name)
        (first, *_) = [event for event in await tokens.rest() if event.question_id == name]
        inside.append(ended.body["timing"]["first_token_ms"] - FIRST_TOKEN_MS)
        outside.append(first.timestamp - asked.timestamp - FIRST_TOKEN_MS - held_ms)
    return {
        "first_token_added_ms": round(median(inside), 1),
        "first_token_added_ms_max": round(max(inside), 1),
        "first_record_added_ms": round(median(outside), 1),
        "first_record_added_ms_max": round(max(outside), 1),
    }
