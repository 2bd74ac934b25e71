"""Questions that nobody wants any more: whatever they do at the moment, they end."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random, SystemRandom
from statistics import quantiles
from typing import Any

import orjson

from penstock.events.control import CANCEL
from penstock.local.prompt import ChatRequest
from tests.acceptance.outcome import Outcome
from tests.chaos.member import CONTROL
from tests.support.behaviours import Params
from tests.support.calls import Call
from tests.support.model_server import ModelServer, Script, model_server
from tests.support.processes import Start, module_of_ours, service, with_settings
from tests.support.traffic import Asked, Asker, Event, asking, everything, reading, world

PACES = Params(first_ms=300, token_ms=40, tokens=8)
RETRY_MS = 2_000
UNUSABLE = "unparsable"
"""Is the first answer to every fifth question: then it waits for another attempt."""
EDGE = 0.1
"""Of the cancels come before there is anything, and as many when all has ended."""
WITHIN_MS = 200
"""After a member has read its cancel, the model says the last word."""
MEMBER = with_settings(module_of_ours("tests.chaos.member"), {"TEST_MEMBER": "canceller"})


async def cancels(
    servers: str,
    *,
    questions: int = 2_000,
    cancelled: int = 1_000,
    seconds: float = 20,
    slots: int = 64,
    seed: int | None = None,
    start: Start = MEMBER,
) -> Outcome:
    """Half of the questions are there when the service starts, the others come within `seconds`;
    so do the cancels.
    """
    outcome = Outcome()
    seed = SystemRandom().randrange(2**32) if seed is None else seed
    ids = [f"q{number}" for number in range(questions)]
    edge = round(EDGE * cancelled)
    async with (
        world(servers, "cancels") as kafka,
        model_server(defaults=PACES) as provider,
        reading(kafka, "completions") as completions,
        asking(kafka) as asker,
    ):
        provider.script["ok"] = _behave()
        fates = Fates(asker, provider, ids, Random(seed))
        await fates.cancel_some(edge)
        for number in range(edge):
            await asker.cancel(f"nobody-{number}")
        await fates.settled()
        early = set(fates.cancelled)
        await asker.ask_all(ids[: questions // 2])
        settings = {"POOL__SLOTS": slots, "RETRY__BASE_MS": RETRY_MS}
        async with service(kafka, provider, settings, start) as running:
            running.hear(fates.hear)
            await running.meanwhile(completions.until(edge), 60)
            async with asyncio.TaskGroup() as group:
                group.create_task(_ask(asker, ids[questions // 2 :], seconds))
                group.create_task(fates.cancel_now_and_then(cancelled - 2 * edge, seconds))
            await running.meanwhile(completions.until(questions), 60 + questions / 20)
            await fates.settled()
            in_time = set(fates.cancelled)
            await fates.cancel_some(edge)
            await fates.settled()
            # What it would say about them is said before what it says about this one.
            await asker.ask("last")
            await running.meanwhile(completions.until_about("last"), 60)
            code = await running.terminate()
        ended = await everything(kafka, "completions")
        said = await everything(kafka, "tokens")
        dead = await everything(kafka, "dead_letters")
    status = {event.question_id: event.body["status"] for event in ended}
    attempts = {event.question_id: event.body["attempts"] for event in ended}
    asked = _by_question(provider.calls.latest)
    hit = Counter(_doing(asked[name]) for name in in_time - early if status[name] == "cancelled")
    late = [
        (call.wrote or call.started) - fates.read[name]
        for name in in_time - early
        for call in asked[name]
        if status[name] == "cancelled"
    ]
    outcome.figures |= {
        "seed": seed,
        "questions": questions,
        "cancels": len(fates.cancelled),
        "ended": Counter(status.values()),
        "cancelled_while": hit,
        "disconnected_calls": provider.calls.disconnects,
        "last_word_ms": _spread(one for one in late if one > 0),
    }
    outcome.each_once([*ids, "last"], (event.question_id for event in ended))
    outcome.promise(
        "who was not cancelled is completed",
        kept=all(status[name] == "completed" for name in ids if name not in fates.cancelled),
    )
    outcome.promise(
        "who was cancelled is, or has ended before",
        kept={status[name] for name in fates.cancelled} <= {"cancelled", "completed"},
    )
    outcome.promise(
        "what is cancelled before it is fetched is never asked",
        kept=all(status[name] == "cancelled" and not asked[name] for name in early)
        and all(attempts[name] == 0 for name in early),
    )
    outcome.promise(
        "what has ended stays as it is",
        kept=all(status[name] == "completed" for name in fates.cancelled - in_time),
    )
    outcome.promise(
        f"it is cancelled while it waits, runs and is to run again: {hit}",
        kept={"waiting", "running", "retrying"} <= hit.keys(),
    )
    outcome.promise(f"no dead letters, not {len(dead)}", kept=not dead)
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)
    _check_tokens(outcome, status, said)
    worst = outcome.figures["last_word_ms"]["max"]
    outcome.bound(f"no word {WITHIN_MS} ms after a cancel: {worst} ms", kept=worst <= WITHIN_MS)
    return outcome


def _behave() -> Script:
    asked: set[str] = set()

    def behave(_: int, request: ChatRequest) -> str:
        name = request.question.split()[-1]
        again = name in asked
        asked.add(name)
        return UNUSABLE if name[-1] in "05" and not again else "ok"

    return behave


class Fates:
    """Who is cancelled when. Monotonic seconds."""

    def __init__(
        self, asker: Asker, provider: ModelServer, ids: Sequence[str], rng: Random
    ) -> None:
        self.cancelled: set[str] = set()
        self.read: dict[str, float] = {}
        """When the service has read it."""
        self._asker = asker
        self._provider = provider
        self._rng = rng
        self._left = list(ids)
        rng.shuffle(self._left)
        self._sent: list[Asked] = []

    async def cancel_some(self, number: int) -> None:
        for _ in range(number):
            await self._cancel(self._left[-1])

    async def cancel_now_and_then(self, number: int, seconds: float) -> None:
        """Every other one is meant: what is being answered, and what waits for another attempt."""
        for turn in range(number):
            await asyncio.sleep(self._rng.expovariate(number / seconds))
            aims = {0: self._running, 1: self._retrying}.get(turn % 4)
            meant = aims() if aims else []
            await self._cancel(self._rng.choice(meant) if meant else self._left[-1])

    async def settled(self) -> None:
        """Until all are acknowledged."""
        await asyncio.gather(*self._sent)
        self._sent.clear()

    def hear(self, line: str) -> None:
        """What the service says."""
        if line.startswith(CONTROL):
            said = orjson.loads(line)
            self.read[said["control"].removeprefix(CANCEL)] = said["at"]

    async def _cancel(self, name: str) -> None:
        self._left.remove(name)
        self.cancelled.add(name)
        self._sent.append(await self._asker.cancel(name))

    def _running(self) -> list[str]:
        latest = self._latest()
        return [name for name, call in latest.items() if call.chunks and call.ended is None]

    def _retrying(self) -> list[str]:
        latest = self._latest()
        return [name for name, call in latest.items() if _unusable(call) and call.ended is not None]

    def _latest(self) -> dict[str, Call]:
        found = {_asked(call): call for call in self._provider.calls.latest}
        left = set(self._left)
        return {name: call for name, call in found.items() if name in left}


async def _ask(asker: Asker, ids: Sequence[str], seconds: float) -> None:
    for name in ids:
        await asker.ask(name)
        await asyncio.sleep(seconds / len(ids))


def _asked(call: Call) -> str:
    """The id is the last word of the question."""
    return call.user_message.partition("level? ")[2].split()[0]


def _by_question(calls: Iterable[Call]) -> defaultdict[str, list[Call]]:
    found: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        found[_asked(call)].append(call)
    return found


def _unusable(call: Call) -> bool:
    return call.behaviour == UNUSABLE


def _doing(calls: Sequence[Call]) -> str:
    """What a question did when it was cancelled."""
    if not calls:
        return "waiting"
    return "running" if calls[-1].disconnected else "retrying" if _unusable(calls[-1]) else "ending"


def _spread(seconds: Iterable[float]) -> dict[str, int]:
    found = [round(1000 * one) for one in seconds] or [0]
    percentiles = quantiles(found * 2, n=100)
    return {"p50": round(percentiles[49]), "p99": round(percentiles[98]), "max": max(found)}


def _check_tokens(outcome: Outcome, status: Mapping[str, str], said: Iterable[Event]) -> None:
    """Numbered from 0 without a gap to one `end`, which says how it ended."""
    streams: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in said:
        streams[event.question_id].append(event.body)
    odd = [
        name
        for name in status
        if [event["sequence"] for event in streams[name]] != list(range(len(streams[name])))
        or [event["status"] for event in streams[name] if event["type"] == "end"] != [status[name]]
        or streams[name][-1]["type"] != "end"
    ]
    outcome.promise(f"every stream is whole to its end: {odd[:5]} are not", kept=not odd)
