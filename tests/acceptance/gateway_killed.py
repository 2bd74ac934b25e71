"""A gateway is killed while it streams: its clients go on at another, where they were."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Sequence

import aiohttp

from tests.acceptance.outcome import Outcome
from tests.support import events
from tests.support.processes import (
    PENSTOCK_GATEWAY,
    PENSTOCK_SERVE,
    Running,
    Start,
    gateway,
    models,
    service,
)
from tests.support.traffic import everything, world

PATIENCE_SECONDS = 120
LOOK_SECONDS = 0.01


async def gateway_killed(
    servers: str,
    *,
    questions: int = 50,
    words: int = 100,
    token_ms: float = 50,
    start: Start = PENSTOCK_GATEWAY,
    serve: Start = PENSTOCK_SERVE,
) -> Outcome:
    """When it is killed, all are being answered.

    Args:
        servers: the Kafka.
        questions: at once.
        words: of each answer.
        token_ms: from one to the next.
        start: of a gateway.
        serve: of the service.
    """
    outcome = Outcome()
    async with (
        world(servers, "gateway-killed") as kafka,
        models(first_token_ms=200, token_ms=token_ms, tokens=words) as provider,
        service(kafka, provider, {"POOL__SLOTS": questions}, serve),
        gateway(kafka, start=start) as first,
        gateway(kafka, start=start) as second,
    ):
        ids = await _ask(first, questions)
        begun = [await events.begin(first.address, question_id) for question_id in ids]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(len(one.offsets) < words // 4 for one in begun):  # noqa: ASYNC110 # its state
                await asyncio.sleep(LOOK_SECONDS)
            first.kill()
            assert await first.ended() == -signal.SIGKILL
            await asyncio.gather(*(one.over for one in begun))
            resumed = [
                await events.begin(second.address, one.question_id, after=one.last_id)
                for one in begun
            ]
            await asyncio.gather(*(one.over for one in resumed))
        await second.terminate()
        said: defaultdict[str, list[int]] = defaultdict(list)
        for event in await everything(kafka, "tokens"):
            said[event.question_id].append(event.offset)
    cut = [one for one in begun if not one.completed]
    lost, double = _missing(begun, resumed, said)
    outcome.figures |= {
        "questions": questions,
        "cut": len(cut),
        "events": sum(map(len, said.values())),
        "events_at_the_kill": sum(len(one.offsets) for one in begun),
        "lost": lost,
        "double": double,
    }
    outcome.promise("all are cut in the middle", kept=len(cut) == questions)
    broken = [f"{one.question_id}: {one.why}" for one in resumed if one.why is not None]
    outcome.promise(f"all are completed elsewhere, not {broken[:5]}", kept=not broken)
    outcome.promise(f"no event is lost: {lost} are", kept=lost == 0)
    outcome.promise(f"no event comes twice: {double} do", kept=double == 0)
    odd = [
        one.question_id
        for one, more in zip(begun, resumed, strict=True)
        if one.offsets + more.offsets != said[one.question_id]
    ]
    outcome.promise(f"each has its events in order, not {odd[:5]}", kept=not odd)
    return outcome


async def _ask(running: Running, questions: int) -> list[str]:
    async with aiohttp.ClientSession(running.address) as session:

        async def ask() -> str:
            async with session.post("/v1/questions", json={"question": "Why?"}) as response:
                question_id: str = (await response.json())["id"]
                return question_id

        return list(await asyncio.gather(*(ask() for _ in range(questions))))


def _missing(
    begun: Sequence[events.Reading],
    resumed: Sequence[events.Reading],
    said: dict[str, list[int]],
) -> tuple[int, int]:
    """How many came never, and how many came again."""
    lost = double = 0
    for one, more in zip(begun, resumed, strict=True):
        came = one.offsets + more.offsets
        lost += len(set(said[one.question_id]) - set(came))
        double += len(came) - len(set(came))
    return lost, double
