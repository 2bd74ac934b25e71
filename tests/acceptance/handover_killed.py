"""SIGTERM, and kill -9 when what it ran is handed over: the others begin again, but not at once."""

import asyncio
import time
from collections import Counter, defaultdict

from tests.acceptance.crew import Crew, Member, joining, slowly, speaker
from tests.acceptance.load import (
    PACES,
    PATIENCE_SECONDS,
    PER_SECOND,
    SLOTS,
    called,
    common,
    rest_ended,
    steadily,
    tell,
    told_gaps,
)
from tests.acceptance.outcome import Outcome
from tests.chaos.evidence import Call, Evidence
from tests.chaos.ordeal import Wanted, ordeal
from tests.simulation.guarantees import Place
from tests.support.processes import PENSTOCK_SERVE, Start, models, with_settings

HANDOVER_SECONDS = 3
"""From SIGTERM to when others have its partitions; the running ones take longer."""
LATE_SECONDS = 10
"""After the drain of the dead one: a margin, and the time for a look into the completions."""


async def handover_killed(
    servers: str,
    *,
    questions: int = 18,
    seconds: float = 20,
    drain: float = 25,
    members: int = 3,
    per_second: float = PER_SECOND,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """Nobody can know that it is dead: it has left the group, and may still be answering.

    Args:
        servers: the Kafka.
        questions: slow ones, on six partitions.
        seconds: what the model takes for each.
        drain: seconds that a leaving member has.
        members: in the beginning.
        per_second: short questions beside them.
        start: of a member.
    """
    outcome = Outcome()
    slow = slowly(start, seconds)
    start = with_settings(slow, {"DRAIN_MS": round(drain * 1000)})
    async with (
        models(**PACES) as provider,
        ordeal(servers, provider, start, "handover-killed", partitions=6, slots=SLOTS) as here,
        joining(here) as crew,
    ):
        await crew.join(members)
        async with steadily(here, common(slow=False), per_second) as load:
            names = [f"slow{number}" for number in range(questions)]
            await here.ask(Wanted(name, more={"program": "slow"}) for name in names)
            models_ = [call["model"] for call in (await called(provider, *names)).values()]
            [(most, _)] = Counter(map(speaker, models_)).most_common(1)
            victim = crew.named(most)
            load.step("killed")
            told = time.monotonic()
            handed_over = await _told_to_leave_and_killed(crew, victim)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await here.completions.until_about(*names)
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        await tell(outcome, here, evidence, crew.codes.values(), repeats=True)
    numbers, after = _begun_again(evidence, victim, told)
    outcome.figures |= {
        "running_at_the_kill": len(numbers),
        "restarted_after_seconds": [round(f(after, default=0.0), 1) for f in (min, max)],
    }
    outcome.bound("others have its partitions before it dies", kept=handed_over)
    outcome.promise("something ran when it died", kept=bool(numbers))
    outcome.promise(
        f"what it ran is begun again once, not {numbers}", kept=numbers == [2] * len(numbers)
    )
    outcome.promise(
        "nothing else is begun again", kept=evidence.repeated_calls == sum(numbers) - len(numbers)
    )
    outcome.promise(
        "nothing is begun again before the drain is over", kept=min(after, default=0) >= drain
    )
    outcome.bound(
        f"all is {LATE_SECONDS} s after it", kept=max(after, default=0) < drain + LATE_SECONDS
    )
    told_gaps(outcome, load.gaps(evidence))
    return outcome


async def _told_to_leave_and_killed(crew: Crew, victim: Member) -> bool:
    """Whether others have had its partitions before."""
    its = crew.partitions(victim)
    leaving = asyncio.create_task(crew.leave(victim))
    try:
        async with asyncio.timeout(HANDOVER_SECONDS):
            await crew.taken_over(its, victim)
    except TimeoutError:
        return False
    else:
        return True
    finally:
        victim.running.kill()
        await leaving
        # It did not end as it was asked to.
        del crew.codes[victim.name]


def _begun_again(evidence: Evidence, victim: Member, told: float) -> tuple[list[int], list[float]]:
    """How often each question was begun that it had not ended; and the seconds until then."""
    ended = {
        (event.partition, event.body["source"]["offset"])
        for event in evidence.completions
        if speaker(event.body["model"]) == victim.name
    }
    about: defaultdict[Place, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        about[call.place].append(call)
    cut_off = [
        calls
        for place, calls in about.items()
        if calls[0].member == victim.name and place not in ended
    ]
    again = [call.began - told for calls in cut_off for call in calls[1:]]
    return [len(calls) for calls in cut_off], again
