"""The same id again: no call for it, and a completion that says so; across a crash too."""

import signal
import time
from collections import Counter

from tests.acceptance.outcome import Outcome
from tests.chaos.ordeal import Wanted, ordeal
from tests.support.processes import PENSTOCK_SERVE, models


async def duplicates(
    servers: str, *, questions: int = 5_000, repeated: int = 500, slots: int = 64
) -> Outcome:
    """Half of the repeated ones come at once, the others when a process has died that had answered
    their first.
    """
    outcome = Outcome()
    begun = time.monotonic()
    patience = 60 + questions / 20
    async with (
        models(first_token_ms=20, token_ms=2, tokens=8) as provider,
        ordeal(servers, provider, PENSTOCK_SERVE, "duplicates", partitions=6, slots=slots) as here,
    ):
        # By its own key an id comes to the partition where it was before, and waits for nobody.
        firsts = [Wanted(f"q{number}", f"q{number}") for number in range(questions)]
        at_once = repeated // 2
        await here.ask(firsts)
        await here.ask(one._replace(status="duplicate") for one in firsts[:at_once])
        async with here.member() as first:
            await first.meanwhile(here.completions.until_ended(questions * 3 // 5), patience)
            first.kill()
            assert await first.ended() == -signal.SIGKILL
        await here.completions.rest()
        before = len(here.completions.ended)
        await here.ask_again(repeated - at_once)
        async with here.member() as second:
            await second.meanwhile(here.all_ended(), patience)
            code = await second.terminate()
        evidence = await here.evidence()
        with outcome.promised():
            await here.judge(evidence)
    ended = Counter(event.body["status"] for event in evidence.completions)
    running = sum(evidence.running_at_deaths.values())
    outcome.figures |= {
        "questions": questions,
        "sent_twice": repeated,
        "ended_before_the_crash": before,
        "ended": ended,
        "calls": len(evidence.calls),
        "repeated_calls": evidence.repeated_calls,
        "running_at_death": running,
        "seconds": round(time.monotonic() - begun),
    }
    outcome.promise(f"{repeated} duplicates", kept=ended["duplicate"] == repeated)
    outcome.promise(
        "no call for a duplicate", kept=questions <= len(evidence.calls) <= questions + running
    )
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)
    return outcome
