"""Members that stand still for longer than the group waits, and wake: what they held is lost."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import pairwise
from random import Random, SystemRandom
from typing import Any

from tests.acceptance.crew import Crew, joining
from tests.acceptance.load import (
    PACES,
    PER_SECOND,
    SLOTS,
    common,
    rest_ended,
    steadily,
    tell,
    told_gaps,
)
from tests.acceptance.outcome import Outcome
from tests.chaos.evidence import Call, Death, Evidence
from tests.chaos.ordeal import ordeal
from tests.simulation.guarantees import Place
from tests.support.processes import PENSTOCK_SERVE, Start, models

ON_ITS_WAY = 0.1
"""Seconds until a model has what a process had sent when it froze."""
AWAKE_SECONDS = (0.5, 3.0)
"""Between two freezes, at random."""


async def freezes(
    servers: str,
    *,
    times: int = 30,
    seconds: float = 12,
    members: int = 3,
    per_second: float = PER_SECOND,
    seed: int | None = None,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """Any, but never all at once.

    Args:
        servers: the Kafka.
        times: how often one freezes.
        seconds: for which it does: more than the session timeout.
        members: in the group.
        per_second: questions.
        seed: of who freezes when.
        start: of a member.
    """
    outcome = Outcome()
    seed = SystemRandom().randrange(2**32) if seed is None else seed
    frozen: list[Death] = []
    async with (
        models(**PACES) as provider,
        ordeal(servers, provider, start, "freezes", partitions=6, slots=SLOTS) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(), per_second) as load:
            load.step("frozen")
            await _freeze(crew, times, seconds, Random(seed), frozen)
            await load.answered(round(per_second))
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        outcome.figures |= {"seed": seed, "freezes": len(frozen)}
        # Whether a frozen one has let go is not in the topics: what was begun again is looked at
        # apart from the rest.
        again = begun_again(evidence)
        others = without(evidence, again.keys())
        codes = crew.codes.values()
        await tell(outcome, here, evidence, codes, repeats=True, judged=others)
    outcome.figures["running_at_freezes"] = _running(evidence, frozen)
    awake = [
        call
        for calls in again.values()
        for call, then in pairwise(calls)
        if not _froze(call, then, frozen)
    ]
    outcome.figures["repeated_without_a_freeze"] = len(awake)
    # A bound: what was begun in the moment of the freeze reaches the model after it.
    outcome.bound(
        f"a call is repeated only where its process was frozen: not {awake[:2]}", kept=not awake
    )
    with outcome.promised():
        check_answers(evidence, again.keys())
    told_gaps(outcome, load.gaps(evidence))
    return outcome


async def _freeze(crew: Crew, times: int, seconds: float, rng: Random, frozen: list[Death]) -> None:
    """At most all but one at once."""
    awake = list(crew.present)
    left = iter(range(times))

    async def one_after_the_other() -> None:
        for _ in left:
            await asyncio.sleep(rng.uniform(*AWAKE_SECONDS))
            member = awake.pop(rng.randrange(len(awake)))
            frozen.append(Death(member.name, time.monotonic()))
            member.running.freeze()
            await asyncio.sleep(seconds)
            member.running.thaw()
            awake.append(member)

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, len(crew.present) - 1)):
            group.create_task(one_after_the_other())


def begun_again(evidence: Evidence) -> dict[Place, list[Call]]:
    about: defaultdict[Place, list[Call]] = defaultdict(list)
    for call in sorted(evidence.calls, key=lambda call: call.began):
        about[call.place].append(call)
    return {place: calls for place, calls in about.items() if len(calls) > 1}


def without(evidence: Evidence, places: Collection[Place]) -> Evidence:
    names = {evidence.asked[place].question_id for place in places}
    return replace(
        evidence,
        asked={place: asked for place, asked in evidence.asked.items() if place not in places},
        calls=[call for call in evidence.calls if call.place not in places],
        completions=[event for event in evidence.completions if event.question_id not in names],
        tokens=[event for event in evidence.tokens if event.question_id not in names],
    )


def _froze(call: Call, then: Call, frozen: Iterable[Death]) -> bool:
    """In the middle of the first call, before the second."""
    return any(
        one.member == call.member and call.began < one.at + ON_ITS_WAY < then.began
        for one in frozen
    )


def check_answers(evidence: Evidence, places: Collection[Place]) -> None:
    """Numbered without a gap to the one `end`; what is said after the last `restart` is the
    answer.
    """
    streams: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in evidence.tokens:
        streams[event.question_id].append(event.body)
    names = {evidence.asked[place].question_id for place in places}
    for event in evidence.completions:
        if (name := event.question_id) not in names:
            continue
        said = streams[name]
        numbers, kinds = [body["sequence"] for body in said], [body["type"] for body in said]
        assert numbers == list(range(len(said))), f"{name}: {numbers}"
        # It may have frozen between the end of its stream and its completion.
        begins = max((n for n, kind in enumerate(kinds) if kind == "restart"), default=0)
        assert kinds[begins:].count("end") == 1, f"{name}: {kinds}"
        assert kinds[-1] == "end", f"{name}: {kinds}"
        text = "".join(body["text"] for body in said[begins:] if body["type"] == "token")
        assert text == event.body["answer"], f"{name}: {text}"


def _running(evidence: Evidence, frozen: Iterable[Death]) -> list[int]:
    """The questions that each had begun when it froze, and that were not ended."""
    to_wall = time.time() - time.monotonic()
    ended = {
        (event.partition, event.body["source"]["offset"]): event.timestamp / 1000 - to_wall
        for event in evidence.completions
    }
    never = float("inf")
    return [
        len(
            {
                call.place
                for call in evidence.calls
                if call.member == one.member
                and call.began < one.at + ON_ITS_WAY < ended.get(call.place, never)
            }
        )
        for one in frozen
    ]
