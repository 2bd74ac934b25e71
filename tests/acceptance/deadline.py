"""Out of time while the model thinks: it expires, its connection closes, and its key goes on."""

import asyncio
from statistics import median

from tests.acceptance.outcome import Outcome
from tests.support.processes import Running, calls, models, service
from tests.support.traffic import Asker, Event, Reader, asking, everything, reading, world

TIMEOUT_MS = 500
WITHIN_MS = 700
CLOSED_SECONDS = 2
SETTINGS = {
    "MODELS__SLOW__NAME": "openai/slow",
    "MODELS__FAST__NAME": "openai/ok",
    "PROGRAMS__SLOW__ENTRY": "question -> answer",
    "PROGRAMS__SLOW__MODEL": "slow",
    "PROGRAMS__FAST__ENTRY": "question -> answer",
    "PROGRAMS__FAST__MODEL": "fast",
}


async def deadline(servers: str, *, repeats: int = 20) -> Outcome:
    """A question the model would answer after five seconds, and the next one of its key."""
    outcome = Outcome()
    took: list[int] = []
    async with (
        world(servers, "deadline") as kafka,
        models(first_token_ms=20, token_ms=2) as provider,
        service(kafka, provider, _settings(provider)) as running,
        asking(kafka) as asker,
        reading(kafka, "completions") as completions,
    ):
        # The group is joined and the libraries are warm before a clock runs.
        await asker.ask("warm-up", program="fast")
        await running.meanwhile(completions.about("warm-up"), seconds=60)
        for number in range(repeats):
            late, following = await running.meanwhile(_one(asker, completions, number), seconds=30)
            took.append(late.timestamp - late.body["source"]["timestamp"])
            _check(outcome, late, following)
        await _closed(provider, repeats)
        recorded = await calls(provider)
        code = await running.terminate()
        ended = await everything(kafka, "completions")
    slow = [call for call in recorded["calls"] if call["model"] == "slow"]
    outcome.promise(
        "every call that ran out of time is cut off, and no other",
        kept=len(slow) == repeats == recorded["disconnects"]
        and all(call["disconnected"] for call in slow),
    )
    asked = [f"{kind}-{number}" for kind in ("late", "following") for number in range(repeats)]
    outcome.each_once(["warm-up", *asked], (event.question_id for event in ended))
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)
    outcome.figures |= {
        "repeats": repeats,
        "expired_after_ms_p50": median(took),
        "expired_after_ms_max": max(took),
    }
    outcome.bound(f"expired within {WITHIN_MS} ms", kept=max(took) <= WITHIN_MS)
    return outcome


def _settings(provider: Running) -> dict[str, str]:
    reach = {"API_BASE": provider.address, "API_KEY": "none"}
    access = {
        f"MODELS__{m}__{name}": value for m in ("SLOW", "FAST") for name, value in reach.items()
    }
    return SETTINGS | access


async def _one(asker: Asker, completions: Reader, number: int) -> tuple[Event, Event]:
    late, following = f"late-{number}", f"following-{number}"
    key = f"key-{number}"
    await asker.ask(late, key=key, program="slow", timeout_ms=TIMEOUT_MS)
    await asker.ask(following, key=key, program="fast")
    ended, then = await completions.about(late, following)
    return ended, then


def _check(outcome: Outcome, late: Event, following: Event) -> None:
    name, body = late.question_id, following.body
    outcome.promise(
        f"{name} expires, not {late.body['status']}", kept=late.body["status"] == "expired"
    )
    outcome.promise(
        f"{name} does not expire early",
        kept=late.timestamp - late.body["source"]["timestamp"] >= TIMEOUT_MS,
    )
    outcome.promise(
        f"{following.question_id} completes, not {body['status']}",
        kept=body["status"] == "completed",
    )
    # Timestamps are whole milliseconds.
    started = body["source"]["timestamp"] + body["timing"]["queued_ms"] + 1
    outcome.promise(
        f"{following.question_id} starts after {name} has ended", kept=started >= late.timestamp
    )


async def _closed(provider: Running, times: int) -> None:
    """Until the model server has noticed; that a completion is there does not say it has."""
    async with asyncio.timeout(CLOSED_SECONDS):
        while (await calls(provider, last=0))["disconnects"] < times:  # noqa: ASYNC110 # its state
            await asyncio.sleep(0.02)
