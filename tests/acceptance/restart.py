"""SIGTERM in the middle of the work, then a new start: nothing is lost and nothing said twice."""

import time
from collections import defaultdict
from collections.abc import Iterable

from tests.acceptance.outcome import Outcome
from tests.support.processes import models, service
from tests.support.traffic import Event, asking, everything, reading, world


async def restart(servers: str, *, questions: int = 200, slots: int = 16) -> Outcome:
    """When the signal comes, a third has been answered and every slot is busy.

    Every tenth question has the same key, and waits for the one before it: much of what comes
    after it is answered when the signal comes, and is not to be answered again.
    """
    outcome = Outcome()
    ids = [f"q{number}" for number in range(questions)]
    codes: list[int] = []
    async with (
        world(servers, "restart") as kafka,
        models(first_token_ms=100, token_ms=20, tokens=20) as provider,
        reading(kafka, "completions") as completions,
    ):
        async with asking(kafka) as asker:
            await asker.ask_all(ids, key=lambda number: "hot" if number % 10 == 0 else f"{number}")
        settings = {"POOL__SLOTS": slots}
        async with service(kafka, provider, settings) as first:
            await first.meanwhile(completions.until(questions // 3), seconds=120)
            told = time.monotonic()
            codes.append(await first.terminate())
            drained = time.monotonic() - told
        await completions.rest()
        before = len(completions.seen)
        async with service(kafka, provider, settings) as second:
            await second.meanwhile(completions.until(questions), seconds=120)
            codes.append(await second.terminate())
        ended = await everything(kafka, "completions")
        said = await everything(kafka, "tokens")
    outcome.figures |= {
        "questions": questions,
        "completed_before": before,
        "drain_seconds": round(drained, 2),
        "exit_codes": codes,
    }
    outcome.promise("the signal comes in the middle", kept=0 < before < questions)
    outcome.promise(f"exit code 0, not {codes}", kept=not any(codes))
    outcome.promise("all are completed", kept=all(e.body["status"] == "completed" for e in ended))
    outcome.each_once(ids, (event.question_id for event in ended))
    _check_tokens(outcome, ended, said)
    return outcome


def _check_tokens(outcome: Outcome, ended: Iterable[Event], said: Iterable[Event]) -> None:
    """Without a gap from 0 to `end`, and together they are the answer."""
    streams: defaultdict[str, list[Event]] = defaultdict(list)
    for event in said:
        streams[event.question_id].append(event)
    for completion in ended:
        name, body = completion.question_id, completion.body
        stream = [event.body for event in streams[name]]
        sequences = [event["sequence"] for event in stream]
        kinds = [event["type"] for event in stream]
        text = "".join(event["text"] for event in stream if event["type"] == "token")
        outcome.promise(
            f"the tokens of {name} have no gap: {sequences}",
            kept=sequences == list(range(body["last_sequence"] + 1)),
        )
        outcome.promise(f"`end` is the last about {name}: {kinds}", kept=kinds[-1:] == ["end"])
        outcome.promise(f"the tokens of {name} are its answer", kept=text == body["answer"])
