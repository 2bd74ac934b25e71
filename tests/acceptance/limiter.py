"""A model that serves so many at once, and lets the others wait: how many is found out."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from tests.acceptance.endings import all_completed, per_second
from tests.acceptance.outcome import Outcome
from tests.acceptance.sampling import sampling
from tests.support.model_server import model_server
from tests.support.processes import PENSTOCK_SERVE, Start, service
from tests.support.traffic import Event, asking, everything, reading, world

WITHIN = 0.25
"""Of how many the model serves."""
AS_FAST = 0.95
"""As the best fixed number of slots at least."""
AS_SOON = 0.5
"""Of the time to the first token with all slots at most."""
RAMP = 0.25
"""Of the questions, at the beginning, are not counted: a limit has to be found out first."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`limit`: of the second half of the time, the median."""

    rate: float
    first_token_ms_p95: float
    limit: float
    calls_at_once: int


async def limiter(
    servers: str,
    *,
    questions: int = 1_200,
    serves: int = 20,
    slots: int = 64,
    fixed: Sequence[int] = (16, 20, 24, 32, 64),
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """`fixed`: numbers of slots that it is compared to, without a limit."""
    outcome = Outcome()
    found = await _measured(outcome, servers, questions, serves, slots, "enforce", start)
    others = {
        number: await _measured(outcome, servers, questions, serves, number, "off", start)
        for number in fixed
    }
    outcome.figures |= {
        "questions": questions,
        "serves": serves,
        "slots": slots,
        "limit": round(found.limit, 1),
        "enforced": _told(found),
        "fixed": {str(number): _told(measured) for number, measured in others.items()},
    }
    outcome.promise(
        f"less than {slots} calls at once, not {found.calls_at_once}",
        kept=found.calls_at_once < slots,
    )
    outcome.bound(
        f"the limit is within {WITHIN:.0%} of {serves}",
        kept=abs(found.limit - serves) <= WITHIN * serves,
    )
    if others:
        best = max(measured.rate for measured in others.values())
        outcome.bound(f"{AS_FAST:.0%} as fast as the best", kept=found.rate >= AS_FAST * best)
    if slots in others:
        outcome.bound(
            f"the first token after {AS_SOON:.0%} of the time at most",
            kept=found.first_token_ms_p95 < AS_SOON * others[slots].first_token_ms_p95,
        )
    return outcome


def _told(measured: Measured) -> dict[str, float]:
    return {
        "questions_per_second": round(measured.rate, 2),
        "first_token_ms_p95": round(measured.first_token_ms_p95),
        "calls_at_once": measured.calls_at_once,
    }


async def _measured(
    outcome: Outcome, servers: str, questions: int, serves: int, slots: int, mode: str, start: Start
) -> Measured:
    ids = [f"q{number}" for number in range(questions)]
    async with (
        world(servers, f"limiter-{mode}") as kafka,
        model_server() as provider,
        reading(kafka, "completions") as completions,
    ):
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        settings = {
            "POOL__SLOTS": slots,
            "LIMITER__MODE": mode,
            "MODEL__NAME": f"openai/ok?serves={serves}&first_ms=150&token_ms=15&tokens=16",
        }
        async with (
            service(kafka, provider, settings, start) as running,
            sampling(running, "penstock_model_limit") as limits,
        ):
            await running.meanwhile(completions.until(questions), 60 + questions / 5)
            limit = median(limits[len(limits) // 2 :])
            code = await running.terminate()
        await all_completed(outcome, kafka, ids, code)
        ended = sorted(await everything(kafka, "completions"), key=_when)[round(RAMP * questions) :]
    firsts = [event.body["timing"]["first_token_ms"] for event in ended]
    return Measured(
        per_second(ended), quantiles(firsts, n=20)[-1], limit, provider.calls.peak_in_flight
    )


def _when(event: Event) -> int:
    return event.timestamp
