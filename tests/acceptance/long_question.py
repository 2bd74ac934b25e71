"""One long answer while its partition goes from member to member: it is told by one, in one go."""

import asyncio
from itertools import pairwise

from tests.acceptance.crew import joining, slowly, speaker
from tests.acceptance.load import PACES, SLOTS, called, common, rest_ended, steadily, tell
from tests.acceptance.outcome import Outcome
from tests.chaos.ordeal import Wanted, ordeal
from tests.support.processes import PENSTOCK_SERVE, Start, models, with_settings

LONGER = 30
"""Seconds that the drain and the deadline leave it."""
CHANGES = 2


async def long_question(
    servers: str,
    *,
    seconds: float = 60,
    members: int = 3,
    coming: int = 1,
    going: int = 1,
    per_second: float = 5,
    start: Start = PENSTOCK_SERVE,
) -> Outcome:
    """Others come and go; then whoever runs it is told to leave, and then the next owner.

    Args:
        servers: the Kafka.
        seconds: what the model takes for it.
        members: in the beginning.
        coming: members that join before its runner leaves, and again after that.
        going: members that leave before its runner does.
        per_second: short questions beside it, in the same partition.
        start: of a member.
    """
    outcome = Outcome()
    patience = seconds + LONGER
    slow = slowly(start, seconds)
    start = with_settings(slow, {"DRAIN_MS": round(patience * 1000)})
    async with (
        models(**PACES) as provider,
        ordeal(servers, provider, start, "long-question", partitions=1, slots=SLOTS) as here,
        joining(here, 2 * patience) as crew,
    ):
        await crew.join(members)
        more = {"program": "slow", "timeout_ms": round(patience * 1000)}
        # The second waits for the first, whoever has their partition.
        await here.ask([Wanted("long", "lane", more), Wanted("next", "lane")])
        runner = crew.named(speaker((await called(provider, "long"))["long"]["model"]))
        async with asyncio.timeout(2 * patience), steadily(here, common(slow=False), per_second):
            for _ in range(coming):
                await crew.join()
            for _ in range(going):
                await crew.leave(next(one for one in crew.present if one != runner))
            leaving = asyncio.create_task(crew.leave(runner))
            [owner] = await crew.taken_over(frozenset({0}), runner)
            second = crew.named(owner)
            for _ in range(coming):
                await crew.join()
            await crew.leave(second)
            await crew.taken_over(frozenset({0}), second)
            await leaving
            await here.completions.until_about("next")
        await rest_ended(here)
        await crew.all_leave()
        evidence = await here.evidence()
        await tell(outcome, here, evidence, crew.codes.values())
    [place] = [place for place, asked in here.asked.items() if asked.question_id == "long"]
    about = [call for call in evidence.calls if call.place == place]
    [ended] = [event for event in evidence.completions if event.question_id == "long"]
    first = about[0]
    assert first.ended is not None
    during = [given for given in crew.given if first.began < given.at < first.ended]
    changes = len(crew.owners(0, first.began, first.ended)) - 1
    said = [event.timestamp for event in evidence.tokens if event.question_id == "long"]
    silence = max(later - earlier for earlier, later in pairwise(said))
    outcome.figures |= {
        "seconds": seconds,
        "rebalances": len(during),
        "owners_after_the_first": changes,
        "calls_of_the_long_one": len(about),
        "longest_silence_ms": silence,
        "exit_codes": list(crew.codes.values()),
    }
    outcome.promise(f"one call for the long one, not {len(about)}", kept=len(about) == 1)
    outcome.promise(
        f"it is completed, not {ended.body['status']}", kept=ended.body["status"] == "completed"
    )
    outcome.promise(f"{CHANGES} new owners meanwhile, not {changes}", kept=changes >= CHANGES)
    return outcome
