"""A key that is taken back: the service stops and says why, and a right one goes on from there."""

import orjson

from penstock.local.prompt import ChatRequest
from tests.acceptance.endings import all_completed
from tests.acceptance.outcome import Outcome
from tests.support.behaviours import Params
from tests.support.model_server import model_server
from tests.support.processes import PENSTOCK_SERVE, Start, service
from tests.support.traffic import asking, everything, reading, world

PACES = Params(first_ms=50, token_ms=5, tokens=8)
NEEDS_OPERATOR = 4
SETTING = "API_KEY"
"""What the one line has to name."""


async def bad_key(
    servers: str,
    *,
    questions: int = 1_000,
    revoked_at: int = 300,
    slots: int = 64,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """The provider takes it back with the call of this number."""
    outcome = Outcome()
    ids = [f"q{number}" for number in range(questions)]
    lines: list[str] = []
    async with (
        world(servers, "bad-key") as kafka,
        model_server(defaults=PACES) as provider,
        reading(kafka, "completions") as completions,
    ):

        def behave(number: int, _: ChatRequest) -> str:
            if number == revoked_at:
                provider.revoked.add("old")
            return "ok"

        provider.script["ok"] = behave
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        settings = {"POOL__SLOTS": slots, "MODEL__API_KEY": "old"}
        async with service(kafka, provider, settings, start) as first:
            first.hear(lines.append)
            stopped = await first.meanwhile(first.ended(), 60)
        before = len(await everything(kafka, "completions"))
        refused = sum(call.behaviour == "401" for call in provider.calls.latest)
        settings["MODEL__API_KEY"] = "new"
        async with service(kafka, provider, settings, start) as second:
            await second.meanwhile(completions.until(questions), 60 + questions / 20)
            code = await second.terminate()
        answered = len(provider.calls) - refused
        await all_completed(outcome, kafka, ids, code)
    errors = [line for line in map(orjson.loads, lines) if line.get("level") == "error"]
    outcome.figures |= {
        "questions": questions,
        "exit_code": stopped,
        "said": [{name: line.get(name) for name in ("event", "reason")} for line in errors],
        "completed_before": before,
        "refused_calls": refused,
        "repeated_calls": answered - questions,
    }
    outcome.promise(f"exit code {NEEDS_OPERATOR}, not {stopped}", kept=stopped == NEEDS_OPERATOR)
    outcome.promise(f"one line says why, not {len(errors)}", kept=len(errors) == 1)
    outcome.promise(
        f"it says what to do: {errors}", kept=SETTING in str(errors) and "401" in str(errors)
    )
    outcome.promise("it stops in the middle", kept=0 < before < questions)
    outcome.promise("no answer is paid for twice", kept=answered == questions)
    return outcome
