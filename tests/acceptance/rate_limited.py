"""The provider wants no more calls: it gets hardly any, and no question is lost by that."""

import asyncio
import time

from tests.acceptance.endings import all_completed
from tests.acceptance.outcome import Outcome
from tests.support.behaviours import Params
from tests.support.model_server import model_server
from tests.support.processes import PENSTOCK_SERVE, Start, service
from tests.support.traffic import asking, reading, world

PACES = Params(first_ms=200, token_ms=10, tokens=8)
CALLS = 150


async def rate_limited(
    servers: str,
    *,
    questions: int = 1_000,
    slots: int = 64,
    seconds: float = 20,
    retry_after: int = 3,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """A quarter is answered when it begins to refuse everything, for so many seconds."""
    outcome = Outcome()
    ids = [f"q{number}" for number in range(questions)]
    refusing = False
    async with (
        world(servers, "rate-limited") as kafka,
        model_server(defaults=PACES) as provider,
        reading(kafka, "completions") as completions,
    ):
        provider.script["ok"] = lambda *_: (
            f"429?retry_after={retry_after}&first_ms=5" if refusing else "ok"
        )
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        async with service(kafka, provider, {"POOL__SLOTS": slots}, start) as running:
            await running.meanwhile(completions.until(questions // 4), 60)
            refusing, calls, answering = True, len(provider.calls), provider.calls.in_flight
            begun = time.monotonic()
            await asyncio.sleep(seconds)
            refusing, refused = False, len(provider.calls) - calls
            over = time.monotonic()
            await running.meanwhile(completions.until(questions), 60 + questions / 20)
            rest = time.monotonic() - over
            code = await running.terminate()
        outcome.figures |= {
            "questions": questions,
            "slots": slots,
            "seconds": seconds,
            "answering_at_its_start": answering,
            "refused_calls": refused,
            "rest_seconds": round(rest, 1),
        }
        await all_completed(outcome, kafka, ids, code)
    outcome.promise("it refuses somebody", kept=refused > 0)
    # Each slot begins one at most before the first refusal is there; then one finds out after each
    # time that was asked for.
    most = slots + (over - begun) / retry_after + 1
    outcome.promise(f"{most:.0f} calls at most, not {refused}", kept=refused <= most)
    outcome.bound(f"less than {CALLS} calls", kept=refused < CALLS)
    return outcome
