"""A model of which one call in twenty-five goes wrong, in four ways: its answers are whole."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.local.prompt import ChatRequest
from tests.acceptance.endings import all_completed, per_second
from tests.acceptance.outcome import Outcome
from tests.support.behaviours import Params
from tests.support.model_server import model_server
from tests.support.processes import PENSTOCK_SERVE, Start, service
from tests.support.traffic import Event, asking, everything, reading, world

PACES = Params(first_ms=300, token_ms=25, tokens=16)
IDLE_MS = 2_000
FAULTS = {7: "unparsable", 32: "hang-during", 57: "cut", 82: "500"}
"""Of every hundred questions, which ones."""
SAID_SOMETHING = {"hang-during", "cut"}
"""Before they went wrong: a reader has to be told to drop it."""
AS_FAST = 0.85
"""As without faults at least."""


@dataclass(frozen=True, slots=True)
class Told:
    """`rate`: questions per second."""

    rate: float
    calls: int


async def faults(
    servers: str,
    *,
    questions: int = 5_000,
    slots: int = 64,
    compared: bool = True,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """`compared`: to the same without faults."""
    outcome = Outcome()
    without = await _told(outcome, servers, questions, slots, start) if compared else None
    told = await _told(outcome, servers, questions, slots, start, faulty=True)
    faulty = sum(_fault(number) is not None for number in range(questions))
    outcome.figures |= {
        "questions": questions,
        "faulty": faulty,
        "calls": told.calls,
        "questions_per_second": round(told.rate, 1),
    }
    outcome.promise(
        f"only what went wrong is asked again: {told.calls} calls",
        kept=told.calls == questions + faulty,
    )
    if without is not None:
        outcome.figures["questions_per_second_without"] = round(without.rate, 1)
        outcome.bound(f"{AS_FAST:.0%} as fast as without", kept=told.rate >= AS_FAST * without.rate)
    return outcome


def _fault(number: int) -> str | None:
    return FAULTS.get(number % 100)


async def _told(
    outcome: Outcome,
    servers: str,
    questions: int,
    slots: int,
    start: Start,
    *,
    faulty: bool = False,
) -> Told:
    ids = [f"q{number}" for number in range(questions)]
    asked: set[int] = set()

    def behave(_: int, request: ChatRequest) -> str:
        number = int(request.question.rpartition(" q")[2])
        fault = _fault(number) if faulty and number not in asked else None
        asked.add(number)
        return fault or "ok"

    async with (
        world(servers, "faults") as kafka,
        model_server(defaults=PACES) as provider,
        reading(kafka, "completions") as completions,
    ):
        provider.script["ok"] = behave
        async with asking(kafka) as asker:
            await asker.ask_all(ids)
        settings = {"POOL__SLOTS": slots, "MODEL__IDLE_MS": IDLE_MS}
        async with service(kafka, provider, settings, start) as running:
            await running.meanwhile(completions.until(questions), 60 + questions / 10)
            code = await running.terminate()
        await all_completed(outcome, kafka, ids, code)
        ended = await everything(kafka, "completions")
        if faulty:
            _check_tokens(outcome, ended, await everything(kafka, "tokens"))
        return Told(per_second(ended), len(provider.calls))


def _check_tokens(outcome: Outcome, ended: Iterable[Event], said: Iterable[Event]) -> None:
    """Without a gap from 0 to `end`; what was said since the last `restart` is the answer."""
    streams: defaultdict[str, list[Event]] = defaultdict(list)
    for event in said:
        streams[event.question_id].append(event)
    for completion in ended:
        name, body = completion.question_id, completion.body
        stream = [event.body for event in streams[name]]
        kinds = [event["type"] for event in stream]
        fault = _fault(int(name.removeprefix("q")))
        attempts = 1 if fault is None else 2
        outcome.promise(
            f"the tokens of {name} have no gap",
            kept=[event["sequence"] for event in stream] == list(range(body["last_sequence"] + 1)),
        )
        outcome.promise(f"`end` is the last about {name}", kept=kinds[-1:] == ["end"])
        outcome.promise(
            f"{name} ({fault}) says `restart` where something was said before: {kinds}",
            kept=kinds.count("restart") == (fault in SAID_SOMETHING),
        )
        last = len(kinds) - 1 - kinds[::-1].index("restart") if "restart" in kinds else 0
        text = "".join(event["text"] for event in stream[last:] if event["type"] == "token")
        outcome.promise(f"the last tokens of {name} are its answer", kept=text == body["answer"])
        outcome.promise(
            f"{name} ({fault}) takes {attempts} attempts, not {body['attempts']}",
            kept=body["attempts"] == attempts,
        )
