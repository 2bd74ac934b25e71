"""kill -9 where it hurts: at every named point, once."""

from tests.acceptance.outcome import Outcome
from tests.chaos.nursery import nursery
from tests.chaos.ordeal import PACES
from tests.chaos.stories import DEATHS, at_once, dies_at
from tests.support.processes import models


async def fault_points(servers: str) -> Outcome:
    """A member dies there, in the middle of its work, and another takes over."""
    outcome = Outcome()
    async with models(**PACES) as provider, nursery() as born:
        told = await at_once(DEATHS, lambda death: dies_at(servers, provider, born.start, death))
    for death, evidence in told.items():
        if isinstance(evidence, BaseException):
            outcome.wrong.append(f"{death}: {evidence or type(evidence).__name__}")
            continue
        outcome.figures[death] = {
            "lost": evidence.lost(),
            "double": evidence.doubled(),
            "repeated_calls": evidence.repeated_calls,
            "running_at_death": sum(evidence.running_at_deaths.values()),
        }
    return outcome
